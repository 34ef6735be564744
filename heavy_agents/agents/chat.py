"""The chat agent: a model that may call tools until it answers, as a loop of journaled steps.

    turn-1 ──► tool calls? ── no ──► the answer
      ▲            │ yes
      │            ▼
    turn-2 ◄── turn-1.1 …, turn-1.2 …      one step each, in parallel

After a crash the loop is walked again from the start: what is journaled is read, and the first step that is
not goes on. What decides in the loop is the run's snapshot and the journal. The operator's settings are read
again: a tool withdrawn meanwhile ends the run as `not_configured`, at no cost.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

from foundation.errors import FieldError, InvalidBody
from heavy_agents.agents.chat_answer import judged
from heavy_agents.agents.chat_fit import fit, newest_of_the_user
from heavy_agents.agents.chat_plan import Plan, read_plan
from heavy_agents.agents.chat_thread import Wire, opening, said, told, tool_name
from heavy_agents.agents.context import Context
from heavy_agents.llm import Model, Prompt, ToolCall, Turn
from heavy_agents.runs import AgentFailed, AgentSnapshot, Answer, RunRequest
from heavy_agents.tools import Outcome

__all__ = ["ChatAgent"]

MAX_CALLS_A_TURN: Final = 16
MAX_CORRECTIONS: Final = 2
CUT_OFF: Final = "nothing was called: your turn was cut off at max_tokens; call again, with less around it"
TOO_MANY: Final = f"only {MAX_CALLS_A_TURN} tools are called at once; ask again for this one"


class ChatAgent:
    kind: ClassVar[str] = "chat"

    def __init__(self, model: Model, *, default_model: str) -> None:
        self._model = model
        self._default_model = default_model

    def check(self, request: RunRequest) -> None:
        """Refuse what cannot be answered before a credit is held.

        Raises:
            InvalidBody: nothing is asked.
            NotConfigured: there is no key for a model, or the agent's row is wrong.
        """
        self._model.require()
        read_plan(request.agent, default_model=self._default_model)
        if not any(each.role == "user" and each.content.strip() for each in request.messages):
            raise InvalidBody([FieldError("messages", "wants at least one of role user with a text")])

    async def run(self, ctx: Context) -> Answer:
        plan = await self._plan(ctx.request.agent)
        thread = opening(plan, await ctx.history())
        newest, used, corrections = newest_of_the_user(thread), 0, 0
        for number in range(1, plan.max_turns + 1):
            is_last = number == plan.max_turns
            kept = fit(thread, newest=newest, limit_tokens=plan.room_tokens, tools=ctx.tools)
            turn = await _turn(ctx, plan, kept, number=number)
            # One model answers the whole run, also when the default changes while it is taken over.
            plan = replace(plan, model=turn.model)
            used += turn.tokens.input + turn.tokens.output
            if turn.tool_calls and not is_last and turn.finish != "content_filter":
                _check_budget(plan, used)
                thread += [said(turn), *await _call_tools(ctx, turn, number=number)]
                continue
            verdict = await _judged(plan, turn, may_correct=not is_last and corrections < MAX_CORRECTIONS)
            if isinstance(verdict, Answer):
                return verdict
            _check_budget(plan, used)
            corrections += 1
            thread += [said(turn), {"role": "user", "content": verdict}]
        raise AssertionError("unreachable")

    async def _plan(self, agent: AgentSnapshot) -> Plan:
        if "output_schema" in agent.config:
            return await asyncio.to_thread(read_plan, agent, default_model=self._default_model)
        return read_plan(agent, default_model=self._default_model)


async def _turn(ctx: Context, plan: Plan, thread: list[Wire], *, number: int) -> Turn:
    """One call of the model. The last one may call no tools, so that it answers."""
    prompt = Prompt(
        model=plan.model,
        messages=thread,
        tools=ctx.tools,
        tool_choice="none" if number == plan.max_turns else None,
        temperature=plan.temperature,
        max_tokens=plan.max_tokens,
        response_format=plan.response_format,
    )
    return await ctx.model(f"turn-{number}", prompt)


async def _judged(plan: Plan, turn: Turn, *, may_correct: bool) -> Answer | str:
    """The answer, or what to tell the model about it; a schema may take a while, so not on the loop."""
    judge = partial(judged, plan, turn, may_correct=may_correct)
    return judge() if plan.output_schema is None else await asyncio.to_thread(judge)


def _check_budget(plan: Plan, used: int) -> None:
    """Raise `AgentFailed` when the agent's own budget of tokens allows no further turn."""
    if plan.token_budget is not None and used >= plan.token_budget:
        raise AgentFailed(f"the agent's budget of {plan.token_budget} tokens is used up")


async def _call_tools(ctx: Context, turn: Turn, *, number: int) -> list[Wire]:
    """The results in the order of the calls, however they come."""
    if turn.finish == "length":
        # Which of the calls are whole nobody knows, and half a call is another call.
        return [told(call.id, Outcome.failed(CUT_OFF)) for call in turn.tool_calls]
    calls = (
        _call_tool(ctx, call, step=f"turn-{number}.{index}", is_too_many=index > MAX_CALLS_A_TURN)
        for index, call in enumerate(turn.tool_calls, 1)
    )
    outcomes = await asyncio.gather(*calls)
    return [told(call.id, outcome) for call, outcome in zip(turn.tool_calls, outcomes, strict=True)]


async def _call_tool(ctx: Context, call: ToolCall, *, step: str, is_too_many: bool) -> Outcome:
    if is_too_many:
        return Outcome.failed(TOO_MANY)
    return await ctx.tool(f"{step} {tool_name(call.name)}", call.name, call.arguments)
