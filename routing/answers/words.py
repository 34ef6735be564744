"""What all answers are made of: camelCase names, no fields but those described, and the states of a run."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["AnyJson", "Count", "JsonObject", "OpenWire", "Status", "Usage", "Wire"]

# Any: a JSON object or value of an agent's or the caller's own.
JsonObject = dict[str, Any]
AnyJson = Any

Count = Annotated[int, Field(ge=0)]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Usage = Annotated[
    dict[str, int], Field(description="What was used, counted by kind.", examples=[{"toolCalls": 1}])
]


# Built when the description is asked for: most servers start more often than that.
_LATE: Final = ConfigDict(defer_build=True, alias_generator=to_camel)


class Wire(BaseModel):
    model_config = ConfigDict(**_LATE, extra="forbid")


class OpenWire(BaseModel):
    """What may grow by fields of an agent's own."""

    model_config = ConfigDict(**_LATE, extra="allow")
