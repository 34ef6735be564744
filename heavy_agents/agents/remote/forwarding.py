"""Runs of agents whose owner has named another backend for them, if the operator allows that one.

A service: it knows the other backends, and ends there what has ended here.
"""

from __future__ import annotations

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from foundation.clock import Clock
from foundation.errors import BackendFailed, NotConfigured
from foundation.identity import RunTokens
from foundation.lifecycle import TaskOwner
from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Metrics
from heavy_agents import runs
from heavy_agents.agents.remote.errors import Away, Refused
from heavy_agents.agents.remote.patience import Patience
from heavy_agents.agents.remote.plan import check, target_of
from heavy_agents.runs import AgentSnapshot, Answer, RunRequest

if TYPE_CHECKING:
    import httpx2

    from heavy_agents.agents.remote.peer import Errand, Peer

__all__ = ["Forwarding"]

log = structlog.get_logger(__name__)

MAX_CONNECTIONS: Final = 1_000
CONNECT_S: Final = 5.0


class Forwarding:
    def __init__(
        self,
        settings: Settings,
        *,
        tokens: RunTokens | None,
        outbound: Outbound,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """
        Args:
            tokens: None where a key or a name is missing: such runs are then refused.
        """
        self._settings = settings
        # One that names ourselves would come back to us: it is executed here at once.
        self._allowed = frozenset(settings.allowed_backends) - {settings.public_url}
        self._tokens = tokens
        self._outbound = outbound
        self._metrics = metrics
        self._clock = clock
        self._peers: dict[str, Peer] = {}
        self._sessions: dict[bool, httpx2.AsyncClient] = {}
        self._opening = asyncio.Lock()
        self._tasks = TaskOwner("forwarding")
        self._is_open = False

    async def start(self) -> None:
        self._is_open = True

    async def drain(self) -> None:
        """Runs are handed over by the engine."""

    async def stop(self) -> None:
        await self._tasks.stop()
        async with self._opening:
            self._is_open = False
            while self._sessions:
                _, session = self._sessions.popitem()
                await session.aclose()

    def target(self, agent: AgentSnapshot) -> str | None:
        """The backend its runs are forwarded to; None if they are executed here."""
        return target_of(agent, self._allowed)

    def check(self, request: RunRequest) -> None:
        """Refuse what cannot be forwarded, before anything is held.

        Raises:
            InvalidBody, NotConfigured: as the kinds of agent do.
        """
        self._signer()
        check(request)

    async def run(self, ctx: runs.Context, origin: str) -> Answer:
        """
        Raises:
            BackendFailed, AgentFailed, ModelUnavailable, DeadlineExceeded, NotConfigured: as the other ended.
        """
        from heavy_agents.agents.remote.relay import Relay

        peer = await self._peer(origin)
        patience_s = self._settings.backend_patience_seconds

        def end_later(errand: Errand, run_id: UUID) -> None:
            self._tasks.spawn("cancel", self._end(peer, errand, run_id))

        return await Relay(peer, ctx, patience_s=patience_s, end_later=end_later).run()

    async def _end(self, peer: Peer, errand: Errand, run_id: UUID) -> None:
        patience = Patience(self._settings.backend_patience_seconds)
        while True:
            try:
                await peer.cancel(errand, run_id)
            except Refused:
                return
            except Away as away:
                if patience.is_over:
                    log.warning("run_left_there", backend=peer.origin)
                    return
                await patience.pause(away)
            else:
                return

    def _signer(self) -> RunTokens:
        if self._tokens is None:
            missing = "FORWARDING_KEY" if self._settings.forwarding_key is None else "PUBLIC_URL"
            raise NotConfigured(f"the agent's own backend cannot be asked: {missing} is not set here")
        return self._tokens

    async def _peer(self, origin: str) -> Peer:
        # The HTTP library is not needed by a server that forwards nothing.
        from heavy_agents.agents.remote.peer import Peer

        if (known := self._peers.get(origin)) is not None:
            return known
        is_private = origin in self._settings.private_backends

        async def session() -> httpx2.AsyncClient:
            return await self._session(is_private=is_private)

        made = Peer(origin, session=session, tokens=self._signer(), metrics=self._metrics, clock=self._clock)
        return self._peers.setdefault(origin, made)

    async def _session(self, *, is_private: bool) -> httpx2.AsyncClient:
        """Two, so that a connection into a private network is never lent to a public name."""
        import httpx2

        async with self._opening:
            if is_private not in self._sessions:
                if not self._is_open:
                    raise BackendFailed("the server is stopping")
                opened = await self._outbound.session(
                    allow_private=is_private, max_connections=MAX_CONNECTIONS
                )
                silence_s = self._settings.backend_silence_seconds
                opened.timeout = httpx2.Timeout(silence_s, connect=CONNECT_S)
                # None is taken: it lives as long as the process, and each answer may set another.
                opened.cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
                self._sessions[is_private] = opened
            return self._sessions[is_private]
