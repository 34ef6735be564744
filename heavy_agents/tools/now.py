"""`now`: what time it is, of which a model knows nothing by itself."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

from foundation.clock import Clock
from foundation.errors import Json
from heavy_agents.tools.function import FunctionTool, function_tool
from heavy_agents.tools.tool import BadArguments

__all__ = ["NAME", "now"]

NAME: Final = "now"
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def now(clock: Clock) -> FunctionTool:
    # Not async: reading a time zone reads files.
    def now(timezone: str = "UTC") -> Json:
        """Tell the current date, time and weekday.

        Args:
            timezone: an IANA name such as Europe/Berlin or America/New_York
        """
        there = clock.now().astimezone(_zone(timezone))
        return {
            "iso": there.isoformat(timespec="seconds"),
            "weekday": WEEKDAYS[there.weekday()],
            "unix": int(there.timestamp()),
            "timezone": timezone,
        }

    return function_tool(now)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # Unknown, a folder of them, too long, or not the name of a file at all.
    except (LookupError, OSError, ValueError) as error:
        raise BadArguments(
            f"timezone: {name[:40]!r} is no IANA time zone; send one like Europe/Berlin, or UTC"
        ) from error
