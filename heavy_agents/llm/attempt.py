"""One try of one turn: send it, follow what comes, say what it has cost.

A try that was answered with 200 is paid for, however it ends: its tokens are counted exactly once, in `run`,
and by the listener too unless the try came to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from foundation.errors import ModelUnavailable
from foundation.outbound import Lines, LineTooLong
from foundation.telemetry import Tracer
from heavy_agents.llm.accumulate import Accumulator
from heavy_agents.llm.budget import RetryBudget
from heavy_agents.llm.errors import Broken
from heavy_agents.llm.patience import Deadline, Limits, Patience
from heavy_agents.llm.prompt import Quirks
from heavy_agents.llm.tally import Tally
from heavy_agents.llm.turn import Tokens, Turn
from heavy_agents.llm.verdict import Setback

if TYPE_CHECKING:
    # The HTTP library comes with them.
    from heavy_agents.llm.feed import Feed
    from heavy_agents.llm.provider import Provider

__all__ = ["Attempt", "Desk", "Listener"]

# An answer that is over ends its connection's turn by itself within this, or loses the connection.
END_WITHIN_S: Final = 0.25


class Listener(Protocol):
    """Who follows one call."""

    async def begin(self, call_id: str) -> None:
        """A try is about to leave this process, under an id of its own. If this raises, nothing is sent."""
        ...

    async def text(self, content: str) -> None:
        """Text as it comes. May wait: the provider is then read no further. May raise: the call then ends."""
        ...

    def bought(self, tokens: Tokens) -> None:
        """Once for a try that gave a turn or was cancelled; what a failed one has cost is nobody's here."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What all calls of a process share."""

    provider: Provider
    budget: RetryBudget
    quirks: Quirks
    tally: Tally
    limits: Limits
    tracer: Tracer = field(default_factory=Tracer)


class Attempt:
    def __init__(
        self,
        desk: Desk,
        listener: Listener,
        *,
        model: str,
        call_id: str,
        began_s: float,
        input_estimate: Callable[[], int],
    ) -> None:
        """`began_s`: when the turn was asked for, on the loop's clock."""
        self.is_answered = False
        self._desk = desk
        self._listener = listener
        self._model = model
        self._call_id = call_id
        self._began_s = began_s
        self._input_estimate = input_estimate
        self._answer = Accumulator(call_id)
        self._has_begun = False
        self._retries = 0

    async def run(self, content: bytes, *, max_retries: int) -> Turn | Setback:
        """Send `content`; whatever the listener raises passes."""
        outcome = "abandoned"
        try:
            result = await self._run(content, max_retries)
            outcome = result.outcome if isinstance(result, Setback) else "complete"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._settle(outcome)
        return result

    async def _run(self, content: bytes, max_retries: int) -> Turn | Setback:
        patience = Patience(self._desk.limits, began_s=self._began_s)
        setback: Setback | None = None
        try:
            async with patience:
                sent = await self._desk.provider.post(
                    content, model=self._model, call_id=self._call_id, max_retries=max_retries
                )
                if isinstance(sent, Setback):
                    return sent
                self.is_answered, self._retries = True, sent.retries
                if sent.retries:
                    self._desk.tracer.current.event("retries_of_the_client", {"count": sent.retries})
                async with sent.feed as feed:
                    await self._follow(feed, patience)
        except Broken as broken:
            setback = self._broken(broken.why)
        except TimeoutError:
            if patience.missed is None:  # the listener's own
                raise
            setback = self._late(patience.missed)
        # What came together with a failure came before it: it is shown, however the network has packed it.
        if text := self._answer.fresh():
            await self._listener.text(text)
        if setback is not None and not self._answer.is_complete:
            return setback
        return self._answer.turn(model=self._model, input_estimate=self._input_estimate())

    async def _follow(self, feed: Feed, patience: Patience) -> None:
        lines = Lines()
        patience.listen()
        while not self._answer.is_done:
            count = lines.count
            part = await feed.take()
            self._read(lines, part)
            if lines.count > count:
                patience.listen()
            await self._tell(patience)
            if not part:
                break
        if not self._answer.is_complete:
            raise Broken("it ended early")
        await feed.finish(within_s=END_WITHIN_S)

    def _read(self, lines: Lines, part: bytes) -> None:
        if not part and (event := lines.end()) is not None:
            self._answer.take(event)
        try:
            for event in lines.feed(part):
                self._answer.take(event)
                if self._answer.is_done:
                    return
        except LineTooLong as error:
            raise Broken(str(error)) from None

    async def _tell(self, patience: Patience) -> None:
        """Hand on what is new; the provider is not silent while the listener is slow."""
        if self._answer.has_begun and not self._has_begun:
            self._has_begun = True
            patience.begun()
            self._desk.tracer.current.event("first_token")
            self._desk.tally.first_token(asyncio.get_running_loop().time() - self._began_s)
        if text := self._answer.fresh():
            patience.pause()
            await self._listener.text(text)
            patience.listen()
        if self._answer.has_finish:
            patience.expect_last_words()

    def _broken(self, why: str) -> Setback:
        return Setback(
            ModelUnavailable(f"the model's answer broke off: {why}; try again later"),
            why,
            outcome="cut",
            may_retry=not self._answer.has_begun,
            retries=self._retries,
        )

    def _late(self, missed: Deadline) -> Setback:
        return Setback(
            ModelUnavailable("the model provider did not answer in time; try again later"),
            f"missed_{missed}",
            outcome="cut" if self.is_answered else "unavailable",
            may_retry=missed is Deadline.SILENCE and not self._answer.has_begun,
            retries=self._retries,
        )

    def _settle(self, outcome: str) -> None:
        tally = self._desk.tally
        tally.ended(outcome)
        if not self.is_answered:
            return
        tokens = self._answer.tokens(input_estimate=self._input_estimate())
        tally.bought(self._model, tokens)
        if outcome in {"complete", "cancelled"}:
            self._listener.bought(tokens)
        else:
            tally.lost()
