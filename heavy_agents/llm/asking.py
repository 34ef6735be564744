"""One turn: tries, what is learned from those that fail, and when to give up.

The openai client retries what was refused or did not connect; here are the answers that began with 200 and
came to nothing. Both together are at most two retries a turn, both are taken from the process's budget, and
none comes after the first token, because that was shown already.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import cached_property
from typing import Final

import structlog

from foundation.errors import ModelUnavailable
from foundation.ids import new_request_id
from heavy_agents.llm.attempt import Attempt, Desk, Listener
from heavy_agents.llm.estimate import estimate_tokens
from heavy_agents.llm.prompt import Prompt, write
from heavy_agents.llm.traced import model_span, tell_turn
from heavy_agents.llm.turn import Turn
from heavy_agents.llm.verdict import Setback

__all__ = ["Asking"]

log = structlog.get_logger(__name__)

MAX_RETRIES: Final = 2
# Doubled for the second retry; as the openai client waits.
PAUSE_MS: Final = 500


class Asking:
    """For one `turn`."""

    def __init__(self, desk: Desk, prompt: Prompt, listener: Listener) -> None:
        self._desk = desk
        self._prompt = prompt
        self._listener = listener
        self._began_s = asyncio.get_running_loop().time()
        self._quirks = desk.quirks.of(prompt.model)
        self._retries_left = MAX_RETRIES

    async def turn(self) -> Turn:
        """Raises: ModelUnavailable, AgentMistake, and what the listener raises."""
        with model_span(self._desk.tracer, self._prompt) as span:
            turn = await self._turn()
            tell_turn(span, turn)
            return turn

    async def _turn(self) -> Turn:
        self._desk.budget.deposit()
        while True:
            result = await self._try()
            if isinstance(result, Turn):
                return result
            self._log(result)
            if not await self._may_go_on(result):
                raise result.error
            self._desk.tracer.current.event("retry", {"why": result.why})

    async def _try(self) -> Turn | Setback:
        call_id = new_request_id()
        content = write(self._prompt, quirks=self._quirks)
        await self._listener.begin(call_id)
        attempt = Attempt(
            self._desk,
            self._listener,
            model=self._prompt.model,
            call_id=call_id,
            began_s=self._began_s,
            input_estimate=lambda: self._input_estimate,
        )
        retries = min(self._retries_left, self._desk.budget.retries)
        result = await attempt.run(content, max_retries=retries)
        if attempt.is_answered:
            self._desk.quirks.learn(self._prompt.model, self._quirks)
        return result

    async def _may_go_on(self, setback: Setback) -> bool:
        """Take the next try from what is left of them, and wait before it."""
        self._retries_left -= setback.retries
        if setback.quirk is not None and setback.quirk not in self._quirks:
            # Not a retry: it is another request, and each quirk can make it another one once.
            self._quirks |= {setback.quirk}
            return True
        pause_s = _pause_s(MAX_RETRIES - self._retries_left)
        if not setback.may_retry or self._retries_left <= 0 or self._is_too_late(pause_s):
            return False
        if not self._desk.budget.take():
            return False
        await asyncio.sleep(pause_s)
        self._retries_left -= 1
        return True

    def _is_too_late(self, in_s: float) -> bool:
        """Whether a try that begins then is given up at once: its answer would be bought for nobody."""
        limits = self._desk.limits
        due_s = self._began_s + min(limits.first_token_s, limits.turn_s)
        return asyncio.get_running_loop().time() + in_s >= due_s

    def _log(self, setback: Setback) -> None:
        told = {"why": setback.why, "model": self._prompt.model[:100], "retries": setback.retries}
        if setback.is_key_refused:
            log.error("model_key_refused", setting="OPENAI_API_KEY", **told)
        elif isinstance(setback.error, ModelUnavailable):
            log.warning("model_call_failed", **told)
        else:
            log.info("model_call_refused", **told)

    @cached_property
    def _input_estimate(self) -> int:
        return estimate_tokens(self._prompt.messages, tools=self._prompt.tools)


def _pause_s(made: int) -> float:
    """Three quarters to the whole of a pause that doubles, so that calls cut together do not return together.

    Args:
        made: retries made before.
    """
    return PAUSE_MS / 1000 * (1 << made) * (0.75 + secrets.randbelow(251) / 1000)
