"""`doctor` against real things: healthy ones, and each of them broken in its own way."""

from __future__ import annotations

import asyncio
import email.utils
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from foundation.db import embedded_url
from tests.support.database import copy_cluster, open_folder
from tests.support.model import serve_model
from tests.support.nats import nats_server
from tests.support.process import ServerProcess, free_port, run_command
from tests.support.redis import running_redis
from tests.support.tables import connected
from tests.support.web import Web, serve_web

WELL, UNWELL = 0, 1
LEVELS = ["skipped", "off", "ok", "warning", "wrong"]
JWKS = "/auth/v1/.well-known/jwks.json"
KEYS = orjson.dumps({"keys": [{"kid": "one", "kty": "EC"}]})

# Any: a finding as JSON.
Finding = dict[str, Any]


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serve_web() as web:
        web.reply(JWKS, KEYS)
        web.reply("/v1/traces")
        yield web


async def look(tmp_path: Path, **settings: str) -> tuple[int, dict[str, Finding]]:
    """The exit code, and what is worst of each check."""
    configured = {"DATA_DIR": str(tmp_path / "data"), "PORT": "0", **settings}
    code, out, err = await run_command("doctor", "--json", **configured)
    assert err == ""
    told = orjson.loads(out)
    assert told["ok"] == (code == WELL)
    ranked = sorted(told["findings"], key=lambda each: LEVELS.index(each["level"]))
    return code, {each["check"]: each for each in ranked}


async def test_a_set_up_in_order_is_well(demo_url: str, web: Web, tmp_path: Path) -> None:
    async with (
        serve_model() as model,
        nats_server("-js", "-sd", str(tmp_path / "streams")) as nats,
        running_redis() as redis,
    ):
        code, found = await look(
            tmp_path,
            DATABASE_URL=demo_url,
            SUPABASE_URL=web.url,
            OPENAI_API_KEY="a-key-of-this-test",
            OPENAI_BASE_URL=model.url,
            DEFAULT_MODEL="scripted",
            NATS_URL=f"nats://127.0.0.1:{nats}",
            REDIS_URL=redis.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=web.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-team=the-key-of-a-collector",
            SENTRY_DSN="https://key@sentry.example/1",
        )

    assert code == WELL
    assert {each["level"] for each in found.values()} == {"ok"}
    (export,) = web.asked_for("/v1/traces")
    assert (export.method, export.body, export.headers["x-team"]) == ("POST", b"", "the-key-of-a-collector")
    assert found["NATS"]["says"].startswith("nats-server 2.")
    assert found["Redis"]["says"].startswith("Redis 6.")
    assert found["database"]["says"].startswith("Postgres 18.")
    assert found["clock"]["says"] == "in time with the database and the model endpoint and the project"
    assert model.log.calls == []


