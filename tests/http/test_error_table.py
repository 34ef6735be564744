"""The table of errors, by proof: every code is provoked over plain HTTP, in a stream and on a socket.

A row says how a code looks; its cells say what provokes it on each transport, or why it cannot happen there.
What is provoked is real: a database that is cut off, a provider that fails, a body that stops coming.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import pytest

from foundation import errors
from foundation.errors import HeavyError
from routing.bodies import EXECUTE_BYTES
from tests.support.database import DatabaseServer
from tests.support.provocations import (
    asking_a_provider_that_fails,
    asking_an_agent_in_a_hurry,
    coming_as_two,
    coming_from_another_page,
    coming_to_who_is_going,
    coming_too_often,
    coming_too_often_from_an_open_socket,
    coming_when_no_key_is_known,
    coming_with_nonsense,
    looking_for_nothing_known,
    looking_into_a_gap,
    looking_into_the_future,
    managing_keys_as_the_service,
    ordering,
    ordering_beyond_the_plan,
    ordering_in_an_outage,
    ordering_in_another_type,
    ordering_nothing_known,
    ordering_too_much,
    ordering_twice,
    ordering_what_nobody_runs,
    ordering_without_credits,
    reading_nothing,
    saying_what_is_no_message,
    sending_a_body_that_stops,
    starting_what_only_the_service_may,
)
from tests.support.refusals import By, Told
from tests.support.scenes import Scenes, open_scenes
from tests.support.server import Document, messages

# Any: an `Asking` or a `Failing`.
Prepare = Callable[[Scenes, By], AsyncIterator[Any]]


@dataclass(frozen=True)
class Proof:
    """What provokes a code.

    Attributes:
        prepare: yields the server and what is asked of it.
        close: the close code of a socket; None while it goes on.
        kind: of the last message on a socket; None for a close without a word.
    """

    prepare: Prepare
    close: int | None = None
    kind: str | None = "error"


@dataclass(frozen=True)
class NotThere:
    reason: str


Cells = Mapping[By, Proof | NotThere]


@dataclass(frozen=True)
class Row:
    """One code.

    Attributes:
        facts: what is told besides, and nothing else; a type stands for any value of it.
        headers: of an answer, as patterns.
    """

    code: str
    status: int
    cells: Cells
    facts: Document = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


UNKNOWN_FIELD = {"field": "surprise", "message": "is not a field of this request; check its spelling"}
LIMITED = {"retryAfter": int, "policy": str}
TOLD_TO_WAIT = {
    "retry-after": r"[1-9]\d*",
    "ratelimit": r'"\w+";r=0;t=[1-9]\d*',
    "ratelimit-policy": r'"\w+";q=\d+(;w=\d+)?',
}
SOON = {"retry-after": "2"}
NO_BODY = (
    "a message has no media type; bytes instead of text are `invalid_request`, as is whatever is no message"
)
ONE_KIND = "sockets take the tokens of users only, and everything on them is open to users"


def everywhere(prepare: Prepare, *, close: int | None = None, kind: str | None = "error") -> Cells:
    return cells(http=Proof(prepare), sse=Proof(prepare), ws=Proof(prepare, close, kind))


def cells(*, http: Proof | NotThere, sse: Proof | NotThere, ws: Proof | NotThere) -> Cells:
    return {By.HTTP: http, By.SSE: sse, By.WS: ws}


ROWS = [
    Row("invalid_request", 400, everywhere(partial(ordering, key=""))),
    Row(
        "invalid_request",
        400,
        cells(
            http=NotThere("each request stands for itself; see tests/http/test_errors.py"),
            sse=NotThere("nothing is sent to a stream"),
            ws=Proof(saying_what_is_no_message, close=4400),
        ),
    ),
    Row("conflicting_credentials", 400, everywhere(coming_as_two, close=4400)),
    Row("bad_cursor", 400, everywhere(looking_into_the_future)),
    Row(
        "invalid_token",
        401,
        everywhere(coming_with_nonsense, close=4401),
        headers={"www-authenticate": 'Bearer error="invalid_token"'},
    ),
    Row(
        "insufficient_credits",
        402,
        everywhere(ordering_without_credits),
        facts={"needed": 1, "available": 0},
    ),
    Row(
        "wrong_caller",
        403,
        cells(
            http=Proof(managing_keys_as_the_service),
            sse=Proof(starting_what_only_the_service_may),
            ws=NotThere(ONE_KIND),
        ),
    ),
    Row("origin_not_allowed", 403, everywhere(coming_from_another_page, close=4403)),
    Row("agent_not_found", 404, everywhere(ordering_nothing_known)),
    Row("run_not_found", 404, everywhere(looking_for_nothing_known)),
    Row(
        "gap",
        409,
        everywhere(looking_into_a_gap, kind="agent_gap"),
        facts={"oldest": 6, "latest": 8},
    ),
    Row(
        "too_large",
        413,
        cells(
            http=Proof(ordering_too_much),
            sse=Proof(ordering_too_much),
            ws=Proof(ordering_too_much, close=1009, kind=None),
        ),
        facts={"limitBytes": EXECUTE_BYTES},
    ),
    Row(
        "unsupported_media_type",
        415,
        cells(
            http=Proof(ordering_in_another_type),
            sse=Proof(ordering_in_another_type),
            ws=NotThere(NO_BODY),
        ),
    ),
    Row("invalid_body", 422, everywhere(partial(ordering, surprise=1)), facts={"errors": [UNKNOWN_FIELD]}),
    Row("key_conflict", 422, everywhere(ordering_twice)),
    Row("rate_limited", 429, everywhere(coming_too_often, close=4429), facts=LIMITED, headers=TOLD_TO_WAIT),
    Row("rate_limited", 429, everywhere(ordering_beyond_the_plan), facts=LIMITED, headers=TOLD_TO_WAIT),
    Row(
        "rate_limited",
        429,
        cells(
            http=NotThere("a request is a connection's own"),
            sse=NotThere("nothing is sent to a stream"),
            ws=Proof(coming_too_often_from_an_open_socket),
        ),
        facts=LIMITED,
    ),
    Row(
        "backend_failed",
        502,
        everywhere(coming_when_no_key_is_known, close=1013),
        headers={"retry-after": "5"},
    ),
    Row("not_configured", 503, everywhere(ordering_what_nobody_runs)),
    Row("draining", 503, everywhere(coming_to_who_is_going, close=1012, kind="reconnect"), headers=SOON),
    Row("database_unavailable", 503, everywhere(ordering_in_an_outage), headers=SOON),
    # Last, because the server waits for 15 s before it says so.
    Row(
        "too_slow",
        408,
        cells(
            http=Proof(sending_a_body_that_stops),
            sse=Proof(sending_a_body_that_stops),
            ws=Proof(reading_nothing, close=4408, kind=None),
        ),
    ),
]

# Codes of runs that are accepted and then fail; what they cost stands beside them.
FAILURES = [
    Row(
        "model_unavailable",
        503,
        everywhere(asking_a_provider_that_fails, kind="agent_execution_error"),
        facts={"creditsUsed": 0},
    ),
    Row(
        "deadline_exceeded",
        504,
        everywhere(asking_an_agent_in_a_hurry, kind="agent_execution_error"),
        facts={"creditsUsed": 1},
    ),
]

# The table of the protocol, apart from the proofs above.
TABLE = {
    400: {"invalid_request", "conflicting_credentials", "bad_cursor"},
    401: {"invalid_token"},
    402: {"insufficient_credits"},
    403: {"wrong_caller", "origin_not_allowed"},
    404: {"agent_not_found", "run_not_found"},
    408: {"too_slow"},
    409: {"gap"},
    413: {"too_large"},
    415: {"unsupported_media_type"},
    422: {"invalid_body", "key_conflict"},
    429: {"rate_limited"},
    502: {"backend_failed"},
    503: {"not_configured", "draining", "database_unavailable", "model_unavailable"},
    504: {"deadline_exceeded"},
}
CODES = {code: status for status, codes in TABLE.items() for code in codes}

ELSEWHERE = {
    "not_found": "no such path, and no such key: tests/http/test_errors.py, test_keys.py",
    "conversation_not_found": "tests/http/test_conversations.py",
    "artifact_not_found": "tests/http/test_errors.py",
    "method_not_allowed": "tests/http/test_errors.py",
    "internal_error": "our own fault, which nobody can provoke: tests/unit/test_routing_middleware.py",
}


def proofs(rows: list[Row]) -> list[Any]:
    return [
        pytest.param(row, by, id=f"{row.code}-{by}-{number}")
        for number, row in enumerate(rows)
        for by in By
        if isinstance(row.cells[by], Proof)
    ]


@pytest.fixture(scope="module")
async def scenes(database_server: DatabaseServer) -> AsyncIterator[Scenes]:
    async with open_scenes(database_server) as scenes:
        await scenes.begin_slow_bodies()
        yield scenes


def test_every_code_is_proved_or_explained_on_every_transport() -> None:
    told = {(row.code, by) for row in [*ROWS, *FAILURES] for by in By}
    proved = {row.code for row in [*ROWS, *FAILURES] for by in By if isinstance(row.cells[by], Proof)}

    assert told == set(product(CODES, By))
    assert proved == set(CODES)
    assert {row.code: row.status for row in [*ROWS, *FAILURES]} == CODES


def test_every_leaf_of_the_tree_is_in_the_table_or_has_its_reason() -> None:
    named = [getattr(errors, name) for name in errors.__all__]
    leaves = {each for each in named if isinstance(each, type) and issubclass(each, HeavyError)} - {
        HeavyError
    }

    assert {each.code for each in leaves} == CODES.keys() | ELSEWHERE.keys()
    assert {each.code: each.status for each in leaves if each.code in CODES} == CODES


@pytest.mark.parametrize(("row", "by"), proofs(ROWS))
async def test_a_refusal_is_told_whole_and_writes_nothing(scenes: Scenes, row: Row, by: By) -> None:
    proof = row.cells[by]
    assert isinstance(proof, Proof)
    async with asynccontextmanager(proof.prepare)(scenes, by) as (server, ask):
        before = await server.counts()
        told = await ask()
        after = await server.counts()

    assert after == before
    check(told, row, proof, by)
    assert await server.sql.fetchval("select public.switchyard_audit()") == []


def check(told: Told, row: Row, proof: Proof, by: By) -> None:
    if by is By.WS:
        assert (told.kind, told.status, told.close) == (proof.kind, None, proof.close), told
    else:
        assert (told.kind, told.status) == ("problem", row.status), told
        for name, pattern in row.headers.items():
            assert re.fullmatch(pattern, told.headers[name]), (name, told.headers)
    if told.kind in {"problem", "error"}:
        assert told.code == row.code
        assert told.text
    if told.kind in {"problem", "error", "agent_gap"}:
        assert told.facts.keys() == row.facts.keys()
        for name, wanted in row.facts.items():
            found = told.facts[name]
            assert isinstance(found, wanted) if isinstance(wanted, type) else found == wanted


@pytest.mark.parametrize(("row", "by"), proofs(FAILURES))
async def test_a_failed_run_is_told_once_and_charged_what_it_says(scenes: Scenes, row: Row, by: By) -> None:
    proof = row.cells[by]
    assert isinstance(proof, Proof)
    async with asynccontextmanager(proof.prepare)(scenes, by) as (server, person, ask):
        told = await ask()
        account = (await person.client.get("/api/credits")).json()
        (run,) = (await person.client.get("/api/runs")).json()["runs"]
        log = messages((await person.client.get(f"/api/runs/{run['runId']}/events")).text)

    statuses = {By.HTTP: ("problem", row.status), By.SSE: ("error", 200), By.WS: (proof.kind, None)}
    assert (told.kind, told.status, told.close) == (*statuses[by], None)
    assert told.code == row.code == log[-1]["code"] == run["code"]
    assert [each["type"] for each in log].count("error") == 1
    assert told.text == log[-1]["error"]
    assert told.facts["creditsUsed"] == row.facts["creditsUsed"] == 1000 - account["balance"]
    assert account["held"] == 0
    assert await server.sql.fetchval("select public.switchyard_audit()") == []
