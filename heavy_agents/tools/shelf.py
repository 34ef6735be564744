"""What agents' rows may choose from, and how the chosen tools come to a run. One shelf per process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Final, Protocol

from foundation.clock import Clock
from foundation.errors import Json, NotConfigured
from foundation.outbound import Outbound
from heavy_agents.tools import forecasting
from heavy_agents.tools.chosen import BuiltIn, Mcp, WebFetch, read_chosen
from heavy_agents.tools.fetch import Fetching, http_fetch
from heavy_agents.tools.now import now
from heavy_agents.tools.process import Process
from heavy_agents.tools.share import Share
from heavy_agents.tools.tool import Remember, Tool
from heavy_agents.tools.toolbox import Toolbox

__all__ = ["Servers", "Shelf"]

# Above what each tool allows itself; a forecast takes the longest.
CALL_S: Final = 180.0
# Of one run, in each kind of process.
JOBS_AT_ONCE: Final = 2


class Servers(Protocol):
    """Where MCP servers are connected to."""

    def check(self, entry: Mapping[str, Json]) -> None:
        """Refuse an entry of an agent's row that cannot be connected to. Pure.

        Raises:
            NotConfigured: with a sentence that names the fix.
        """
        ...

    def open(
        self, entries: Sequence[Mapping[str, Json]], *, remember: Remember
    ) -> AbstractAsyncContextManager[Sequence[Tool]]:
        """The tools of all these servers, in the order of `entries`, until the block is left."""
        ...


class Shelf:
    def __init__(
        self,
        *,
        outbound: Outbound,
        process: Process,
        clock: Clock,
        may_fetch: bool,
        private_hosts: frozenset[str],
        mcp: Servers | None = None,
        pages: Process | None = None,
    ) -> None:
        """
        Args:
            may_fetch: whether the operator offers `http_fetch`.
            private_hosts: `host:port` pairs that `http_fetch` may ask although they are private.
            mcp: None to connect to no MCP servers.
            pages: where HTML is read, so that a page need not wait for a forecast; None for `process`.
        """
        self._process = process
        self._now = now(clock)
        self._may_fetch = may_fetch
        self._fetching = Fetching(outbound, pages or process, frozenset(map(str.lower, private_hosts)))
        self._mcp = mcp

    def check(self, chosen: Json) -> None:
        """Refuse a row's `tools` that cannot be given to a run. Pure.

        Raises:
            NotConfigured: names the entry and the fix.
        """
        for entry in read_chosen(chosen):
            if isinstance(entry, WebFetch) and not self._may_fetch:
                raise NotConfigured(
                    "the agent's tool http_fetch: not offered here; set ENABLE_WEB_SCRAPING=1"
                )
            if isinstance(entry, Mcp):
                self._servers().check(entry.entry)

    @asynccontextmanager
    async def open(self, chosen: Json, *, remember: Remember) -> AsyncIterator[Toolbox]:
        """The tools of one run.

        Raises:
            NotConfigured: as `check`, or two servers have tools of one name.
            ToolFailed: an MCP server cannot be asked for its tools.
        """
        self.check(chosen)
        entries = read_chosen(chosen)
        own = [self._made(entry) for entry in entries if not isinstance(entry, Mcp)]
        servers = [entry.entry for entry in entries if isinstance(entry, Mcp)]
        # All at once, because they are left together: one after the other, their farewells add up.
        opening = self._servers().open(servers, remember=remember) if servers else nullcontext([])
        async with opening as theirs:
            yield Toolbox([*own, *theirs], timeout_s=CALL_S)

    def _made(self, entry: BuiltIn | WebFetch) -> Tool:
        """For one run: what computes gets a share of its own."""
        match entry:
            case BuiltIn(forecasting.NAME):
                return forecasting.Forecasting(Share(self._process, at_once=JOBS_AT_ONCE))
            case BuiltIn():
                return self._now
            case WebFetch(hosts):
                pages = Share(self._fetching.pages, at_once=JOBS_AT_ONCE)
                return http_fetch(replace(self._fetching, pages=pages), hosts)

    def _servers(self) -> Servers:
        if self._mcp is None:
            raise NotConfigured("the agent's tools: this server connects to no MCP servers; set MCP_SERVERS")
        return self._mcp
