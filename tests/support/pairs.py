"""The ground of the edge's tests: a project, a model, and for each owner of credits a function and a backend.

Everything is real and in processes of its own but the gateway, the control door and a web server that nobody
may ask. The tests themselves are in TypeScript and stand outside of all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.control import open_control
from tests.support.deno import running_function
from tests.support.edge_gateway import Gateway, open_gateway
from tests.support.model import ModelProcess
from tests.support.postgrest import serving
from tests.support.process import ServerProcess
from tests.support.tables import connected
from tests.support.web import serve_web

__all__ = ["Ground", "Pair", "Pairs", "open_ground"]

ORIGIN = "https://app.example"
SECRET = "the-service-secret-of-these-tests-0123456789"
MODEL_KEY = "the-key-of-the-scripted-model"


@dataclass(frozen=True)
class Ground:
    """What all pairs of function and backend share; `control_url` is for the tests alone."""

    database_url: str
    gateway: Gateway
    model: ModelProcess
    control_url: str
    canary_url: str

    def settings(self, owner: str) -> dict[str, str]:
        """What function and backend are both told."""
        return {
            "SUPABASE_URL": self.gateway.url,
            "RAILWAY_BACKEND_SECRET": SECRET,
            "ALLOWED_ORIGINS": ORIGIN,
            "CREDITS_OWNER": owner,
            "OPENAI_BASE_URL": self.model.url,
            "OPENAI_API_KEY": MODEL_KEY,
        }


@dataclass(frozen=True)
class Pair:
    """A function and the backend behind it, for one owner of the credits; `settings` are the function's."""

    owner: str
    ground: Ground
    function_url: str
    backend_url: str
    settings: dict[str, str]

    def told(self, target: str) -> dict[str, str]:
        """What the suite is told to test `target`."""
        twin_url = f"{self.backend_url}/functions/v1/agent-runtime"
        return {
            "TARGET": target,
            "TARGET_URL": self.function_url if target == "edge" else twin_url,
            "CREDITS_OWNER": self.owner,
            "BACKEND_URL": self.backend_url,
            "CONTROL_URL": self.ground.control_url,
            "MODEL_URL": self.ground.model.url.removesuffix("/v1"),
            "CANARY_URL": self.ground.canary_url,
            "ORIGIN": ORIGIN,
        }


class Pairs:
    """Made when they are first asked for, as each costs a second or two."""

    def __init__(self, ground: Ground, folder: Path, stack: AsyncExitStack) -> None:
        self._ground = ground
        self._folder = folder
        self._stack = stack
        self._made: dict[str, Pair] = {}

    async def of(self, owner: str) -> Pair:
        if owner not in self._made:
            self._made[owner] = await self._make(owner)
        return self._made[owner]

    async def _make(self, owner: str) -> Pair:
        settings = self._ground.settings(owner)
        of_backend = {
            "DATABASE_URL": self._ground.database_url,
            "DATABASE_POOL": "4",
            "DATA_DIR": str(self._folder),
            "LOG_LEVEL": "error",
            "REQUESTS_PER_MINUTE": "100000",
        }
        backend = await self._stack.enter_async_context(ServerProcess.running(**settings, **of_backend))
        backend_url = str(backend.client.base_url).rstrip("/")
        # Both kinds of keys are in use, and both ways of being told one.
        key = (
            {"SUPABASE_SERVICE_ROLE_KEY": self._ground.gateway.service_token}
            if owner == "caller"
            else {"SUPABASE_SECRET_KEYS": f'{{"default": "{self._ground.gateway.secret_key}"}}'}
        )
        told = {**settings, **key, "RAILWAY_BACKEND_URL": backend_url}
        url = await self._stack.enter_async_context(running_function(self._folder / f"{owner}.log", **told))
        return Pair(owner, self._ground, url, backend_url, told)


@asynccontextmanager
async def open_ground(database_url: str) -> AsyncIterator[Ground]:
    async with (
        connected(database_url) as sql,
        serving(database_url) as postgrest,
        open_gateway(postgrest) as gateway,
        ModelProcess.running() as model,
        serve_web() as canary,
        open_control(sql, gateway, canary) as control_url,
    ):
        yield Ground(database_url, gateway, model, control_url, canary.url)
