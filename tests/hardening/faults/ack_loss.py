"""The answer of a call that has taken effect is dropped, on its way to the server or to the client."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx2

from foundation.db import PoolDatabase
from foundation.errors import DatabaseUnavailable, Json
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.hardening.insist import insist
from tests.support.forgetful import Forgetful, Loss, When, forgetting
from tests.support.process import NO_TLS, ServerProcess
from tests.support.relay import relaying
from tests.support.stubborn import KIND, words

__all__ = ["FAULT", "asks_once"]

BALANCE = 1_000_000
WAVE, WORDS = 12, 24
# A claim without a run in it has done nothing.
CLAIMED_BYTES = 100
EXECUTE = b"POST /api/agent/execute"
CREDITS = (
    "switchyard_credits_hold",
    "switchyard_credits_settle",
    "switchyard_credits_release",
    "deduct_credits",
)
RUNS = ("submit", "submit_seen", "claim", "heartbeat", "release", "finish", "cancel")
FUNCTIONS = (
    *CREDITS,
    *(f"switchyard_runs_{name}" for name in RUNS),
    "switchyard_events_append",
    "switchyard_steps_save",
)


@dataclass
class Books:
    """What must have been booked when all is over."""

    person: UUID
    agent: UUID
    submitted: int = 0
    charged: int = 0
    http_losses: int = 0
    answers: list[httpx2.Response] = field(default_factory=list)


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is an answer that was dropped."""
    person = await ground.person(balance=BALANCE)
    async with (
        forgetting(ground.url) as network,
        ground.replica(DATABASE_URL=network.url, WORKER_SLOTS="8") as first,
    ):
        credits_ = PoolDatabase(network.url, size=4)
        await credits_.start()
        books = Books(person, person)
        while network.forgotten.total() + books.http_losses < ground.n:
            books.agent = await ground.agent(person, kind=KIND)
            async with ground.replica(DATABASE_URL=network.url, WORKER_SLOTS="8") as second:
                await _lap(ground, network, credits_, books, (first, second))
        await _all_ended(ground)
        await credits_.stop()
        for answer in books.answers:
            told = answer.json()
            is_whole = answer.status_code == HTTPStatus.OK and told.get("response") == "".join(words(WORDS))
            findings.expect(is_whole, f"answered {answer.status_code} {answer.text[:200]}")
        findings.hit(network.forgotten.total() + books.http_losses)
        findings.figure("dropped", {**dict(sorted(network.forgotten.items())), "http": books.http_losses})
        missing = sorted(set(FUNCTIONS) - set(network.forgotten))
        findings.expect(missing == [], f"no answer was dropped of {missing}")
    await _compare(ground, findings, books)


async def _lap(
    ground: Ground,
    network: Forgetful,
    credits_: PoolDatabase,
    books: Books,
    replicas: tuple[ServerProcess, ServerProcess],
) -> None:
    """Two waves of runs, some cancelled; then the second replica is told to go in the middle of others."""
    headers = {"authorization": f"Bearer {ground.token(books.person)}"}
    _arm(ground, network)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx2.AsyncClient(
                    base_url=each.client.base_url, headers=headers, timeout=60, trust_env=False, verify=NO_TLS
                )
            )
            for each in replicas
        ]
        first = [_run(books, [clients[number % 2]]) for number in range(WAVE)]
        await asyncio.gather(*first, _spend(ground, credits_, books))
        second = [_run(books, clients, key=f"key-{ground.dice.getrandbits(64)}") for _ in range(WAVE)]
        await asyncio.gather(
            *second,
            *(_cancelled(books, clients, each) for each in range(3)),
            _lost(books, replicas[0], headers),
        )
        leaving = [asyncio.create_task(_accepted(books, clients[1:])) for _ in range(6)]
        accepted = await asyncio.gather(*leaving)
        await asyncio.sleep(0.1)
        await replicas[1].terminate(within_s=40)
        for each in accepted:
            await _ended(ground, each)
    network.remember()


