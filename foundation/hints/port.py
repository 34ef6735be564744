"""What replicas tell each other, as hints: any of them may be lost, come late, or come twice.

The database is the truth. A hint only says where to look now instead of at the next look that would have come
anyway, so nothing is lost without them; things merely take as long as somebody waits between two looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from foundation.errors import Json

__all__ = ["Deaf", "Hints", "Listener", "Queued", "Rows"]

# Events as the log has them: {"seq": …, "type": …, "data": …}, in order.
Rows = Sequence[Mapping[str, Json]]


@dataclass(frozen=True, slots=True)
class Queued:
    """A run that waits to be claimed. `epoch` is how often it was claimed before: the pair happens once.

    `look` is 0 for who has made it wait. Who finds it waiting says a number that grows while it does, the
    same for all who find it at about the same time.
    """

    run_id: UUID
    epoch: int
    kind: str
    look: int = 0


class Listener(Protocol):
    """Who is told. Called in the event loop; none of these may raise or take long."""

    @property
    def kinds(self) -> Sequence[str]:
        """Of runs that are executed here; none where no run is. Never changes."""
        ...

    @property
    def free(self) -> int:
        """Runs that could begin here now; one that has none is not asked to take any."""
        ...

    def work(self) -> None:
        """There may be something to claim."""
        ...

    def cancel(self, run_id: UUID) -> None:
        """Somebody wishes the run to end, if it executes here."""
        ...

    def news(self, run_id: UUID, rows: Rows | None) -> None:
        """A run that is watched has new events: these, or None for those the log has."""
        ...

    def missed(self) -> None:
        """Hints may have been lost since the last one; look at everything once."""
        ...


class Hints(Protocol):
    """A `Service`. Telling never waits and never fails: what cannot be told now is dropped."""

    @property
    def are_heard(self) -> bool:
        """Whether hints arrive; while they do not, whoever waits for something looks often itself."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell `listener` what others tell; once, before the start."""
        ...

    def queued(self, runs: Iterable[Queued]) -> None:
        """Runs wait that nobody has claimed."""
        ...

    def cancel(self, run_id: UUID) -> None:
        """A wish to end a run has been stored."""
        ...

    def stored(self, batch: Mapping[UUID, Rows]) -> None:
        """Events have been stored; without rows, those the log has.

        What is told in one turn of the loop may go in one message.
        """
        ...

    def watch(self, run_id: UUID) -> None:
        """Somebody here follows a run that executes elsewhere."""
        ...

    def unwatch(self, run_id: UUID) -> None:
        """Nobody here follows it any more."""
        ...

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...


class Deaf:
    """For a database that tells nothing and no server that would: everybody looks for themselves."""

    are_heard = False

    def listen(self, listener: Listener) -> None:
        """Nobody is ever told."""

    def queued(self, runs: Iterable[Queued]) -> None:
        """Whoever has room looks every two seconds."""

    def cancel(self, run_id: UUID) -> None:
        """The next heartbeat hears of it."""

    def stored(self, batch: Mapping[UUID, Rows]) -> None:
        """Followers look every quarter of a second."""

    def watch(self, run_id: UUID) -> None:
        """Nothing comes."""

    def unwatch(self, run_id: UUID) -> None:
        """Nothing came."""

    async def start(self) -> None:
        """Nothing to connect."""

    async def drain(self) -> None:
        """Nothing to hand over."""

    async def stop(self) -> None:
        """Nothing to close."""
