"""The rounds of the token benchmark: each subject carries all streams, and is looked at in their middle."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from benchmarks.child import Child, child
from benchmarks.figures import Table
from benchmarks.report import write_figures
from benchmarks.script import MODEL, QUESTION
from benchmarks.server import SWITCHYARD, Server, serving
from benchmarks.subjects.project import make_agent, make_users, settings
from foundation.identity import issue_development_token
from tests.support.database import DatabaseServer

__all__ = ["Load", "measure"]

BEGIN_OVER_S: Final = 1.0
SETTLE_S: Final = 1.0
TRIES: Final = 3
CPU: Final = "CPU a token, µs"
P50: Final = "under way p50, ms"
P99: Final = "p99, ms"
MACHINE: Final = "machine in use, %"
SWITCHYARD_ITSELF: Final = "Switchyard"
RELAYS: Final = {"bytes by hand": "relay_bytes", "openai by hand": "relay_openai"}
DIRECT: Final = "the model itself"


@dataclass(frozen=True, slots=True)
class Load:
    streams: int
    pace: float
    tokens: int

    @property
    def window_s(self) -> tuple[float, float]:
        """When all streams speak, in seconds from the beginning of the first."""
        return BEGIN_OVER_S + SETTLE_S, self.tokens / self.pace


@dataclass(frozen=True, slots=True)
class Subject:
    """Where it listens, whose CPU counts (nobody's: None), and the requests of a round."""

    name: str
    port: int
    process: psutil.Process | None
    requests: Callable[[], list[str]]


async def measure(load: Load, *, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    table = Table(f"{load.streams} streams, {load.pace:g} tokens a second each", (CPU, P50, P99, MACHINE), 1)
    async with _subjects(load, only) as subjects, child("benchmarks.listeners") as listeners:
        for number in range(rounds + 1):
            for subject in subjects:
                measured = await _counted_round(load, subject, listeners)
                if number > 0:  # the first one warms up
                    table.add(subject.name, measured)
    table.print()
    if json_file is not None:
        libraries = ("openai", "httpx2", "starlette", "uvicorn", "asyncpg")
        versions = {name: version(name) for name in libraries}
        about = {"versions": versions, "rounds": rounds, "load": asdict(load)}
        write_figures(json_file, [asdict(each) for each in table.medians()], about=about)


async def _counted_round(load: Load, subject: Subject, listeners: Child) -> dict[str, float]:
    for _ in range(TRIES):
        if (measured := await _round(load, subject, listeners)) is not None:
            return measured
    raise RuntimeError(f"no round of {subject.name} counts; this machine stands still too often")


async def _round(load: Load, subject: Subject, listeners: Child) -> dict[str, float] | None:
    listeners.tell({"port": subject.port, "requests": subject.requests(), "over_s": BEGIN_OVER_S})
    from_s, to_s = load.window_s
    await asyncio.sleep(from_s)
    before = _Look.at(subject.process)
    await asyncio.sleep(to_s - from_s)
    after = _Look.at(subject.process)
    heard = await listeners.answer()
    if len(heard["sent_ns"]) != load.streams * load.tokens:
        # On a machine that stands still for seconds leases run out, and runs begin again elsewhere.
        print(f"a round of {subject.name} does not count: {len(heard['sent_ns'])} words were told")
        return None
    return _figures(before, after, heard)


@dataclass(frozen=True, slots=True)
class _Look:
    """At one moment: the subject's CPU so far, and the machine's, busy and in all."""

    at_ns: int
    cpu_s: float
    busy_s: float
    all_s: float

    @classmethod
    def at(cls, process: psutil.Process | None) -> _Look:
        cpu_s = 0.0 if process is None else sum(process.cpu_times()[:2])
        machine = psutil.cpu_times()
        all_s = sum(machine)
        return cls(time.monotonic_ns(), cpu_s, all_s - machine.idle - machine.iowait, all_s)


# Any: what the listeners say, as JSON.
def _figures(before: _Look, after: _Look, heard: dict[str, Any]) -> dict[str, float]:
    pairs = zip(heard["sent_ns"], heard["took_ns"], strict=True)
    took_ms = [took / 1e6 for sent, took in pairs if before.at_ns <= sent < after.at_ns]
    hundredths = statistics.quantiles(took_ms, n=100)
    return {
        CPU: (after.cpu_s - before.cpu_s) * 1e6 / len(took_ms),
        P50: statistics.median(took_ms),
        P99: hundredths[98],
        MACHINE: 100 * (after.busy_s - before.busy_s) / (after.all_s - before.all_s),
    }


@asynccontextmanager
async def _subjects(load: Load, only: Sequence[str] | None) -> AsyncIterator[list[Subject]]:
    """All, or those that are named in `only`; what nobody asks for is not started."""
    async with AsyncExitStack() as opened:
        model = await opened.enter_async_context(child("benchmarks.paced_model", load.tokens, load.pace))
        port = await model.answer()
        url = f"http://127.0.0.1:{port}/v1"
        wanted = {SWITCHYARD_ITSELF, *RELAYS, DIRECT} if only is None else set(only)
        subjects = [await _switchyard(opened, load, url)] if SWITCHYARD_ITSELF in wanted else []
        body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        asked = [_request("/v1/chat/completions", body)] * load.streams
        for name in (each for each in RELAYS if each in wanted):
            relay = Server(name, ("-m", f"benchmarks.subjects.{RELAYS[name]}"), {"OPENAI_BASE_URL": url})
            served = await opened.enter_async_context(serving(relay))
            subjects.append(Subject(name, served.port, served.process, lambda: asked))
        if DIRECT in wanted:
            subjects.append(Subject(DIRECT, port, None, lambda: asked))
        yield subjects


async def _switchyard(opened: AsyncExitStack, load: Load, model_url: str) -> Subject:
    database = DatabaseServer()
    opened.push_async_callback(database.stop)
    await database.start()
    url = await database.create()
    folder = opened.enter_context(TemporaryDirectory())
    users = await make_users(url)
    agent_id = await make_agent(url, users[0])
    configured = settings(url, model_url, DATA_DIR=folder)
    variables = {
        "DATABASE_URL": url,
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "none",
        "DATA_DIR": folder,
        # As it ships a process runs 32 at once.
        "WORKER_SLOTS": str(load.streams + 4),
    }
    served = await opened.enter_async_context(serving(Server(SWITCHYARD_ITSELF, SWITCHYARD, variables)))
    askers = iter(users)
    body = {
        "agentId": str(agent_id),
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
    }

    def requests() -> list[str]:
        """Each of a user that has not asked yet."""
        tokens = (issue_development_token(configured, user) for user in islice(askers, load.streams))
        return [_request("/api/agent/execute", body, token=token) for token in tokens]

    return Subject(SWITCHYARD_ITSELF, served.port, served.process, requests)


def _request(path: str, body: dict[str, Any], *, token: str = "none") -> str:  # noqa: S107 - for who asks none
    content = json.dumps(body)
    head = {
        "Host": "benchmark",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": len(content.encode()),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n{content}"
