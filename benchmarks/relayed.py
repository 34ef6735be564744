"""Who carries tokens from the model to the listeners: Switchyard, relays that keep nothing, nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from benchmarks.child import child
from benchmarks.rivals import LITELLM, installed
from benchmarks.script import MODEL, QUESTION
from benchmarks.server import SWITCHYARD, Server, serving
from benchmarks.subjects.project import make_agent, make_users, settings
from foundation.identity import issue_development_token
from tests.support.database import DatabaseServer

__all__ = ["Load", "Subject", "subjects_of"]

SETTLE_S: Final = 1.0
SWITCHYARD_ITSELF: Final = "Switchyard"
RELAYS: Final = {"bytes by hand": "relay_bytes", "openai by hand": "relay_openai"}
DIRECT: Final = "the model itself"


@dataclass(frozen=True, slots=True)
class Load:
    """Streams at once, which begin within `over_s` seconds; `pace` is tokens a second of each."""

    streams: int
    pace: float
    tokens: int
    over_s: float = 1.0

    @property
    def window_s(self) -> tuple[float, float]:
        """When all streams speak, in seconds from the beginning of the first."""
        return self.over_s + SETTLE_S, self.tokens / self.pace


@dataclass(frozen=True, slots=True)
class Subject:
    """Where it listens, whose CPU counts (nobody's: None), and the requests of a round."""

    name: str
    port: int
    process: psutil.Process | None
    requests: Callable[[], list[str]]


@asynccontextmanager
async def subjects_of(load: Load, only: Sequence[str] | None) -> AsyncIterator[list[Subject]]:
    """All, or those that are named in `only`; what nobody asks for is not started."""
    async with AsyncExitStack() as opened:
        model = await opened.enter_async_context(child("benchmarks.paced_model", load.tokens, load.pace))
        port = await model.answer()
        url = f"http://127.0.0.1:{port}/v1"
        rivals = {each.name for each in installed((LITELLM,))}
        wanted = {SWITCHYARD_ITSELF, *RELAYS, *rivals, DIRECT} if only is None else set(only)
        subjects = [await _switchyard(opened, load, url)] if SWITCHYARD_ITSELF in wanted else []
        body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        # Only a rival insists on a key.
        key = f"sk-{token_hex()}"
        asked = [_request("/v1/chat/completions", body, token=key)] * load.streams
        for name, relay in _relays(OPENAI_BASE_URL=url, LITELLM_MASTER_KEY=key).items():
            if name not in wanted:
                continue
            served = await opened.enter_async_context(serving(relay))
            subjects.append(Subject(name, served.port, served.process, lambda: asked))
        if DIRECT in wanted:
            subjects.append(Subject(DIRECT, port, None, lambda: asked))
        yield subjects


def _relays(**settings: str) -> dict[str, Server]:
    """All there are, by name."""
    ours = (
        Server(name, ("-m", f"benchmarks.subjects.{module}"), settings) for name, module in RELAYS.items()
    )
    return {each.name: each for each in (*ours, LITELLM.server(**settings))}


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


# Any: a body of the wire.
def _request(path: str, body: dict[str, Any], *, token: str) -> str:
    content = json.dumps(body)
    head = {
        "Host": "benchmark",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": len(content.encode()),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n{content}"
