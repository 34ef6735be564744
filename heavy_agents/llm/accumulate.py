"""What the chunks of an answer add up to.

Pure. A chunk is read as plain dictionaries, because building an object for each costs more than all the rest
of a call. What may differ between providers is taken in every form seen; what is nonsense raises `Broken`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from heavy_agents.llm.calls import ToolCalls
from heavy_agents.llm.errors import Broken
from heavy_agents.llm.estimate import size_bytes, tokens_of
from heavy_agents.llm.text import storable
from heavy_agents.llm.turn import Tokens, Turn

__all__ = ["MAX_ANSWER_BYTES", "MAX_REASONING_BYTES", "Accumulator"]

# Four times what models give at most; with it a turn still fits into the journal as one row.
MAX_ANSWER_BYTES = 500_000
MAX_REASONING_BYTES = 64_000
# More than any model takes or gives at once; above it the provider has miscounted.
MAX_TOKENS = 100_000_000
DONE = b"[DONE]"


class Accumulator:
    """One answer so far.

    Attributes:
        has_begun: the first text, refusal, reasoning or tool call has come.
        is_done: the provider said that nothing more comes.
    """

    def __init__(self, call_id: str) -> None:
        self.has_begun = False
        self.is_done = False
        self._call_id = call_id
        self._text: list[str] = []
        self._fresh = 0
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = ToolCalls(call_id)
        self._answer_bytes = 0
        self._reasoning_bytes = 0
        self._finish: str | None = None
        self._usage: object = None

    @property
    def has_finish(self) -> bool:
        return self._finish is not None

    @property
    def is_complete(self) -> bool:
        """Whether this is a whole answer, whatever happens to the connection now."""
        return self.has_finish or (self.is_done and self.has_begun)

    def take(self, event: bytes) -> None:
        """Add one event of the stream.

        Raises:
            Broken: it is nonsense or tells an error.
        """
        if event.strip() == DONE:
            self.is_done = True
            return
        chunk = _decode(event)
        if chunk.get("error"):
            raise Broken("the provider told an error in the stream")
        if (usage := chunk.get("usage")) is not None:
            self._usage = usage
        for choice in _each(chunk.get("choices"), "choices"):
            if choice.get("index") in (0, None):
                self._take_choice(choice)

    def fresh(self) -> str:
        """The text that has come since this was last asked."""
        text = "".join(self._text[self._fresh :])
        self._fresh = len(self._text)
        return text

    def tokens(self, *, input_estimate: int) -> Tokens:
        """As the provider counted, or estimated from what has come."""
        told = _told(self._usage)
        if told is not None:
            return Tokens(*told, is_estimated=False)
        return Tokens(
            input_estimate, tokens_of(self._answer_bytes + self._reasoning_bytes), is_estimated=True
        )

    def turn(self, *, model: str, input_estimate: int) -> Turn:
        calls = self._calls.finished()
        return Turn(
            call_id=self._call_id,
            model=model,
            text="".join(self._text),
            reasoning=_cut("".join(self._reasoning)),
            refusal="".join(self._refusal) if self._refusal else None,
            tool_calls=calls,
            finish=self._finish or ("tool_calls" if calls else "stop"),
            tokens=self.tokens(input_estimate=input_estimate),
        )

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._take_delta(delta)
        elif delta is not None:
            raise Broken("a chunk is malformed")
        finish = choice.get("finish_reason")
        if finish == "error":
            raise Broken("the provider told an error in the stream")
        if isinstance(finish, str) and finish:
            self._finish = finish

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        if (content := delta.get("content")) and (text := _content(content)):
            self._keep(self._text, text)
        if (refusal := delta.get("refusal")) and isinstance(refusal, str):
            self._keep(self._refusal, storable(refusal))
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning and isinstance(reasoning, str):
            self._think(reasoning)
        if calls := delta.get("tool_calls"):
            for piece in _each(calls, "tool calls"):
                self._grow(self._calls.take(piece))
                self.has_begun = True

    def _keep(self, where: list[str], text: str) -> None:
        where.append(text)
        self.has_begun = True
        self._grow(text)

    def _grow(self, text: str) -> None:
        self._answer_bytes += size_bytes(text)
        if self._answer_bytes > MAX_ANSWER_BYTES:
            # It was bought and shown so far, so it ends as an answer that reached its limit.
            self._finish, self.is_done = "length", True

    def _think(self, text: str) -> None:
        self.has_begun = True
        if self._reasoning_bytes < MAX_REASONING_BYTES:
            self._reasoning.append(storable(text))
        self._reasoning_bytes += size_bytes(text)


# Any: JSON of the provider's, read member by member.
def _decode(event: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(event)
    except orjson.JSONDecodeError:
        chunk = _decode_leniently(event)
    if not isinstance(chunk, dict):
        raise Broken("a chunk is no JSON object")
    return chunk


def _decode_leniently(event: bytes) -> object:
    """JSON with a character cut in two (a lone surrogate): the half is replaced, as nobody could store it."""
    try:
        whole = json.dumps(json.loads(event), ensure_ascii=False)
        return json.loads(whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise Broken("a chunk is no JSON") from None


# Any: as above.
def _each(value: object, what: str) -> Sequence[Mapping[str, Any]]:
    """The objects of a list; null is an empty one."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Broken(f"{what} are malformed")
    return value


def _content(content: object) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in _each(content, "parts"))
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise Broken("a text is malformed")
    return storable(content)


def _told(usage: object) -> tuple[int, int] | None:
    """Input and output as the provider tells them; None when they cannot be true."""
    if not isinstance(usage, dict):
        return None
    spent, got = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(spent) is not int or type(got) is not int:
        return None
    return (spent, got) if 0 < spent <= MAX_TOKENS and 0 <= got <= MAX_TOKENS else None


def _cut(reasoning: str) -> str:
    if len(reasoning) * 4 <= MAX_REASONING_BYTES:
        return reasoning
    return reasoning.encode()[:MAX_REASONING_BYTES].decode(errors="ignore")
