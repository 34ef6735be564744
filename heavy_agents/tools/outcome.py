"""What a call came to: a result, or a sentence that tells the model what to do."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from foundation.errors import Json
from heavy_agents.tools.shorten import MAX_SHOWN_BYTES, shorten

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` is None exactly when `ok`; `result` is None when not."""

    ok: bool
    result: Json
    error: str | None

    @classmethod
    def succeeded(cls, result: Json) -> Outcome:
        return cls(True, result, None)

    @classmethod
    def failed(cls, error: str) -> Outcome:
        return cls(False, None, error)

    def to_json(self) -> dict[str, Json]:
        """For the journal."""
        return {"ok": self.ok, "result": self.result, "error": self.error}

    @classmethod
    def from_json(cls, stored: Json) -> Outcome:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it was not written by `to_json`.
        """
        match stored:
            case {"ok": True, "result": result, "error": None}:
                return cls.succeeded(result)
            case {"ok": False, "result": None, "error": str(error)}:
                return cls.failed(error)
            case _:
                raise ValueError("no stored outcome of a tool call")

    def for_model(self) -> str:
        """What the model reads: text as it is, anything else as JSON."""
        if not self.ok:
            return orjson.dumps({"error": self.error}).decode()
        return self.result if isinstance(self.result, str) else orjson.dumps(self.result).decode()

    def shown(self) -> Json:
        """What the person reads, at most 4 kB as JSON: the result or the error, visibly cut."""
        return shorten(self.result if self.ok else self.error, MAX_SHOWN_BYTES)
