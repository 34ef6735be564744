"""How tool calls are put together from their pieces.

Pure. Providers differ in what identifies a piece: an index, an id, both, or nothing but the order. An id that
is missing is made from the call's own, so that the same answer always has the same ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from heavy_agents.llm.errors import Broken
from heavy_agents.llm.text import storable
from heavy_agents.llm.turn import ToolCall

__all__ = ["ToolCalls"]

MAX_CALLS = 128


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def take(self, piece: Mapping[str, object]) -> str:
        """Add one piece; returns what text it has brought.

        Raises:
            Broken: it is none.
        """
        function = piece.get("function") or {}
        if not isinstance(function, Mapping):
            raise Broken("a tool call is malformed")
        name, arguments = _text(function.get("name")), _arguments(function.get("arguments"))
        call = self._find(piece.get("index"), _text(piece.get("id")), has_name=bool(name))
        # A server that repeats the whole name with every piece does not mean a longer name.
        if name and not (call.arguments and name == call.name):
            call.name += name
        if arguments:
            call.arguments.append(arguments)
        return name + arguments

    def finished(self) -> tuple[ToolCall, ...]:
        """Ids are made where they are missing or come twice: results are told by them."""
        calls: dict[str, ToolCall] = {}
        for number, call in enumerate(self._calls):
            own = f"call_{self._call_id}_{number}"
            id_ = own if call.id in calls else call.id or own
            calls[id_] = ToolCall(id_, call.name, "".join(call.arguments))
        return tuple(calls.values())

    def _find(self, index: object, id_: str, *, has_name: bool) -> _Call:
        call = self._known(index, id_, has_name=has_name)
        if call is None or (id_ and call.id and id_ != call.id and has_name):
            # Some servers give every call the index 0: another id with a name is another call.
            call = self._begin()
        if isinstance(index, int):
            self._by_index[index] = call
        call.id = call.id or id_
        return call

    def _known(self, index: object, id_: str, *, has_name: bool) -> _Call | None:
        if isinstance(index, int):
            return self._by_index.get(index)
        if id_:
            return next((call for call in self._calls if call.id == id_), None)
        last = self._calls[-1] if self._calls else None
        # Without index and id, a name after arguments can only be the next call's.
        return None if last is not None and has_name and last.arguments else last

    def _begin(self) -> _Call:
        call = _Call()
        # Nobody calls as many at once: what is above is left out, and the model finds it unanswered.
        if len(self._calls) < MAX_CALLS:
            self._calls.append(call)
        return call


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Broken("a tool call is malformed")
    return storable(value)


def _arguments(value: object) -> str:
    """Some servers send the arguments as the object they stand for."""
    return orjson.dumps(value).decode() if isinstance(value, dict) else _text(value)
