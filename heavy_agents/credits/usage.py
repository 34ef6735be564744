"""What a run has used so far: the quantities a price may count."""

from __future__ import annotations

from dataclasses import dataclass, fields

from foundation.errors import Json

__all__ = ["Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts only grow; two parts of a run add up."""

    model_calls: int = 0
    tool_calls: int = 0
    compute_jobs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    compute_ms: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @property
    def calls(self) -> int:
        """Model calls, tool calls and compute jobs begun: after the first, the flat price is due."""
        return self.model_calls + self.tool_calls + self.compute_jobs

    @property
    def tokens(self) -> int:
        """Of models, in and out."""
        return self.input_tokens + self.output_tokens

    def to_json(self) -> dict[str, Json]:
        """By wire names, without zeros."""
        return {_camel(f.name): value for f in fields(self) if (value := getattr(self, f.name))}

    @classmethod
    def from_json(cls, stored: dict[str, Json]) -> Usage:
        """Reads what `to_json` wrote; names it does not know are left out."""
        known = {f.name: stored.get(_camel(f.name)) for f in fields(cls)}
        return cls(**{name: value for name, value in known.items() if isinstance(value, int)})


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
