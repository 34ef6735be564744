"""What a model is asked: one request for one turn, and how it is written for models that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from foundation.errors import Json

__all__ = ["Prompt", "Quirk", "Quirks", "write"]

MAX_MODELS = 500
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Prompt:
    """In the shapes of Chat Completions; None leaves a parameter to the provider."""

    model: str
    messages: Sequence[Mapping[str, Json]]
    tools: Sequence[Mapping[str, Json]] = ()
    tool_choice: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    response_format: Mapping[str, Json] | None = None


class Quirk(StrEnum):
    """A parameter that a model does not take; the values are the parameters' names."""

    MAX_TOKENS = "max_tokens"  # it wants `max_completion_tokens`
    TEMPERATURE = "temperature"  # it takes its own only
    STREAM_OPTIONS = "stream_options"  # it does not tell usage in a stream


class Quirks:
    """Which model has which; bounded in number and in length of names, because those come from users."""

    def __init__(self) -> None:
        self._of: dict[str, frozenset[Quirk]] = {}

    def of(self, model: str) -> frozenset[Quirk]:
        return self._of.get(model, frozenset())

    def learn(self, model: str, quirks: frozenset[Quirk]) -> None:
        if not quirks or len(model) > MAX_NAME:
            return
        self._of[model] = quirks
        if len(self._of) > MAX_MODELS:
            del self._of[next(iter(self._of))]


def write(prompt: Prompt, *, quirks: frozenset[Quirk] = frozenset()) -> bytes:
    """The body of the request."""
    limit = "max_completion_tokens" if Quirk.MAX_TOKENS in quirks else "max_tokens"
    body: dict[str, object] = {
        "model": prompt.model,
        "messages": prompt.messages,
        "stream": True,
        "stream_options": None if Quirk.STREAM_OPTIONS in quirks else {"include_usage": True},
        "tools": prompt.tools or None,
        "tool_choice": prompt.tool_choice if prompt.tools else None,
        "temperature": None if Quirk.TEMPERATURE in quirks else prompt.temperature,
        limit: prompt.max_tokens,
        "response_format": prompt.response_format,
    }
    return _dump({name: value for name, value in body.items() if value is not None})


def _dump(body: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(body, default=_plain)
    except TypeError:
        # Lone surrogates and integers above 64 bits: the library of Python writes them, if slowly.
        return json.dumps(body, default=_plain).encode()


def _plain(value: object) -> object:
    """Mappings and sequences that are not a dict or a list."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
