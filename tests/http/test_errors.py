"""How refusals look: one kind of document everywhere, with the fields that are wrong, and nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import orjson
import pytest

from tests.support.server import ORIGIN, Document, Person, TestServer, assert_problem

EXECUTE = "/api/agent/execute"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
async def person(server: TestServer) -> AsyncIterator[Person]:
    async with server.person() as somebody:
        yield somebody


async def post(person: Person, content: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await person.client.post(EXECUTE, content=content, headers=JSON | (headers or {}))


def nested(depth: int) -> Document:
    value: Document = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"agentId": "no-uuid"}, "agentId"),
        ({"agentId": None}, "agentId"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x"}] * 1001}, "messages"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"input": []}, "input"),
        ({"input": {"a": [{"b": "\0"}]}}, "input.a[0].b"),
        ({"input": {"a\0": 1}}, "input"),
        ({"input": nested(64)}, "input.a.a"),
        ({"input": {"chunks": "not a list"}}, "input.chunks"),
        ({"conversationId": "x"}, "conversationId"),
        ({"metadata": {"a": "x" * 17_000}}, "metadata"),
        ({"metadta": {}}, "metadta"),
        ({"agent_id": "00000000-0000-4000-a000-000000000001"}, "agent_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_is_named(person: Person, changes: Document, field: str) -> None:
    answer = await person.client.post(EXECUTE, json=person.body(**changes))

    problem = assert_problem(answer, 422, "invalid_body")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["message"]


async def test_every_wrong_field_is_named_at_once(person: Person) -> None:
    problem = assert_problem(await post(person, b'{"stream": 3, "typo": 1}'), 422, "invalid_body")

    assert {error["field"] for error in problem["errors"]} == {"agentId", "messages", "stream", "typo"}


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null"])
async def test_a_body_that_is_no_object_is_refused(person: Person, body: bytes) -> None:
    problem = assert_problem(await post(person, body), 422, "invalid_body")

    assert problem["errors"] == [{"field": "", "message": "wants a JSON object"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 5_000,
    ],
)
async def test_a_body_that_is_no_json_is_refused(person: Person, body: bytes) -> None:
    assert_problem(await post(person, body), 400, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_another_media_type_is_refused(person: Person, headers: dict[str, str]) -> None:
    answer = await person.client.post(EXECUTE, content=b"{}", headers=headers)

    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_charset_does_not_change_what_json_is(person: Person) -> None:
    body = orjson.dumps(person.body({"chunks": ["ü"]}))

    answer = await post(person, body, {"content-type": "Application/JSON; charset=utf-8"})

    assert answer.json()["response"] == "ü"


async def exchange(server: TestServer, request: bytes, *, until: bytes = b"\r\n\r\n") -> bytes:
    """What the server says to raw bytes before they are complete."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(5):
            return await reader.readuntil(until)
    finally:
        writer.close()


def head(person: Person, *lines: str, token: str | None = None) -> bytes:
    start = [f"POST {EXECUTE} HTTP/1.1", "host: x", f"authorization: Bearer {token or person.token}"]
    return "\r\n".join([*start, "content-type: application/json", *lines, "", ""]).encode()


async def test_a_body_announced_too_large_is_refused_before_it_comes(
    server: TestServer, person: Person
) -> None:
    answer = await exchange(server, head(person, f"content-length: {50 * 1024 * 1024 + 1}"))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


async def test_a_body_that_becomes_too_large_is_refused_before_it_ends(
    server: TestServer, person: Person
) -> None:
    size_bytes = 50 * 1024 * 1024 + 1
    chunk = b"%x\r\n%b" % (size_bytes + 1000, b" " * size_bytes)

    answer = await exchange(server, head(person, "transfer-encoding: chunked") + chunk)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_of_nobody_is_not_read(server: TestServer, person: Person) -> None:
    answer = await exchange(server, head(person, "content-length: 40000000", token="x.y.z"))

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer


