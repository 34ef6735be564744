"""What the rooms above may ask of a database: call one of our SQL functions.

One use case is one SQL function is one transaction, so this is the whole interface. Whoever implements it
behaves the same: the same refusals, the same JSON.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from foundation.errors import Json

__all__ = ["Database"]


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
