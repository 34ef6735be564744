"""Paid chat runs for faults to hit: two calls of a model and two tools each, and clients that come back.

Each of some people has one run at a time. What a run must come to, wherever it was hit, is looked at as soon
as it is over: the answer was seen once and in order, it was paid once, and nothing of it was bought again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import httpx2

from foundation.errors import Json
from heavy_agents.credits import Usage
from tests.hardening.fault import Findings
from tests.hardening.fleet import Fleet, Place
from tests.hardening.ground import Ground
from tests.support.bill import billed_wrongly, journaled
from tests.support.process import NO_TLS
from tests.support.stage import ANSWER, OPENING, PRICE, Pages, rules_of
from tests.support.transcript import Message, seen_wrongly, transcript
from tests.support.viewer import Viewer
from tests.support.web import serve_web

__all__ = ["LIFE_S", "Chats", "Person", "Talk", "opened_chats"]

# About as long as an undisturbed run takes.
LIFE_S = 3.4
# Nothing takes so long unless it never comes; a starved machine included.
LIMIT_S = 90.0
AGAIN_S = 0.05
# A lease and what comes after it.
LULL_S = 10.0


@dataclass(frozen=True, slots=True)
class Person:
    """`name` is in the questions, so that the model knows which pages to ask for."""

    name: str
    user_id: UUID
    token: str


@dataclass
class Talk:
    """One run, and who watches it."""

    person: Person
    run_id: str
    viewers: list[Viewer] = field(default_factory=list)
    watching: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def seen(self) -> list[Message]:
        return self.viewers[0].seen


class Chats:
    def __init__(
        self, ground: Ground, findings: Findings, *, fleet: Fleet, pages: Pages, client: httpx2.AsyncClient
    ) -> None:
        self.people: list[Person] = []
        self.talks: list[Talk] = []  # all that were begun
        self.slept_in_tools: set[str] = set()  # runs whose process was frozen while it called their tools
        self._ground = ground
        self._findings = findings
        self._fleet = fleet
        self._pages = pages
        self._client = client
        self._agent_id = UUID(int=0)
        self._is_enough = asyncio.Event()
        self._going_on: list[asyncio.Task[None]] = []

    async def prepare(self, people: int, *, word_s: float) -> None:
        for number in range(people):
            user_id = await self._ground.person()
            self.people.append(Person(f"q{number}q", user_id, self._ground.token(user_id)))
        self._agent_id = await self._ground.agent(
            self.people[0].user_id, kind="chat", price=PRICE, tools=["http_fetch"]
        )
        rules = [rule for person in self.people for rule in rules_of(person.name, self._pages, word_s=word_s)]
        await self._ground.model.play(*rules)

    def keep_talking(self) -> None:
        """Everybody begins another run as soon as theirs is over, until `enough`."""
        self._going_on = [asyncio.create_task(self._talk_on(person)) for person in self.people]

    async def hear(self, messages: float) -> None:
        """Return once the clients have heard so many more, or `LULL_S` later: there may be none."""
        wanted = self._heard + messages
        ends_at_s = time.monotonic() + LULL_S
        while self._heard < wanted and time.monotonic() < ends_at_s:
            await asyncio.sleep(AGAIN_S / 5)

    @property
    def _heard(self) -> int:
        return sum(len(viewer.heard) for talk in self.talks for viewer in talk.viewers)

    async def enough(self) -> None:
        """Return once the runs that were begun are over."""
        self._is_enough.set()
        await asyncio.gather(*self._going_on)

    async def hush(self) -> None:
        """Whoever still talks or listens, because something has gone wrong, stops."""
        tasks = [*self._going_on, *(task for talk in self.talks for task in talk.watching)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk_on(self, person: Person) -> None:
        await asyncio.sleep(self._ground.dice.uniform(0, LIFE_S))
        while not self._is_enough.is_set():
            talk = await self.begin(person)
            await self.see_through(talk)

    async def begin(self, person: Person, *, at: Place | None = None) -> Talk:
        """A run that was accepted, by the server `at` if one is given, and somebody who watches it."""
        body = {
            "agentId": str(self._agent_id),
            "messages": [{"role": "user", "content": f"Look it up, {person.name}."}],
        }
        headers = {"Idempotency-Key": str(uuid4()), "Prefer": "respond-async"}
        answer = await self.ask(person, "POST", "/api/agent/execute", at=at, json=body, headers=headers)
        talk = Talk(person, answer.json()["runId"])
        # Sent again after a lost answer, it may find the run at its end.
        if answer.status_code not in {HTTPStatus.ACCEPTED, HTTPStatus.OK}:
            self._findings.violated(f"a submission was answered with {answer.status_code}: {answer.text}")
        self.watch(talk, self.viewer(talk))
        self.talks.append(talk)
        return talk

    async def submit(self, user_id: UUID, agent_id: UUID, input_: dict[str, Json]) -> str:
        """A run of somebody else's agent; its id."""
        person = Person("", user_id, self._ground.token(user_id))
        body = {
            "agentId": str(agent_id),
            "messages": [{"role": "user", "content": "go"}],
            "input": input_,
        }
        headers = {"Idempotency-Key": str(uuid4()), "Prefer": "respond-async"}
        answer = await self.ask(person, "POST", "/api/agent/execute", json=body, headers=headers)
        return str(answer.json()["runId"])

    def watch(self, talk: Talk, viewer: Viewer) -> None:
        talk.viewers.append(viewer)
        talk.watching.append(asyncio.create_task(self._watch(viewer)))

    def viewer(self, talk: Talk, choose: Callable[[int], Awaitable[str]] | None = None) -> Viewer:
        """One more client; it goes to any server unless `choose` says otherwise."""
        return Viewer(talk.run_id, talk.person.token, self._client, choose or self._any, self._ground.dice)

    async def _any(self, _visit: int) -> str:
        return (await self._fleet.door()).url

    async def _watch(self, viewer: Viewer) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                await viewer.watch()
        except TimeoutError:
            self._findings.violated(f"a run was not over after {LIMIT_S} s")
        except AssertionError as error:
            self._findings.violated(str(error))

    async def see_through(self, talk: Talk) -> None:
        """Watch it to its end, and look at what it came to."""
        await asyncio.gather(*talk.watching)
        for viewer in talk.viewers:
            if viewer.is_over:
                await self._check_seen(talk, viewer)
        if talk.viewers[0].is_over:
            await self._check_charged(talk)

    async def _check_seen(self, talk: Talk, viewer: Viewer) -> None:
        for sentence in seen_wrongly(viewer.seen, await self.logged(talk)):
            self._findings.violated(sentence)
        last = viewer.seen[-1]
        if last["type"] != "done":
            self._findings.violated(f"a run ended as {last.get('code')}: {last.get('error')}")
            return
        shown = transcript(viewer.seen)
        self._findings.expect(shown == OPENING + ANSWER, f"a screen showed {shown!r}")
        self._findings.expect(last["response"] == ANSWER, f"a run answered {last['response']!r}")

    async def logged(self, talk: Talk) -> list[Message]:
        """All that is told of a run to whoever comes afterwards."""
        logged: list[Message] = []
        while True:
            page = await self.ask(
                talk.person,
                "GET",
                f"/api/runs/{talk.run_id}/events?after={len(logged)}&limit=200",
                headers={"Accept": "application/json"},
            )
            if page.status_code == HTTPStatus.NO_CONTENT:
                return logged
            logged += page.json()["events"]
            if page.json()["isTerminal"]:
                return logged

    async def _check_charged(self, talk: Talk) -> None:
        if talk.seen[-1]["type"] != "done":
            return
        receipt = await self.receipt(talk)
        used, of_journal = Usage.from_json(talk.seen[-1]["usage"]), journaled(receipt)
        for sentence in billed_wrongly(receipt, price=PRICE):
            self._findings.violated(sentence)
        self._findings.expect(used == of_journal, f"a run told of {used}, its journal of {of_journal}")
        calls = (of_journal.model_calls, of_journal.tool_calls)
        self._findings.expect(calls == (2, 2), f"a journal has {calls} calls of models and tools")

    async def check_no_tool_repeated(self) -> None:
        """Whatever was asked of a page was asked before the journal had its answer; call it last.

        Not of the runs in `slept_in_tools`: what was on its way to a page arrives there after the sleep.
        """
        rows = await self._ground.sql.fetch(
            "select s.result::text, s.finished_at, r.created_at, r.ended_at from switchyard.steps s"
            " join switchyard.runs r on r.id = s.run_id where s.name like '%http_fetch' and r.id <> all ($1)",
            [UUID(run_id) for run_id in self.slept_in_tools],
        )
        for row in rows:
            asked = [path for path in self._pages.began if path in row["result"]]
            self._findings.expect(len(asked) == 1, f"a tool has answered {row['result'][:300]}")
            began = [at for path in asked for at in self._pages.began[path]]
            late = [at for at in began if row["finished_at"] < at < row["ended_at"]]
            self._findings.expect(late == [], "a tool whose result is journaled was called again")

    # Any: a document of the wire.
    async def receipt(self, talk: Talk) -> dict[str, Any]:
        answer = await self.ask(talk.person, "GET", f"/api/runs/{talk.run_id}/receipt")
        document: dict[str, Any] = answer.json()
        return document

    # Any: options of the library.
    async def ask(
        self, person: Person, method: str, path: str, *, at: Place | None = None, **options: Any
    ) -> httpx2.Response:
        """The answer of any server; one that dies or leaves meanwhile is asked no further."""
        headers = {"Authorization": f"Bearer {person.token}", **options.pop("headers", {})}
        async with asyncio.timeout(LIMIT_S):
            while True:
                door = at if at is not None and at.server is not None else await self._fleet.door()
                try:
                    answer = await self._client.request(method, door.url + path, headers=headers, **options)
                except httpx2.TransportError:
                    await asyncio.sleep(AGAIN_S)
                    continue
                if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR or "runStatus" in answer.text:
                    return answer
                if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                    self._findings.violated(f"{path} was answered with {answer.status_code}: {answer.text}")
                await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def opened_chats(
    ground: Ground,
    findings: Findings,
    *,
    people: int,
    places: int,
    word_s: float = 0.025,
    **settings: str,
) -> AsyncIterator[tuple[Chats, Fleet]]:
    """So many people who may begin, and so many replicas that are ready."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    async with (
        serve_web() as web,
        httpx2.AsyncClient(trust_env=False, verify=NO_TLS, timeout=60, limits=limits) as client,
        Fleet.of(ground, places=places, FETCH_PRIVATE_HOSTS=f"127.0.0.1:{web.port}", **settings) as fleet,
    ):
        chats = Chats(ground, findings, fleet=fleet, pages=Pages(web), client=client)
        await chats.prepare(people, word_s=word_s)
        try:
            yield chats, fleet
            await chats.check_no_tool_repeated()
        finally:
            await chats.hush()
