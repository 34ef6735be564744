"""What another backend may do here: run what it sends, follow and end that, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx2
import pytest

from foundation.identity import KEYS_PATH
from tests.support.certificate import certificate_for
from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.forwarding import as_pem, fresh_key
from tests.support.minutes import until_a_minute_lasts
from tests.support.raw import exchange, request_head
from tests.support.run_forge import RunForge
from tests.support.server import SERVICE_SECRET, Document, Person, TestServer, assert_problem, messages
from tests.support.tokens import Attack
from tests.support.web import serve_web

PATH = "/api/agent/execute-validated"
US = "https://us.example"
AGENT = "00000000-0000-4000-a000-00000000cafe"  # has no row
RUNS_PER_MINUTE = 400
KEEP_FILE = """
insert into switchyard.blobs (run_id, owner, purpose, name, media_type, size_bytes, bytes)
select id, user_id, 'artifact', $2, 'text/plain', octet_length($3::bytea), $3
from switchyard.runs where id = $1
"""


@dataclass(frozen=True)
class Backend:
    """Another backend that is trusted here."""

    chat: ChatServer
    forge: RunForge

    def client(self, user_id: UUID, *, key: str = "run-1", **headers: str) -> httpx2.AsyncClient:
        token = self.forge.token(user_id, {"key": key})
        told = {"authorization": f"Bearer {token}", "idempotency-key": key, **headers}
        return self.chat.server.client(**told)


@pytest.fixture(scope="module")
async def backend(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Backend]:
    certificate, key = certificate_for("localhost", tmp_path_factory.mktemp("tls"), address="127.0.0.1")
    url = await fresh_database(database_server)
    async with serve_web(certificate=certificate, key=key) as web:
        forge = RunForge(issuer=f"https://localhost:{web.port}", audience=US)
        web.reply(KEYS_PATH, json.dumps(forge.jwks()).encode())
        trust = (forge.issuer, "https://second.example")
        settings = {
            "trusted_backends": trust,
            "private_backends": trust,
            "public_url": US,
            "extra_ca_file": certificate,
            "forwarding_key": as_pem(fresh_key()),
            "backend_runs_per_minute": RUNS_PER_MINUTE,
        }
        async with chatting(url, **settings) as chat:
            yield Backend(chat, forge)
    await drop(database_server, url)


@pytest.fixture(scope="module")
def server(backend: Backend) -> TestServer:
    return backend.chat.server


def body(user_id: UUID, **changes: object) -> Document:
    asked: Document = {
        "userId": str(user_id),
        "agentId": AGENT,
        "agentConfig": {"name": "Concierge", "system_prompt": "You answer in one sentence."},
        "messages": [{"role": "user", "content": "When are you open?"}],
    }
    return asked | changes


async def test_it_runs_what_it_sends_and_hears_it(backend: Backend) -> None:
    user = uuid4()
    await backend.chat.model.play({"reply": {"text": "Nine to five."}})

    async with backend.client(user) as client:
        told = messages((await client.post(PATH, json=body(user))).text)

    assert told[0]["type"] == "started"
    assert (told[-1]["response"], told[-1]["creditsUsed"]) == ("Nine to five.", 0)
    assert told[-1]["usage"]["modelCalls"] == 1


async def test_its_run_is_charged_to_nobody_here_and_belongs_to_nobody(
    backend: Backend, person: Person
) -> None:
    async with backend.client(person.id) as client:
        run_id = (await client.post(PATH, json=body(person.id, stream=False))).json()["runId"]

        row = await backend.chat.server.sql.fetchrow(
            "select user_id, credits_owner, hold_credits, charged_credits, agent ->> 'source' as source"
            " from switchyard.runs where id = $1",
            UUID(run_id),
        )
        assert row is not None
        assert row["user_id"] != person.id
        assert (row["credits_owner"], row["hold_credits"], row["charged_credits"]) == ("caller", 0, 0)
        assert row["source"] == "backend"
        # The local user of the same id has nothing to do with it.
        assert_problem(await person.client.get(f"/api/runs/{run_id}"), 404, "run_not_found")
        assert (await person.client.get("/api/credits")).json()["balance"] == 1000
        assert (await client.get(f"/api/runs/{run_id}")).status_code == 200


async def test_an_agent_of_ours_with_the_same_id_means_nothing(backend: Backend, person: Person) -> None:
    ours = await backend.chat.agent(person.id, price={"flat": "many"})
    user = uuid4()

    async with backend.client(user) as client:
        answer = await client.post(PATH, json=body(user, agentId=str(ours), stream=False))

    assert (answer.status_code, answer.json()["creditsUsed"]) == (200, 0)


async def test_it_reads_and_ends_its_own_runs_alone(backend: Backend, person: Person) -> None:
    local = await person.ended({"chunks": ["mine"]})
    user = uuid4()
    async with backend.client(user) as client, backend.client(uuid4()) as another:
        run_id = (await client.post(PATH, json=body(user, stream=False))).json()["runId"]

        events = await client.get(f"/api/runs/{run_id}/events", params={"after": 1})
        assert messages(events.text)[-1]["type"] == "done"
        assert (await client.post(f"/api/runs/{run_id}/cancel")).status_code == 200
        for stranger, run in ((another, run_id), (client, local)):
            assert_problem(await stranger.get(f"/api/runs/{run}"), 404, "run_not_found")
            assert_problem(await stranger.get(f"/api/runs/{run}/events"), 404, "run_not_found")
            assert_problem(await stranger.post(f"/api/runs/{run}/cancel"), 404, "run_not_found")
            assert_problem(await stranger.get(f"/api/runs/{run}/artifacts/a"), 404, "run_not_found")


DOORS: list[tuple[str, str, Document]] = [
    ("GET", "", {}),
    ("GET", "/events?after=1", {}),
    ("GET", "/events", {"last-event-id": "1"}),
    ("GET", "/events?after=1&wait=1", {"accept": "application/json"}),
    ("GET", "/artifacts/menu.txt", {}),
    ("POST", "/cancel", {}),
]


@pytest.mark.parametrize(("method", "door", "headers"), DOORS)
async def test_a_token_opens_no_other_run_of_its_own_user(
    backend: Backend, method: str, door: str, headers: Document
) -> None:
    user = uuid4()
    async with backend.client(user, key="one") as one, backend.client(user, key="two") as two:
        first, second = [
            (await client.post(PATH, json=body(user, stream=False))).json()["runId"] for client in (one, two)
        ]
        await backend.chat.server.sql.execute(KEEP_FILE, UUID(second), "menu.txt", b"soup")

        foreign = await one.request(method, f"/api/runs/{second}{door}", headers=headers)
        own = await two.request(method, f"/api/runs/{second}{door}", headers=headers)

    assert first != second
    assert_problem(foreign, 404, "run_not_found")
    assert own.status_code == 200


async def test_a_token_does_not_end_a_run_of_its_own_user_that_is_under_way(backend: Backend) -> None:
    user = uuid4()
    await backend.chat.model.play({"reply": {"text": "word " * 400, "between_s": 0.02}})
    async with backend.client(user, key="one") as one, backend.client(user, key="two") as two:
        begun = await two.post(PATH, json=body(user), headers={"prefer": "respond-async"})
        run_id = begun.json()["runId"]

        assert_problem(await one.post(f"/api/runs/{run_id}/cancel"), 404, "run_not_found")
        assert (await two.get(f"/api/runs/{run_id}")).json()["status"] in {"queued", "running"}
        assert (await two.post(f"/api/runs/{run_id}/cancel")).status_code == 202
    await backend.chat.model.play()


async def test_a_token_in_the_address_opens_its_run_alone(backend: Backend) -> None:
    user = uuid4()
    async with backend.client(user, key="one") as one, backend.client(user, key="two") as two:
        runs = [
            (await client.post(PATH, json=body(user, stream=False))).json()["runId"] for client in (one, two)
        ]
    token = backend.forge.token(user, {"key": "one"})

    async with backend.chat.server.client() as nobody:
        own, foreign = [await nobody.get(f"/api/runs/{run}/events", params={"token": token}) for run in runs]

    assert messages(own.text)[-1]["type"] == "done"
    assert_problem(foreign, 404, "run_not_found")


async def test_a_run_whose_key_is_no_longer_kept_opens_to_no_token(backend: Backend) -> None:
    """Keys are kept for 90 days; no token is of a run that old."""
    user = uuid4()
    async with backend.client(user) as client:
        run_id = (await client.post(PATH, json=body(user, stream=False))).json()["runId"]
        await backend.chat.server.sql.execute(
            "delete from switchyard.request_keys where run_id = $1", UUID(run_id)
        )

        assert_problem(await client.get(f"/api/runs/{run_id}"), 404, "run_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/agent/execute"),
        ("GET", "/api/runs"),
        ("GET", f"/api/runs/{AGENT}/receipt"),
        ("GET", "/api/credits"),
        ("GET", "/api/agents"),
        ("GET", f"/api/agent/metrics/{AGENT}"),
        ("GET", "/api/keys"),
        ("POST", "/api/keys"),
        ("POST", "/api/conversations"),
    ],
)
async def test_nothing_else_opens_to_its_token(
    backend: Backend, person: Person, method: str, path: str
) -> None:
    async with backend.client(person.id) as client:
        assert_problem(await client.request(method, path, json={}), 401, "invalid_token")


async def test_a_token_seen_by_somebody_else_begins_no_second_run(backend: Backend) -> None:
    user, key = uuid4(), "run-seen"
    async with backend.client(user, key=key) as client:
        first = await client.post(PATH, json=body(user, stream=False))
        runs = await backend.chat.server.sql.fetchval("select count(*) from switchyard.runs")

        again = await client.post(PATH, json=body(user, stream=False))
        other = await client.post(PATH, json=body(user, messages=[{"role": "user", "content": "No"}]))
        beside = await client.post(PATH, json=body(user), headers={"idempotency-key": "run-other"})
        keyless = await _without_key(backend, client, user)

    assert again.json()["runId"] == first.json()["runId"]
    assert_problem(other, 422, "key_conflict")
    assert_problem(beside, 400, "invalid_request")
    assert_problem(keyless, 400, "invalid_request")
    assert await backend.chat.server.sql.fetchval("select count(*) from switchyard.runs") == runs


async def _without_key(backend: Backend, client: httpx2.AsyncClient, user: UUID) -> httpx2.Response:
    bearer = client.headers["authorization"]
    async with backend.chat.server.client(authorization=bearer) as keyless:
        return await keyless.post(PATH, json=body(user))


async def test_it_speaks_for_the_user_of_its_token_alone(backend: Backend) -> None:
    async with backend.client(uuid4()) as client:
        assert_problem(await client.post(PATH, json=body(uuid4())), 400, "conflicting_credentials")


async def test_it_has_the_service_s_secret_and_a_token_for_nobody(backend: Backend) -> None:
    user = uuid4()
    async with backend.client(user, **{"x-railway-secret": SERVICE_SECRET}) as client:
        assert_problem(await client.post(PATH, json=body(user)), 401, "invalid_token")


async def test_all_its_runs_together_are_bounded(backend: Backend) -> None:
    """Counted near the bound. No plan of ours counts: a user without an account would have the least."""
    sql = backend.chat.server.sql
    one, *others = [uuid4() for _ in range(4)]
    await until_a_minute_lasts()
    for number in range(6):  # a free plan has 5 a minute
        async with backend.client(one, key=f"of-one-{number}") as client:
            assert (await client.post(PATH, json=body(one, stream=False))).status_code == 200
    await sql.execute(
        "update switchyard.rate_windows set used = $1, used_before = 0 where window_s = 60"
        " and user_id in (select (agent #>> '{backend,id}')::uuid from switchyard.runs)",
        RUNS_PER_MINUTE - 1,
    )
    try:
        statuses = await asyncio.gather(*(_status(backend, user) for user in others))
    finally:
        await sql.execute("delete from switchyard.rate_windows")

    assert sorted(statuses) == [200, 429, 429]


async def _status(backend: Backend, user: UUID) -> int:
    async with backend.client(user, key=f"of-{user}") as client:
        return (await client.post(PATH, json=body(user, stream=False))).status_code


async def test_no_attack_on_its_token_gets_in(backend: Backend, person: Person) -> None:
    server = backend.chat.server
    before = await server.counts()
    async with serve_web() as canary:
        attacks = backend.forge.run_attacks(person.id, canary_url=canary.url)
        wrong = [each for attack in attacks if (each := await _tried(server, attack)) is not None]
        assert canary.asked == []

    assert wrong == []
    assert await server.counts() == before


async def _tried(server: TestServer, attack: Attack) -> str | None:
    """What is wrong with the answers to the attack as it is, which a client library would refuse to send."""
    lines = [*attack.headers, ("content-type", "application/json"), ("content-length", "2")]
    for method, path in (("POST", PATH), ("POST", f"/api/runs/{AGENT}/cancel")):
        answer = await exchange(server.url, request_head(method, path, lines) + b"{}")
        if answer is None:
            # Beyond what the server takes as headers, it may end the connection without a word.
            if len(attack.token or "") < 60_000:
                return f"{attack}: no answer"
        elif answer.status_code not in attack.statuses:
            return f"{attack}: {path} {answer.status_code}"
    return None


async def test_anybody_may_fetch_the_keys_that_we_sign_with(backend: Backend) -> None:
    async with backend.chat.server.client() as nobody:
        answer = await nobody.get(KEYS_PATH)

    (key,) = answer.json()["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert "d" not in key
    assert answer.headers["cache-control"] == "public, max-age=300"
