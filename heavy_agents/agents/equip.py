"""How a kind of agent becomes one a run can execute: with a model, and with the tools its row chose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from foundation.errors import Json
from heavy_agents import runs
from heavy_agents.agents.context import Context
from heavy_agents.agents.remote import Forwarding
from heavy_agents.llm import Model
from heavy_agents.runs import OUR_STEP, AgentFailed, Answer, RunRequest
from heavy_agents.tools import Shelf, ToolFailed

__all__ = ["Equipment", "Kind", "equip"]


class Kind(Protocol):
    """A kind of agent as its author writes it."""

    @property
    def kind(self) -> str:
        """What `agents.kind` says in the rows of such agents."""
        ...

    def check(self, request: RunRequest) -> None:
        """Refuse what cannot work before anything is held or stored. Pure; may run in a thread.

        Raises:
            InvalidBody: with every mistake; fields are paths like `input.series[3].value`.
            NotConfigured: the agent's row or the server's settings are at fault.
        """
        ...

    async def run(self, ctx: Context) -> Answer:
        """Do the work. May be called again after a crash: what must not happen twice is a step."""
        ...


@dataclass(frozen=True, slots=True)
class Equipment:
    """What every agent of this process may use; `token_limit` is for any one run.

    `forwarding` is None where every run is executed here.
    """

    model: Model
    shelf: Shelf
    token_limit: int
    forwarding: Forwarding | None = None


def equip(kinds: Iterable[Kind], equipment: Equipment) -> dict[str, runs.Agent]:
    """The kinds by their names, ready for the engine."""
    return {kind.kind: _Equipped(kind, equipment) for kind in kinds}


class _Equipped:
    def __init__(self, kind: Kind, equipment: Equipment) -> None:
        self._kind = kind
        self._equipment = equipment

    @property
    def kind(self) -> str:
        return self._kind.kind

    def check(self, request: RunRequest) -> None:
        forwarding = self._equipment.forwarding
        if forwarding is not None and forwarding.target(request.agent) is not None:
            forwarding.check(request)
            return
        self._equipment.shelf.check(request.agent.stored.get("tools"))
        self._kind.check(request)

    async def run(self, ctx: runs.Context) -> Answer:
        forwarding = self._equipment.forwarding
        if forwarding is not None and (origin := forwarding.target(ctx.request.agent)) is not None:
            return await forwarding.run(ctx, origin)
        return await self._run_here(ctx)

    async def _run_here(self, ctx: runs.Context) -> Answer:
        equipment, chosen = self._equipment, ctx.request.agent.stored.get("tools")

        async def remember(name: str, work: Callable[[], Awaitable[Json]]) -> Json:
            return await ctx.step(f"{OUR_STEP}{name}", work)

        try:
            async with equipment.shelf.open(chosen, remember=remember) as toolbox:
                own = Context(ctx, model=equipment.model, toolbox=toolbox, token_limit=equipment.token_limit)
                return await self._kind.run(own)
        except ToolFailed as failed:
            # Only opening fails so: a failing call is an outcome.
            raise AgentFailed(failed.message) from None
