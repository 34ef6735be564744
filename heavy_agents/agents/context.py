"""What an agent may do: everything an author of a new kind needs, on one page.

A context belongs to one claim of one run. Whatever must not happen twice is a step: its result is journaled,
and after a crash the agent is called again from its start and reads what it has done already. Every method
may raise LeaseLost, which an agent lets pass: the run goes on elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final
from uuid import UUID

from foundation.errors import Json
from foundation.telemetry import Span
from heavy_agents import runs
from heavy_agents.agents.allowance import allowed, is_cut_by_budget
from heavy_agents.agents.listener import Listener
from heavy_agents.llm import AgentMistake, Model, Prompt, Turn
from heavy_agents.runs import OUR_STEP, AgentFailed, Budget, CreditExhausted, Message, RunRequest, Usage
from heavy_agents.tools import Call, Outcome, Toolbox, shown_arguments

__all__ = ["Context"]

# As long as a tool's name can be; a model may write a longer one.
MAX_NAME_CHARS: Final = 64


class Context:
    def __init__(self, run: runs.Context, *, model: Model, toolbox: Toolbox, token_limit: int) -> None:
        """`token_limit`: the operator's, for the whole run; no call of the model begins above it."""
        self._run = run
        self._model = model
        self._toolbox = toolbox
        self._token_limit = token_limit

    @property
    def run_id(self) -> UUID:
        return self._run.run_id

    @property
    def attempt(self) -> int:
        """1 at first, more after a crash or a restart of the server."""
        return self._run.attempt

    @property
    def request(self) -> RunRequest:
        """What the run was asked, with the agent's row as it was at submit."""
        return self._run.request

    @property
    def budget(self) -> Budget:
        """What may still be used before the run's hold is reached."""
        return self._run.budget

    @property
    def cancelled(self) -> bool:
        """Whether the run is to stop; whoever awaits is stopped anyway, a loop that does not should ask."""
        return self._run.cancelled

    @property
    def tools(self) -> list[dict[str, Json]]:
        """The tools the agent's row chose, as a model is told of them."""
        return self._toolbox.specs

    async def history(self) -> list[Message]:
        """The conversation up to and with this run's own turns; without one, what was sent."""
        return await self._run.history()

    # Any: an event's fields are the agent's own; what is no JSON is refused.
    async def emit(self, type_: str, **data: Any) -> None:
        """Append an event of the agent's own to the log; at most 64 kB."""
        await self._run.emit(type_, **data)

    async def chunk(self, content: str) -> None:
        """Text for the person, as it comes."""
        await self._run.chunk(content)

    async def progress(self, fraction: float, note: str) -> None:
        """How far the run is: `fraction` 0 to 1."""
        await self._run.progress(fraction, note)

    async def artifact(self, name: str, *, media_type: str, content: bytes) -> None:
        """Keep a file with the run, and tell its readers; the same name again replaces it."""
        await self._run.artifact(name, media_type=media_type, content=content)

    async def step(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        """Do `work` once and journal its JSON result. Steps may run in parallel under different names.

        Raises:
            CreditExhausted: what was used so far already costs more than what is held.
            ValueError: a name that begins with @ is one of the platform's.
        """
        return await self._run.step(_own(name), work)

    async def process(
        self,
        step: str,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        progress: tuple[float, float] = (0.0, 1.0),
    ) -> Json:
        """Run the function `target` ("package.module:name") in a process of its own, as one step.

        Its progress is shown as the part `progress` of the run's.
        """
        return await self._run.process(_own(step), target, arguments, timeout_s=timeout_s, progress=progress)

    async def model(self, step: str, prompt: Prompt) -> Turn:
        """One turn of the model, as one step; its text is streamed to the person as it comes.

        Raises:
            ModelUnavailable: the provider failed; the run ends and nothing is charged.
            AgentFailed: the provider refuses what the agent asks, or the run has used its tokens.
            CreditExhausted: what is held does not pay for the question, or the answer was cut for that.
        """

        async def work() -> Json:
            budget = self.budget
            left = self._token_limit - self._run.usage.tokens
            asked = allowed(prompt, budget, limit_tokens=left)
            try:
                turn = await self._model.ask(asked, Listener(self._run))
            except AgentMistake as mistake:
                raise AgentFailed(mistake.message) from None
            is_cut = is_cut_by_budget(turn, wanted=prompt, allowed=asked, budget=budget)
            # The audit finds the calls that were bought by the first name.
            return {"modelCall": turn.call_id, "turn": turn.to_json(), "isCutByBudget": is_cut}

        journaled = await self._run.step(_own(step), work)
        assert isinstance(journaled, dict)  # noqa: S101 - as the step made it
        if journaled["isCutByBudget"]:
            raise CreditExhausted
        turn = journaled["turn"]
        assert isinstance(turn, dict)  # noqa: S101 - as the step made it
        return Turn.from_json(turn)

    async def tool(self, step: str, name: str, arguments: str) -> Outcome:
        """One call of a tool, as one step, shown to the person; `arguments` is JSON text.

        Never raises for what a tool or a model does wrong: the outcome says so.
        """
        shown_name = name[:MAX_NAME_CHARS]

        async def work() -> Json:
            await self._run.emit("tool_call", name=shown_name, arguments=shown_arguments(arguments))
            self.spend(Usage(tool_calls=1))
            call = Call(key=self.key(step), spend=self.spend, used=lambda: self._run.usage)
            with self._tool_span(name) as span:
                outcome = await self._toolbox.call(name, arguments, call)
                if not outcome.ok:
                    span.fail("tool_failed")
            shown = {"result": outcome.shown()} if outcome.ok else {"error": outcome.error}
            await self._run.emit("tool_result", name=shown_name, ok=outcome.ok, **shown)
            return outcome.to_json()

        return Outcome.from_json(await self._run.step(_own(step), work))

    def _tool_span(self, name: str) -> AbstractContextManager[Span]:
        """A name that no tool here has is the model's own words."""
        known = name if name in self._toolbox else "unknown"
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": known}
        return self._run.tracer.span(f"tool {known}", attributes=attributes)

    def spend(self, usage: Usage) -> None:
        """Count what was used, at the moment it was bought."""
        self._run.spend(usage)

    def key(self, name: str) -> str:
        """An idempotency key for something outside: the same at every try of this run."""
        return self._run.key(name)


def _own(step: str) -> str:
    if step.startswith(OUR_STEP):
        raise ValueError(f"the step {step!r}: names that begin with {OUR_STEP} are the platform's")
    return step
