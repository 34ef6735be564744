"""What the rooms above may ask of a database: call one of our SQL functions.

One use case is one SQL function is one transaction, so this is the whole interface. Whoever implements it
behaves the same: the same refusals, the same JSON.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from foundation.errors import Json

__all__ = ["Database", "ServedDatabase"]


class Database(Protocol):
    # Any: each function has a shape of its own, which its caller knows and narrows.
    async def call(self, function: str, /, **args: Json | UUID) -> Any:
        """Call `public.<function>` in a transaction of its own and return its decoded JSON value.

        Args:
            function: `switchyard_<area>_<verb>`.
            args: the SQL function's arguments without their `p_` prefix. A dict or list becomes `jsonb`
                (a list also an array), a time is RFC 3339 text, bytes are base64 text.

        Raises:
            DatabaseUnavailable: no answer came; the call may have taken effect.
            InvalidRequest: an argument holds text that Postgres cannot keep, such as NUL.
            HeavyError: what the function refused, as one of the tree in `foundation.errors`.
        """
        ...


class ServedDatabase(Database, Protocol):
    """One that a process starts and stops, and whose health it watches."""

    @property
    def answers(self) -> int:
        """How many calls were answered, whatever was said."""

    async def is_reachable(self, *, within_s: float) -> bool:
        """Whether the database answers on a connection that is opened for this only."""
        ...

    async def start(self) -> None:
        """Raises `DatabaseUnavailable` when it cannot be reached within 30 s."""
        ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...
