"""How work is traced: a span around it, as a `with`, wherever somebody may ask where the time went.

    with tracer.span("run.submit") as span:
        …
        span.set("switchyard.run.id", run_id)

Without a recorder (`tracing.Tracing` is the one there is) that costs next to nothing. What may stand in a
span is decided where it is set: names and numbers of ours, never what a user or a model wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from types import TracebackType
from typing import Protocol

__all__ = ["NOTHING", "Attribute", "Attributes", "Kind", "Recorder", "Span", "Tracer"]

Attribute = str | int | float | bool | Sequence[str]
Attributes = Mapping[str, Attribute]


class Kind(Enum):
    """Which side of a call a span is."""

    INTERNAL = auto()
    SERVER = auto()
    CLIENT = auto()


class Span:
    """One that is not recorded."""

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None when nothing is recorded."""
        return None

    def set(self, name: str, value: Attribute) -> None:
        """Say something about the work; the last value counts."""

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Note a moment of it."""

    def rename(self, name: str) -> None:
        """Give it the name that was not known at its beginning."""

    def fail(self, code: str) -> None:
        """It went wrong. `code` is one of the error tree, or the name of a class: never a sentence."""

    def end(self) -> None:
        """It is over before the `with` is."""


class _Nothing(Span, AbstractContextManager[Span]):
    """Has no state, so that one is enough for all."""

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NOTHING = _Nothing()


class Recorder(Protocol):
    """Who keeps spans; the methods are those of `Tracer`."""

    def span(
        self, name: str, *, kind: Kind, parent: str | None, attributes: Attributes | None
    ) -> AbstractContextManager[Span]: ...

    @property
    def current(self) -> Span: ...

    @property
    def traceparent(self) -> str | None: ...

    def accept(self, given: Sequence[str], *, is_trusted: bool) -> str | None: ...


class Tracer:
    def __init__(self, recorder: Recorder | None = None) -> None:
        """Without a recorder nothing is recorded."""
        self._recorder = recorder

    @property
    def records(self) -> bool:
        """Whether anything is ever recorded."""
        return self._recorder is not None

    def span(
        self,
        name: str,
        *,
        kind: Kind = Kind.INTERNAL,
        parent: str | None = None,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Span]:
        """A span from here to the end of the `with`; also tasks begun inside are inside it.

        An exception that leaves it is its failure, by its code or the name of its class.

        Args:
            name: of few different ones: what differs stands in `attributes`.
            parent: the `traceparent` of a span of another request or process; None for the one around this.
        """
        if self._recorder is None:
            return NOTHING
        return self._recorder.span(name, kind=kind, parent=parent, attributes=attributes)

    @property
    def current(self) -> Span:
        """The span around this, to say more about it."""
        return NOTHING if self._recorder is None else self._recorder.current

    @property
    def traceparent(self) -> str | None:
        """The span around this, to be its child elsewhere or later; None without one."""
        return None if self._recorder is None else self._recorder.traceparent

    def accept(self, given: Sequence[str], *, is_trusted: bool) -> str | None:
        """The parent of a request that names one, see `traceparent.accepted`."""
        return None if self._recorder is None else self._recorder.accept(given, is_trusted=is_trusted)
