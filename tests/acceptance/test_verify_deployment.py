"""The check of a deployment: green on a good server, and red in the right row on every broken one."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.breaking import Fault, Head, breaking
from tests.support.certificate import certificate_for
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.process import DEMO_USER, ROOT, ServerProcess, environment, free_port, until
from tests.support.server import METRICS_TOKEN, SERVICE_SECRET, Person, TestServer, running_server
from tests.support.tokens import TokenForge

SCRIPT = ROOT / "scripts" / "verify-deployment.sh"
ROW = re.compile(r"^(.{30}) \| (ok|FAILED|skipped) *\| (.*)$", re.MULTILINE)
# Long enough to tell when its events came.
SLOW = {"events": [{"type": "weather", "fields": {"sun": True}, "pause_ms": 250} for _ in range(6)]}
# They are compared with what the stream has told.
OF_TOLD = {"WebSocket streamed", "WebSocket resumed"}
OF_STREAMS = {"SSE streamed", "SSE resumed", *OF_TOLD}
OF_RUNS = {
    "run executed",
    "SSE streamed",
    "SSE resumed",
    "WebSocket streamed",
    "WebSocket resumed",
    "charged once",
}


@dataclass(frozen=True)
class Table:
    code: int
    text: str

    @property
    def rows(self) -> dict[str, tuple[str, str]]:
        return {name.strip(): (result, seen) for name, result, seen in ROW.findall(self.text)}

    def of(self, result: str) -> set[str]:
        return {name for name, (found, _) in self.rows.items() if found == result}

    def seen(self, check: str) -> str:
        return self.rows[check][1]


async def verify(*arguments: str, said: str = "", folder: Path = Path("/"), **settings: str) -> Table:
    process = await asyncio.create_subprocess_exec(
        str(SCRIPT),
        *arguments,
        cwd=folder,
        env=environment(settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(said.encode()), 60)
    return Table(process.returncode or 0, out.decode())


async def verify_run(url: str, person: Person, *, input_: object = None) -> Table:
    """With a run of the person's agent."""
    asked = ["--input", json.dumps(input_ or {"chunks": ["a", "b", "c"]})]
    return await verify(url, "@-", *asked, said=person.token, METRICS_TOKEN=METRICS_TOKEN)


@pytest.fixture(scope="module")
async def server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url) as running:
        yield running
    await drop(database_server, url)


async def test_a_good_server_passes_every_check(server: TestServer) -> None:
    async with server.person() as person:
        table = await verify_run(server.url, person, input_=SLOW)

    assert table.of("FAILED") == set(), table.text
    assert table.of("skipped") == {"TLS"}
    assert table.code == 0


async def test_a_server_in_production_passes_every_check(demo_url: str) -> None:
    forge = TokenForge(
        issuer="https://project.invalid/auth/v1", secret="the-legacy-secret-of-this-project-0123"
    )
    settings = {
        "ENVIRONMENT": "production",
        "DATABASE_URL": demo_url,
        "SUPABASE_JWT_SECRET": str(forge.secret),
        "JWT_ISSUER": forge.issuer,
        "RAILWAY_BACKEND_SECRET": SERVICE_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN,
    }
    token = forge.token(DEMO_USER, algorithm="HS256")
    async with ServerProcess.running(**settings) as server:
        asked = ["@-", "--agent", "Forecaster"]
        table = await verify(str(server.client.base_url), *asked, said=token, METRICS_TOKEN=METRICS_TOKEN)

    assert (table.of("FAILED"), table.of("skipped")) == (set(), {"TLS"}), table.text
    assert "1 charged once" in table.seen("charged once")


