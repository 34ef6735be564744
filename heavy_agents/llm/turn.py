"""What a model answers: one turn, as it is journaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foundation.errors import Json

__all__ = ["Tokens", "ToolCall", "Turn"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON text exactly as the model wrote it: it may be broken."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one try has used; `is_estimated` when the provider did not say."""

    input: int
    output: int
    is_estimated: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """
    Attributes:
        call_id: the `X-Client-Request-Id` of the try that was answered.
        reasoning: at most 64 kB of it.
        refusal: what the model says instead, when it refuses to answer.
        finish: why the model stopped: "stop", "tool_calls", "length" or "content_filter", or the provider's
            own word.
    """

    call_id: str
    model: str
    text: str
    reasoning: str
    refusal: str | None
    tool_calls: tuple[ToolCall, ...]
    finish: str
    tokens: Tokens

    def to_json(self) -> dict[str, Json]:
        return {
            "callId": self.call_id,
            "model": self.model,
            "text": self.text,
            "reasoning": self.reasoning,
            "refusal": self.refusal,
            "toolCalls": [
                {"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.tool_calls
            ],
            "finish": self.finish,
            "tokens": {
                "input": self.tokens.input,
                "output": self.tokens.output,
                "isEstimated": self.tokens.is_estimated,
            },
        }

    # Any: what `to_json` wrote, read back from the journal.
    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Turn:
        tokens = stored["tokens"]
        return cls(
            call_id=stored["callId"],
            model=stored["model"],
            text=stored["text"],
            reasoning=stored["reasoning"],
            refusal=stored["refusal"],
            tool_calls=tuple(
                ToolCall(call["id"], call["name"], call["arguments"]) for call in stored["toolCalls"]
            ),
            finish=stored["finish"],
            tokens=Tokens(tokens["input"], tokens["output"], tokens["isEstimated"]),
        )
