"""What an agent's functions are, and which of them a message sets off. Pure.

A function fires when one of its keywords stands in the last message of the user as whole words, whatever
their case. The first `conditional` that fires ends the request with its reply; those before it are called.
One without a reply is as if it were not there.

`tests/golden/functions.json` holds this and the edge function to one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from foundation.errors import Json

__all__ = ["Fired", "Function", "FunctionType", "fire", "read_functions"]

# Of a message, which may be two million characters: whoever wants a function says so at the beginning.
MAX_MESSAGE_CHARS: Final = 20_000


class FunctionType(StrEnum):
    API_CALL = "api_call"
    CONDITIONAL = "conditional"
    DATA_TRANSFORM = "data_transform"
    WEBHOOK = "webhook"


TYPES: Final = frozenset(each.value for each in FunctionType)


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    type: FunctionType
    keywords: tuple[str, ...]
    config: Mapping[str, Json]

    @property
    def reply(self) -> str | None:
        """What a `conditional` answers; None for the others, and for one that says nothing."""
        if self.type is not FunctionType.CONDITIONAL:
            return None
        texts = (self.config.get("response"), self.config.get("reply"))
        return next((text for text in texts if isinstance(text, str) and text.strip()), None)


@dataclass(frozen=True, slots=True)
class Fired:
    """`called` in their order; `reply` ends the request without a model."""

    called: tuple[Function, ...] = ()
    reply: str | None = None


# Any: rows as the database's JSON gives them.
def read_functions(rows: Iterable[Mapping[str, Any]]) -> tuple[Function, ...]:
    """Rows of a type that is not one of ours are left out: the table may be an app's own."""
    return tuple(_function(row) for row in rows if row["function_type"] in TYPES)


# Any: as above.
def _function(row: Mapping[str, Any]) -> Function:
    type_ = FunctionType(row["function_type"])
    name, keywords, config = row["name"], row["trigger_keywords"] or (), row["config"]
    return Function(
        name=type_.value if name is None else name,
        type=type_,
        keywords=tuple(word for each in keywords if (word := (each or "").strip())),
        config=config if isinstance(config, dict) else {},
    )


def fire(functions: Sequence[Function], message: str) -> Fired:
    """What `message` sets off. Takes a while with many keywords: use a thread."""
    text = message[:MAX_MESSAGE_CHARS].casefold()
    called: list[Function] = []
    for function in functions:
        if not any(_stands_in(text, keyword.casefold()) for keyword in function.keywords):
            continue
        if function.type is not FunctionType.CONDITIONAL:
            called.append(function)
        elif (reply := function.reply) is not None:
            return Fired(tuple(called), reply)
    return Fired(tuple(called))


def _stands_in(text: str, keyword: str) -> bool:
    # Most keywords stand nowhere, and that is found fast.
    return keyword in text and re.search(rf"(?<!\w){re.escape(keyword)}(?!\w)", text) is not None
