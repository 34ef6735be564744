"""The model provider as the server knows it: one service that answers turns.

Its libraries cost a second and tens of megabytes, so they are loaded beside the event loop, a moment after
the start or by the first call, whichever comes first; a server without a key never loads them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from foundation.errors import HeavyError, ModelUnavailable, NotConfigured
from foundation.lifecycle import TaskOwner
from foundation.outbound import Outbound
from foundation.telemetry import Metrics, Tracer
from heavy_agents.llm.asking import Asking
from heavy_agents.llm.attempt import Desk, Listener
from heavy_agents.llm.budget import RetryBudget
from heavy_agents.llm.patience import Limits
from heavy_agents.llm.prompt import Prompt, Quirks
from heavy_agents.llm.tally import Tally
from heavy_agents.llm.turn import Turn

if TYPE_CHECKING:
    from heavy_agents.llm.provider import Provider

__all__ = ["Model"]

LOAD_AFTER_S: Final = 1.0
DEFAULTS: Final = Limits()


class Model:
    """A service: usable between `start` and `stop`, while `outbound` is."""

    def __init__(
        self,
        *,
        base_url: str | None,
        api_key: str | None,
        outbound: Outbound,
        metrics: Metrics,
        limits: Limits = DEFAULTS,
        tracer: Tracer | None = None,
    ) -> None:
        """
        Args:
            base_url: of a server that speaks Chat Completions; None for OpenAI's own.
            api_key: None when no model is configured.
        """
        self._base_url = base_url
        self._api_key = api_key
        self._outbound = outbound
        self._limits = limits
        self._tracer = tracer or Tracer()
        self._budget = RetryBudget()
        self._quirks = Quirks()
        self._tally = Tally(metrics)
        self._tasks = TaskOwner("model")
        self._opening = asyncio.Lock()
        self._is_stopped = False
        self._desk: Desk | None = None

    async def start(self) -> None:
        if self._api_key:
            self._tasks.spawn("load", self._load_soon())

    async def drain(self) -> None:
        """Nothing to hand over: whoever asks is drained itself."""

    async def stop(self) -> None:
        await self._tasks.stop()
        async with self._opening:
            self._is_stopped = True
            desk, self._desk = self._desk, None
            if desk is not None:
                await desk.provider.close()

    def require(self) -> None:
        """Raise `NotConfigured` unless a model can be asked."""
        self._key()

    async def ask(self, prompt: Prompt, listener: Listener) -> Turn:
        """One answer to `prompt`, told to `listener` as it comes.

        Raises:
            NotConfigured: there is no key.
            ModelUnavailable: the provider failed, however often it may be asked.
            AgentMistake: it cannot be asked like this.
        """
        key = self._key()
        desk = self._desk or await self._open(key)
        return await Asking(desk, prompt, listener).turn()

    def _key(self) -> str:
        key = (self._api_key or "").strip()
        if not key:
            raise NotConfigured("OPENAI_API_KEY: not set, wants the key of the model provider")
        if not key.isascii() or not key.isprintable():
            raise NotConfigured("OPENAI_API_KEY: holds characters that no key has, wants it as it was given")
        return key

    async def _load_soon(self) -> None:
        await asyncio.sleep(LOAD_AFTER_S)
        await asyncio.to_thread(_load)

    async def _open(self, key: str) -> Desk:
        async with self._opening:
            if self._is_stopped:
                raise ModelUnavailable("the server is stopping")
            if self._desk is None:
                await asyncio.to_thread(_load)
                provider = await self._connect(key)
                self._desk = Desk(
                    provider, self._budget, self._quirks, self._tally, self._limits, self._tracer
                )
            return self._desk

    async def _connect(self, key: str) -> Provider:
        from heavy_agents.llm.provider import open_provider

        try:
            return await open_provider(
                self._base_url, key, outbound=self._outbound, budget=self._budget, limits=self._limits
            )
        except HeavyError as error:
            raise ModelUnavailable("the server cannot ask the model provider now") from error


def _load() -> None:
    import heavy_agents.llm.provider  # noqa: F401
