"""Which functions a database may be asked for: ours, with arguments that are names.

What is called is written in our code and never by callers; this holds it, whatever way the call takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from foundation.errors import InternalError

__all__ = ["check_names"]

_OURS = re.compile(r"switchyard_[a-z0-9_]+")
_ALSO_CALLABLE = frozenset({"deduct_credits", "get_admin_stats", "has_role"})
_ARGUMENT = re.compile(r"[a-z][a-z0-9_]*")


def check_names(function: str, arguments: Iterable[str]) -> None:
    """Raises InternalError when they are not ours."""
    if not (_OURS.fullmatch(function) or function in _ALSO_CALLABLE):
        raise InternalError(f"{function!r} is not a function this server calls")
    if not all(map(_ARGUMENT.fullmatch, arguments)):
        raise InternalError(f"{function} was given an argument that cannot be a name")
