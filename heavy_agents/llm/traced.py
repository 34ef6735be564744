"""What the span of a turn says: the model, the sizes, how it ended; nothing that was asked or answered.

Source: OpenTelemetry semantic conventions for generative AI.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from foundation.telemetry import Attributes, Kind, Span, Tracer
from heavy_agents.llm.prompt import Prompt
from heavy_agents.llm.turn import Turn

__all__ = ["model_span", "tell_turn"]

MAX_NAME_CHARS: Final = 100


def model_span(tracer: Tracer, prompt: Prompt) -> AbstractContextManager[Span]:
    """The span of one turn, with all its tries."""
    return tracer.span(f"model {prompt.model[:MAX_NAME_CHARS]}", kind=Kind.CLIENT, attributes=_asked(prompt))


def tell_turn(span: Span, turn: Turn) -> None:
    span.set("gen_ai.response.finish_reasons", (turn.finish[:MAX_NAME_CHARS],))
    span.set("gen_ai.usage.input_tokens", turn.tokens.input)
    span.set("gen_ai.usage.output_tokens", turn.tokens.output)
    span.set("switchyard.usage.is_estimated", turn.tokens.is_estimated)


def _asked(prompt: Prompt) -> Attributes:
    asked: dict[str, str | int | float] = {
        "gen_ai.operation.name": "chat",
        # The protocol that is spoken, whoever speaks it at the other end.
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": prompt.model[:MAX_NAME_CHARS],
    }
    if prompt.max_tokens is not None:
        asked["gen_ai.request.max_tokens"] = prompt.max_tokens
    if prompt.temperature is not None:
        asked["gen_ai.request.temperature"] = prompt.temperature
    return asked