def _arm(ground: Ground, network: Forgetful) -> None:
    """No call is met so often that its server would give up, unless it is asked for again by its client."""
    claimed_bytes = {"switchyard_runs_claim": CLAIMED_BYTES}
    for function in FUNCTIONS:
        passing, least_bytes = ground.dice.randint(0, 2), claimed_bytes.get(function, 0)
        network.forget(
            Loss(function, When.DONE, passing=0 if function in CREDITS else passing, least_bytes=least_bytes)
        )
        if function in {"switchyard_runs_claim", "switchyard_runs_heartbeat"}:
            continue
        network.forget(Loss(function, When.HASTY, passing=ground.dice.randint(1, 2)))
    for function in ("switchyard_events_append", "switchyard_steps_save", "switchyard_runs_finish"):
        network.forget(*(Loss(function, When.DONE, passing=ground.dice.randint(2, 6)) for _ in range(3)))


async def _run(books: Books, clients: list[httpx2.AsyncClient], *, key: str | None = None) -> None:
    """Without a key nothing may be asked twice: the server itself has to see to its answer."""
    books.submitted += 1
    books.charged += 1
    if key is not None:
        answer, _ = await insist(clients, EXECUTE[5:].decode(), body=_body(books), idempotency_key=key)
    else:
        answer = await clients[0].post(EXECUTE[5:].decode(), json=_body(books))
    books.answers.append(answer)


# Any: a body of the wire.
def _body(books: Books, *, pause_ms: int = 20, count: int = WORDS) -> dict[str, Any]:
    return {
        "agentId": str(books.agent),
        "messages": [{"role": "user", "content": "go"}],
        "input": {"words": count, "pause_ms": pause_ms},
    }


async def _accepted(books: Books, clients: list[httpx2.AsyncClient], *, pause_ms: int = 60) -> str:
    """The id of a run that goes on."""
    books.submitted += 1
    books.charged += 1
    key = f"key-{books.submitted}-{books.agent}"
    body = _body(books, pause_ms=pause_ms)
    answer, _ = await insist(
        clients, EXECUTE[5:].decode(), body=body, idempotency_key=key, prefer="respond-async"
    )
    run_id: str = answer.json()["runId"]
    return run_id


async def _cancelled(books: Books, clients: list[httpx2.AsyncClient], number: int) -> None:
    """Nothing is charged: such a run has called nothing before."""
    run_id = await _accepted(books, clients, pause_ms=200)
    books.charged -= 1
    answer, _ = await insist(clients[number % 2 :], f"/api/runs/{run_id}/cancel")
    assert answer.status_code in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, answer.text


async def _lost(books: Books, replica: ServerProcess, headers: dict[str, str]) -> None:
    """The client's own network drops the answer of a submission, and the client repeats it."""
    async with relaying(int(replica.client.base_url.port or 0)) as relay:
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(
            base_url=relay.url, headers=headers, timeout=60, trust_env=False, verify=NO_TLS, limits=limits
        ) as client:
            for number in range(4):
                relay.losing = EXECUTE
                await _run(books, [client], key=f"lost-{number}-{books.agent}")
        books.http_losses += relay.resets


async def _ended(ground: Ground, run_id: str) -> None:
    async with asyncio.timeout(60):
        while not await ground.sql.fetchval(
            "select ended_at is not null from switchyard.runs where id = $1", UUID(run_id)
        ):
            await asyncio.sleep(0.05)


async def _all_ended(ground: Ground) -> None:
    """Those that were cancelled, too, which nobody has waited for."""
    async with asyncio.timeout(60):
        while await ground.sql.fetchval("select count(*) from switchyard.runs where ended_at is null"):
            await asyncio.sleep(0.05)