async def test_an_answer_to_a_whole_body_keeps_the_connection(person: Person) -> None:
    answer = await post(person, b"{}")

    assert "connection" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/api/runs/", 404, "not_found"),
        ("GET", "/ws", 404, "not_found"),
        ("POST", "/api/agent/execute-validated/", 404, "not_found"),
        ("GET", EXECUTE, 405, "method_not_allowed"),
        ("DELETE", "/api/runs", 405, "method_not_allowed"),
        ("BREW", "/api/runs", 400, ""),
        ("GET", "/api/runs/%00", 404, "run_not_found"),
        ("GET", "/api/runs?limit=x", 400, "invalid_request"),
    ],
)
async def test_whatever_is_asked_wrongly_is_a_problem(
    person: Person, method: str, path: str, status: int, code: str
) -> None:
    answer = await person.client.request(method, path)

    if code:
        assert_problem(answer, status, code)
    assert answer.status_code == status
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/keys", "GET, POST"),
        (f"/api/keys/{uuid4()}", "DELETE"),
        ("/health", "GET, HEAD"),
        (EXECUTE, "POST"),
        (f"/api/runs/{uuid4()}/artifacts/a/b", "GET"),
    ],
)
async def test_a_refused_method_is_told_all_that_are_taken(person: Person, path: str, methods: str) -> None:
    answer = await person.client.put(path)

    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == methods


@pytest.mark.parametrize("name", ["%00", "%07bell", "nothing.csv"])
async def test_a_file_no_run_can_have_reads_as_any_other_that_is_not_there(person: Person, name: str) -> None:
    run_id = await person.ended()

    answer = await person.client.get(f"/api/runs/{run_id}/artifacts/{name}")

    assert_problem(answer, 404, "artifact_not_found")


async def test_a_request_keeps_the_name_its_caller_gave_it(person: Person) -> None:
    named = await person.client.get("/nowhere", headers={"x-request-id": "trace-1.2:3"})
    forged = await person.client.get("/nowhere", headers={"x-request-id": 'a" onload="'})

    assert named.headers["x-request-id"] == named.json()["requestId"] == "trace-1.2:3"
    assert forged.headers["x-request-id"] == forged.json()["requestId"]
    assert len(forged.headers["x-request-id"]) == 16


@pytest.mark.parametrize("path", ["/api/runs", "/nowhere", EXECUTE, "/health", "/api/runs/x/events"])
async def test_every_answer_tells_browsers_to_be_careful(person: Person, path: str) -> None:
    headers = (await person.client.get(path)).headers

    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["cache-control"] == "no-store"


async def test_an_allowed_page_may_call(server: TestServer) -> None:
    asks = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key,prefer",
    }
    async with server.client() as browser:
        before = await browser.request("OPTIONS", EXECUTE, headers=asks)
        after = await browser.get("/api/runs", headers={"origin": ORIGIN})

    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == ORIGIN
    assert after.status_code == 401
    assert after.headers["access-control-allow-origin"] == ORIGIN
    assert "Location" in after.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in after.headers


async def test_another_page_may_not(server: TestServer) -> None:
    evil = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    async with server.client() as browser:
        before = await browser.request("OPTIONS", EXECUTE, headers=evil)
        after = await browser.get("/api/runs", headers=evil)

    assert_problem(before, 403, "origin_not_allowed")
    assert "access-control-allow-origin" not in before.headers
    assert "access-control-allow-origin" not in after.headers


async def test_the_description_names_every_route_and_its_problems(server: TestServer) -> None:
    async with server.client() as client:
        described = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")

    assert described["info"]["title"] == "Switchyard"
    assert "https://cdn.jsdelivr.net" in page.headers["content-security-policy"]
    execute = described["paths"][EXECUTE]["post"]
    schema = execute["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ExecuteBody"}
    assert set(described["components"]["securitySchemes"]) == {
        "user",
        "apiKey",
        "service",
        "serviceUser",
        "backend",
        "metrics",
        "token",
    }
    assert execute["security"] == [{"user": []}, {"apiKey": []}, {"service": [], "serviceUser": []}]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            refused = {status for status in operation["responses"] if status.startswith("4")}
            is_public = path.endswith(("health", "jwks.json")) or "/health/" in path
            assert is_public or "401" in refused, (method, path)


async def test_the_description_has_whatever_signing_in_may_be_answered_with(server: TestServer) -> None:
    async with server.client() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]

    missing = {
        (method, path): lacking
        for path, methods in paths.items()
        for method, operation in methods.items()
        if {"user": []} in operation.get("security", [])
        and (lacking := {"400", "401", "429", "502", "503"} - operation["responses"].keys())
    }

    assert missing == {}


async def test_the_description_refers_to_nothing_it_lacks(server: TestServer) -> None:
    async with server.client() as client:
        text = (await client.get("/openapi.json")).text
    schemas = orjson.loads(text)["components"]["schemas"]

    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert referred <= set(schemas)
