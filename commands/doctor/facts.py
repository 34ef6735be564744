"""What was found out there, as plain values: what the doctor's decisions are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from commands.doctor.finding import Broken
from foundation.db import Glance, Sight, Trouble

__all__ = ["DatabaseFacts", "Facts", "Fault", "PortUser", "ServiceFacts", "WebFacts"]


class PortUser(Enum):
    """Who listens on the port a server would take."""

    NOBODY = auto()
    A_SERVER = auto()  # one of ours
    A_STRANGER = auto()
    FORBIDDEN = auto()  # this user may not take it


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """
    Attributes:
        place: where it is, without password.
        holder: the process that runs the embedded one.
        sight: None when it could not be looked at, or (without `trouble`) was not made yet.
        is_project: it is reached through a project's Data API; `glance` is then what `sight` is else.
        refusal: why the embedded one does not run here.
    """

    place: str
    is_embedded: bool = False
    is_pooled: bool = False
    holder: str | None = None
    sight: Sight | None = None
    is_project: bool = False
    glance: Glance | None = None
    trouble: Trouble | None = None
    state: str = ""
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class WebFacts:
    """
    Attributes:
        failure: why there was no answer, naming the host only.
        names: the models or the ids of keys that the answer lists; None when it lists none such.
        offset_s: how far this machine's clock is before the answer's `Date`, which is whole seconds.
    """

    place: str
    status: int | None = None
    failure: str = ""
    names: tuple[str, ...] | None = None
    offset_s: float | None = None


class Fault(Enum):
    """Why NATS or Redis cannot be used."""

    NOBODY_THERE = auto()
    BAD_LOGIN = auto()
    NOT_ENCRYPTED = auto()
    TOO_SLOW = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """NATS or Redis; `has_streams` is JetStream."""

    place: str
    version: str = ""
    has_streams: bool = False
    fault: Fault | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything; None is what there was nothing to ask for."""

    port: PortUser | Broken
    database: DatabaseFacts | Broken
    model: WebFacts | Broken | None
    project: WebFacts | Broken | None
    nats: ServiceFacts | Broken | None
    redis: ServiceFacts | Broken | None
    collector: WebFacts | Broken | None = None