async def test_a_database_that_is_wrong_is_told_by_what_is_wrong(
    demo_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    parts = urlsplit(demo_url)
    broken = {
        "it refuses the login (SQLSTATE 28P01)": demo_url.replace(f":{parts.password}@", ":wrong-password@"),
        "it has no database of that name (SQLSTATE 3D000)": demo_url.replace(parts.path, "/nowhere"),
        "nothing answers there": demo_url.replace(f":{parts.port}/", f":{free_port()}/"),
        "no machine is named like that": demo_url.replace("@127.0.0.1:", "@nowhere.invalid:"),
    }

    for sentence, url in broken.items():
        code, found = await look(tmp_path, DATABASE_URL=url)
        assert code == UNWELL
        assert found["database"]["level"] == "wrong"
        assert found["database"]["says"].endswith(sentence)
        assert found["database"]["do"]
        assert "wrong-password" not in str(found)

    code, found = await look(tmp_path, DATABASE_URL=empty_database_url)
    assert (code, found["database"]["level"]) == (UNWELL, "ok")
    assert "of this release are missing, from 20261122090000_app_tables.sql on" in found["migrations"]["says"]
    assert found["migrations"]["do"].startswith("python railway_server.py migrate")


async def test_a_door_to_the_money_that_was_opened_again_is_told(demo_url: str, tmp_path: Path) -> None:
    async with connected(demo_url) as sql:
        await sql.execute("grant update on public.credit_balances to authenticated")

    _, found = await look(tmp_path, DATABASE_URL=demo_url)

    assert found["database"]["level"] == "warning"
    assert found["database"]["says"] == "authenticated is granted writing of public.credit_balances"
    assert "docs/supabase.md" in found["database"]["do"]


async def test_a_model_endpoint_that_refuses_its_key_is_told_and_the_key_is_not(
    web: Web, tmp_path: Path
) -> None:
    refusal = {"error": {"message": "Incorrect API key provided: the-secret-key"}}
    web.reply("/v1/models", orjson.dumps(refusal), status=401)

    code, found = await look(tmp_path, OPENAI_API_KEY="the-secret-key", OPENAI_BASE_URL=f"{web.url}/v1")

    assert code == UNWELL
    assert found["model"]["says"] == f"127.0.0.1:{web.port} refuses the key (401)"
    assert found["model"]["do"] == "set OPENAI_API_KEY to a key it takes"
    assert "the-secret-key" not in str(found)
    assert web.asked_for("/v1/models")[0].headers["authorization"] == "Bearer the-secret-key"


async def test_an_unknown_model_comes_with_those_there_are(tmp_path: Path) -> None:
    async with serve_model() as model:
        code, found = await look(
            tmp_path, OPENAI_API_KEY="k", OPENAI_BASE_URL=model.url, DEFAULT_MODEL="unscripted"
        )

    assert code == UNWELL
    assert "has no model unscripted" in found["model"]["says"]
    assert found["model"]["do"] == "set DEFAULT_MODEL; it has scripted"


async def test_what_is_down_is_wrong_and_what_is_not_set_is_off(tmp_path: Path) -> None:
    code, down = await look(
        tmp_path,
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL=f"http://127.0.0.1:{free_port()}/v1",
        NATS_URL=f"nats://127.0.0.1:{free_port()}",
        REDIS_URL=f"redis://127.0.0.1:{free_port()}",
    )
    well, unset = await look(tmp_path)

    assert code == UNWELL
    assert {each for each, found in down.items() if found["level"] == "wrong"} == {"model", "NATS", "Redis"}
    assert down["NATS"]["says"].endswith("nothing answers there")
    assert down["Redis"]["says"].endswith("nothing answers there")
    assert well == WELL
    assert {each for each, found in unset.items() if found["level"] == "off"} == {
        "database",
        "migrations",
        "model",
        "project",
        "NATS",
        "Redis",
        "traces",
        "reports",
    }
    assert not (tmp_path / "data").exists()


async def test_a_login_that_nats_or_redis_refuses_is_told_and_no_password_is(tmp_path: Path) -> None:
    async with (
        nats_server("--auth", "the-right/token") as nats,
        running_redis() as redis,
    ):
        code, found = await look(
            tmp_path,
            NATS_URL=f"nats://a-wrong-token@127.0.0.1:{nats}",
            REDIS_URL=f"redis://:a-wrong-password@127.0.0.1:{redis.port}",
        )
        _, right = await look(
            tmp_path,
            NATS_URL=f"nats://the-right%2Ftoken@127.0.0.1:{nats}",
            REDIS_URL=redis.url,
        )

    assert code == UNWELL
    assert found["NATS"]["says"] == f"127.0.0.1:{nats}: it refuses the login"
    assert found["Redis"]["says"] == f"127.0.0.1:{redis.port}: it refuses the login"
    assert "a-wrong" not in str(found)
    assert (right["NATS"]["level"], right["Redis"]["level"]) == ("warning", "ok")
    assert right["NATS"]["says"].endswith("has JetStream off")


async def test_a_nats_that_is_not_encrypted_where_its_address_says_so_is_told(tmp_path: Path) -> None:
    async with nats_server("--auth", "the-right-token") as nats:
        code, found = await look(tmp_path, NATS_URL=f"tls://the-right-token@127.0.0.1:{nats}")

    assert code == UNWELL
    assert found["NATS"]["says"] == f"127.0.0.1:{nats}: it is not encrypted, though the address says so"


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    async with mute_server() as port:
        code, found = await look(
            tmp_path,
            DATABASE_URL=f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=disable",
            OPENAI_API_KEY="k",
            OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1",
            NATS_URL=f"nats://127.0.0.1:{port}",
            REDIS_URL=f"redis://127.0.0.1:{port}",
        )

    assert code == UNWELL
    for check in ("database", "NATS", "Redis"):
        assert found[check]["says"].endswith("it does not answer in time")
    assert "did not answer in full within" in found["model"]["says"]


@asynccontextmanager
async def mute_server() -> AsyncIterator[int]:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_project_whose_clock_is_an_hour_away_is_told(tmp_path: Path, demo_url: str) -> None:
    async with server_of_another_time(before_s=3600) as port:
        code, found = await look(tmp_path, DATABASE_URL=demo_url, SUPABASE_URL=f"http://127.0.0.1:{port}")

    assert code == UNWELL
    assert found["project"]["level"] == "ok"
    assert found["clock"]["level"] == "wrong"
    told = re.fullmatch(
        r"this machine is (\d+) s before the project; 30 s is the most", found["clock"]["says"]
    )
    assert told is not None
    assert abs(int(told[1]) - 3600) < 60


@asynccontextmanager
async def server_of_another_time(*, before_s: float) -> AsyncIterator[int]:
    """Publishes keys, on a machine whose clock is so far behind."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        date = email.utils.formatdate(time.time() - before_s, usegmt=True)
        head = f"HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {len(KEYS)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + KEYS)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_wrong_settings_are_findings_and_nothing_else_is_tried(tmp_path: Path) -> None:
    code, out, err = await run_command(
        "doctor", PORT="many", WORKER_SLOTS="0", DATA_DIR=str(tmp_path / "data")
    )

    assert (code, err) == (UNWELL, "")
    lines = out.splitlines()
    assert lines[0].startswith("wrong    settings: PORT: got 'many'")
    assert sum(line.startswith("skipped  ") for line in lines) == 10
    assert lines[-1] == "2 wrong"


@pytest.fixture
def own_data() -> Iterator[Path]:
    folder = open_folder()
    yield folder / "data"
    shutil.rmtree(folder)


async def test_the_embedded_database_is_looked_at_where_it_runs_and_where_it_does_not(
    own_data: Path, made_cluster: Path
) -> None:
    copy_cluster(made_cluster, own_data)

    code, stopped = await look(own_data, DATA_DIR=str(own_data))
    async with ServerProcess.running(DATA_DIR=str(own_data)) as server:
        _, running = await look(
            own_data, DATA_DIR=str(own_data), PORT=str(urlsplit(str(server.client.base_url)).port)
        )
        assert await server.is_ready()

    assert code == WELL
    assert stopped["database"]["says"].startswith("Postgres 18.")
    assert stopped["migrations"]["says"].startswith("the next start applies ")
    assert running["database"]["says"].endswith(f"run by process {server.process.pid}")
    assert running["migrations"]["says"] == "all of this release are applied"
    assert running["port"]["says"].endswith("is served by a Switchyard server that runs")
    assert embedded_url(own_data) is not None
    assert not (own_data / "postgres" / "postmaster.pid").exists()


async def test_a_port_of_another_program_is_known_by_its_silence(web: Web, tmp_path: Path) -> None:
    code, found = await look(tmp_path, PORT=str(web.port), HOST="127.0.0.1")

    assert code == WELL
    assert found["port"]["level"] == "warning"
    assert found["port"]["says"] == f"{web.port} is taken by another program"


async def test_no_secret_is_shown_whatever_goes_wrong(tmp_path: Path) -> None:
    secrets = {
        "OPENAI_API_KEY": "canary-openai",
        "SUPABASE_JWT_SECRET": "canary-jwt-" + "x" * 32,
        "RAILWAY_BACKEND_SECRET": "canary-backend-" + "x" * 32,
        "METRICS_TOKEN": "canary-metrics-token",
    }
    port = free_port()
    urls = {
        "DATABASE_URL": f"postgresql://user:canary-db@127.0.0.1:{port}/d",
        "NATS_URL": f"nats://user:canary-nats@127.0.0.1:{port}",
        "REDIS_URL": f"redis://:canary-redis@127.0.0.1:{port}",
        "OPENAI_BASE_URL": f"http://user:canary-model@127.0.0.1:{port}/v1",
        "SUPABASE_URL": f"http://user:canary-project@127.0.0.1:{port}",
    }

    code, out, err = await run_command("doctor", DATA_DIR=str(tmp_path / "data"), **secrets, **urls)

    assert code == UNWELL
    assert "canary" not in out + err
    assert "Traceback" not in err