async def _spend(ground: Ground, credits_: PoolDatabase, books: Books) -> None:
    """As an edge function: each call again, with its key, until it is answered."""

    async def ask(function: str, **arguments: Json) -> None:
        while True:
            try:
                await credits_.call(function, user_id=str(books.person), **arguments)
            except DatabaseUnavailable:
                continue
            return

    for number in range(4):
        key = f"{number}-{books.agent}"
        await ask("switchyard_credits_hold", credits=10, key=f"settled-{key}")
        await ask("switchyard_credits_settle", key=f"settled-{key}", credits=7)
        await ask("switchyard_credits_hold", credits=10, key=f"released-{key}")
        await ask("switchyard_credits_release", key=f"released-{key}")
        await ask("deduct_credits", credits=3, key=f"deducted-{key}")
        books.charged += 10


async def _compare(ground: Ground, findings: Findings, books: Books) -> None:
    runs = await ground.sql.fetchval("select count(*) from switchyard.runs")
    findings.expect(runs == books.submitted, f"{runs} runs of {books.submitted} submissions")
    ends = await ground.sql.fetch(
        "select status, coalesce(code, '') as code, count(*) as n from switchyard.runs group by 1, 2"
    )
    wrong = [
        tuple(row) for row in ends if row["status"] == "failed" or row["status"] in {"queued", "running"}
    ]
    findings.expect(wrong == [], f"runs ended as {wrong}")
    account = await ground.sql.fetchrow(
        "select credits_remaining, held from public.credit_balances where user_id = $1", books.person
    )
    left = tuple(account or ())
    findings.expect(
        left == (BALANCE - books.charged, 0), f"{BALANCE - books.charged} was to be left, and is {left}"
    )


def asks_once() -> None:
    """Mutation: a submission is not repeated by its server."""
    from heavy_agents.runs import submit

    submit.TRIES = 1


WITHOUT_KEYS = "drop index switchyard.ledger_key_once; drop index switchyard.ledger_hold_closed_once;"

LOCK = "perform pg_advisory_xact_lock(hashtextextended(p_run_id::text, 0));"

FAULT = Fault(
    name="ack-loss",
    promise="the answer of a committed call is dropped, whichever function it is of: 0 doubles, 0 lost",
    full_n=1_000,
    small_n=30,
    perform=perform,
    mutations=(
        Mutation(
            "unknown-submission",
            removes="submit's look for the run that it has made before",
            sql=rewritten(
                "public.switchyard_runs_submit", "where id = p_run_id and user_id", "where false and user_id"
            ),
        ),
        Mutation(
            "unlocked-submission",
            removes="the lock by which a repeated submit waits for the first, which takes 0.6 s here",
            sql=rewritten("public.switchyard_runs_submit", LOCK, "")
            + rewritten("public.switchyard_runs_submit_seen", LOCK, "")
            + rewritten(
                "public.switchyard_runs_submit",
                "if p_key is not null",
                "perform pg_sleep(0.6);\n  if p_key is not null",
            ),
        ),
        Mutation(
            "settled-again",
            removes="hold_close's look for a hold that is closed, and the ledger's unique keys",
            sql=WITHOUT_KEYS + rewritten("switchyard.hold_close", "\n  if found then", "\n  if false then"),
        ),
        Mutation(
            "deducted-again",
            removes="deduct_credits' look for its key, and the ledger's unique keys",
            sql=WITHOUT_KEYS + rewritten("public.deduct_credits", "\n  if found then", "\n  if false then"),
        ),
        Mutation(
            "finished-again",
            removes="finish's look whether the run has ended, and that there is one terminal event",
            sql="drop index switchyard.events_one_terminal;"
            + rewritten("public.switchyard_runs_finish", "if r.status = 'running' then", "if true then"),
        ),
        Mutation(
            "flushed-again",
            removes="append's look for events that are there",
            sql=rewritten("public.switchyard_events_append", "where e.seq > l.last_seq", ""),
        ),
        Mutation(
            "made-again",
            removes="the unique key of user and Idempotency-Key",
            sql="alter table switchyard.request_keys drop constraint request_keys_pkey;"
            + rewritten("public.switchyard_runs_submit", "on conflict (user_id, key) do nothing", "")
            + rewritten("switchyard.key_run", "if not found then", "if true then"),
        ),
        Mutation("asks-once", removes="submit's repetitions", patch=f"{__name__}:asks_once"),
    ),
)