async def test_a_deployment_behind_tls_passes_every_check(server: TestServer, tmp_path: Path) -> None:
    certificate, key = certificate_for("deployment.example", tmp_path, address="127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with server.person() as person, breaking(server.url, Fault(), tls=tls) as url:
        arguments = ["@-", "--input", "{}"]
        trusted = await verify(url, *arguments, said=person.token, SSL_CERT_FILE=str(certificate))
        strange = await verify(url, *arguments, said=person.token)

    assert trusted.of("FAILED") == set(), trusted.text
    assert trusted.of("skipped") == {"platform's probe", "metrics with METRICS_TOKEN"}
    assert strange.of("FAILED") == {"liveness"}
    assert "its certificate is not to be trusted" in strange.seen("liveness")


async def test_an_api_key_does_for_all_but_the_socket(server: TestServer) -> None:
    async with server.person() as person:
        key = (await person.client.post("/api/keys", json={"name": "verify"})).json()["key"]
        table = await verify(server.url, "@-", said=key, METRICS_TOKEN=METRICS_TOKEN)

    assert table.of("FAILED") == set(), table.text
    assert table.of("skipped") == {"TLS", *OF_TOLD}


async def test_without_a_token_no_run_is_started_and_the_table_says_so(server: TestServer) -> None:
    before = await server.counts()

    table = await verify(server.url)

    assert table.code == 0, table.text
    assert table.of("skipped") == {"TLS", "token taken", "metrics with METRICS_TOKEN", *OF_RUNS}
    assert table.seen("run executed") == "needs a TOKEN"
    assert await server.counts() == before


async def test_no_run_is_started_where_none_is_wanted(server: TestServer) -> None:
    async with server.person() as person:
        before = await server.counts()
        table = await verify(server.url, "@-", "--no-run", said=person.token)

    assert table.code == 0, table.text
    assert table.of("skipped") == {"TLS", "metrics with METRICS_TOKEN", *OF_RUNS}
    assert await server.counts() == before


async def test_a_token_that_is_not_taken_is_said(server: TestServer) -> None:
    table = await verify(server.url, "no-token-of-this-project")

    assert (table.code, table.of("FAILED")) == (1, {"token taken"}), table.text
    assert table.seen("token taken") == "the token is refused: 401 invalid_token"


async def test_the_file_of_a_token_is_found_from_where_the_caller_stands(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("some-token", encoding="utf-8")
    # Of the caller's folder nothing is run, whatever it is called.
    (tmp_path / "json.py").write_text("raise SystemExit(9)", encoding="utf-8")

    table = await verify(f"http://127.0.0.1:{free_port()}", "@token", folder=tmp_path)

    assert (table.code, table.of("FAILED")) == (1, {"liveness"}), table.text


async def test_nothing_that_listens_is_one_red_row() -> None:
    table = await verify(f"http://127.0.0.1:{free_port()}", "some-token")

    assert (table.code, table.of("FAILED")) == (1, {"liveness"}), table.text
    assert table.seen("liveness") == "nothing listens there"


async def is_not_ready(server: TestServer) -> bool:
    """What was found ready stays so for a second."""
    async with server.client() as client:
        return (await client.get("/health/readiness")).status_code == 503


async def test_a_database_that_is_gone_is_one_red_row(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url) as server, server.person() as person:
        await drop(database_server, url)
        await until(lambda: is_not_ready(server), within_s=10)
        table = await verify_run(server.url, person)

    assert (table.code, table.of("FAILED")) == (1, {"readiness"}), table.text
    assert "database" in table.seen("readiness")


async def test_careless_settings_are_found_each_in_its_row(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url, metrics_token=None, allowed_origins="*") as server:
        table = await verify(server.url)

    await drop(database_server, url)
    red = {"metrics guarded", "foreign pages", "foreign pages on a WebSocket"}
    assert (table.code, table.of("FAILED")) == (1, red), table.text
    assert "METRICS_TOKEN" in table.seen("metrics guarded")
    assert "ALLOWED_ORIGINS" in table.seen("foreign pages")


async def test_a_run_that_nobody_takes_is_one_red_row_and_cancelled(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url, worker_slots=1) as server, server.person() as person:
        await person.started({"gate": "busy"})

        table = await verify(server.url, "@-", "--wait", "1", said=person.token)

        assert (table.code, table.of("FAILED")) == (1, {"run executed"}), table.text
        assert "no worker takes it" in table.seen("run executed")
        statuses = await server.sql.fetch("select status from switchyard.runs order by created_at")
        assert [row["status"] for row in statuses] == ["running", "cancelled"]
        server.echo.gates["busy"].set()
    await drop(database_server, url)


async def test_a_run_that_fails_is_one_red_row(server: TestServer) -> None:
    async with server.person() as person:
        table = await verify_run(server.url, person, input_={"fail": "no key for the model"})

    assert (table.code, table.of("FAILED")) == (1, {"run executed"}), table.text
    assert "no key for the model" in table.seen("run executed")


def of_answers(change: Callable[[dict[str, str]], object]) -> Fault:
    def of_answer(head: Head) -> None:
        change(head.fields)

    return Fault(of_answer=of_answer)


def of_requests(change: Callable[[dict[str, str]], object]) -> Fault:
    def of_request(head: Head) -> None:
        change(head.fields)

    return Fault(of_request=of_request)


def with_somebodys_token(token: str) -> Fault:
    return of_requests(lambda fields: fields.setdefault("authorization", f"Bearer {token}"))


def with_a_trace(head: Head) -> None:
    if " 404 " in head.first:
        head.fields["content-type"] = "text/html"


def without_receipts(head: Head) -> None:
    head.first = head.first.replace("/receipt ", "/recipe ")


def sending_on(head: Head) -> None:
    head.first = "HTTP/1.1 301 Moved Permanently"
    head.fields["location"] = "https://deployment.example/health/liveness"


FAULTS = {
    "a proxy that collects streams": (Fault(of_stream=lambda whole: whole), {"SSE streamed"}),
    "a proxy that cuts streams": (Fault(stream_bytes=500), OF_STREAMS),
    "a proxy that drops ids": (
        Fault(of_stream=lambda whole: re.sub(rb"id: \d+\n", b"", whole)),
        OF_STREAMS,
    ),
    "a proxy that repeats events": (
        Fault(of_stream=lambda whole: re.sub(rb"(id: 2\n.*\n\n)", rb"\1\1", whole)),
        OF_STREAMS,
    ),
    "a proxy that forgets Last-Event-ID": (
        of_requests(lambda fields: fields.pop("last-event-id", None)),
        {"SSE resumed"},
    ),
    "a proxy without WebSockets": (
        of_requests(lambda fields: fields.pop("upgrade", None)),
        {"WebSocket opens"},
    ),
    "a proxy that drops a header": (
        of_answers(lambda fields: fields.pop("x-content-type-options", None)),
        {"headers"},
    ),
    "a server that says what it is": (
        of_answers(lambda fields: fields.update(server="uvicorn")),
        {"headers"},
    ),
    "pages of proxies": (Fault(of_answer=with_a_trace), {"problem documents"}),
    "an address that is sent on": (Fault(of_answer=sending_on), {"liveness"}),
    "a receipt that is not there": (Fault(of_request=without_receipts), {"charged once"}),
    "refusals that do not say how": (
        of_answers(lambda fields: fields.pop("www-authenticate", None)),
        {"refused without a token", "refused with a wrong token"},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_stands_between_is_found_in_its_row(server: TestServer, name: str) -> None:
    fault, red = FAULTS[name]
    async with server.person() as person, breaking(server.url, fault) as url:
        if red <= OF_RUNS:
            table = await verify_run(url, person, input_=SLOW if "collects" in name else None)
        else:
            table = await verify(url)

    assert (table.code, table.of("FAILED")) == (1, red), table.text


class TidyProxy:
    """Sends on who asks for a path with an escaped slash in it, and has a page of its own for that."""

    def __init__(self) -> None:
        self.is_escaped = False
        self.fault = Fault(of_request=self._look, of_answer=self._send_on)

    def _look(self, request: Head) -> None:
        self.is_escaped = "%2f" in request.path

    def _send_on(self, answer: Head) -> None:
        # What Railway's and others put on every answer.
        answer.fields.update({"server": "railway-edge", "x-railway-edge": "eu", "via": "1.1 edge"})
        if self.is_escaped:
            answer.first = "HTTP/1.1 307 Temporary Redirect"
            answer.fields.update({"location": "/etc/passwd", "content-type": "text/html"})


class LeavingServer:
    """Ends the first stream in its middle, as a server that shuts down does."""

    def __init__(self) -> None:
        self.sent_away = 0
        self.fault = Fault(of_stream=self._cut)

    def _cut(self, whole: bytes) -> bytes:
        if self.sent_away:
            return whole
        self.sent_away += 1
        head, told, _ = whole.partition(b"id: 3\n")
        assert told
        return head + b'event: reconnect\ndata: {"type":"reconnect"}\n\n'


async def test_a_proxy_that_tidies_paths_is_no_fault(server: TestServer) -> None:
    async with breaking(server.url, TidyProxy().fault) as url:
        table = await verify(url)

    assert table.of("FAILED") == set(), table.text


async def test_who_is_sent_away_by_a_server_that_leaves_comes_back(server: TestServer) -> None:
    leaving = LeavingServer()
    async with server.person() as person, breaking(server.url, leaving.fault) as url:
        table = await verify_run(url, person)

    assert table.of("FAILED") == set(), table.text
    assert leaving.sent_away == 1


async def test_a_proxy_that_lends_everybody_a_token_is_found(server: TestServer) -> None:
    async with server.person() as person, breaking(server.url, with_somebodys_token(person.token)) as url:
        table = await verify(url)

    assert (table.code, table.of("FAILED")) == (1, {"refused without a token"}), table.text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["app.example"],
        ["ftp://app.example"],
        ["http://x", "@/no/file"],
        ["http://x", "t", "--input", "7"],
    ],
)
async def test_what_is_asked_wrongly_ends_with_2(arguments: list[str]) -> None:
    table = await verify(*arguments)

    assert table.code == 2
    assert "verify-deployment.sh: error: " in table.text
    assert "Traceback" not in table.text
