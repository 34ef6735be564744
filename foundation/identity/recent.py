"""What was found a moment ago: bounded in number and age, and forgotten as soon as any of it may be wrong."""

from __future__ import annotations

from uuid import UUID

__all__ = ["Recent"]


class Recent:
    """Users by the hash of their key. Times are seconds of one monotonic clock, which the caller reads."""

    def __init__(self, *, most: int, lifetime_s: float) -> None:
        self._most = most
        self._lifetime_s = lifetime_s
        self._found: dict[str, tuple[UUID, float]] = {}
        self._cleared_s = float("-inf")

    def get(self, key_hash: str, *, now_s: float) -> UUID | None:
        """None when nothing is known, or no longer."""
        found = self._found.get(key_hash)
        return found[0] if found is not None and now_s < found[1] + self._lifetime_s else None

    def keep(self, key_hash: str, user_id: UUID, *, asked_s: float) -> None:
        """
        Args:
            asked_s: before the question was sent: whatever changed later is not in the answer.
        """
        if asked_s <= self._cleared_s:
            return
        self._found.pop(key_hash, None)
        while len(self._found) >= self._most:
            # A dict keeps its order: the first is the oldest.
            del self._found[next(iter(self._found))]
        self._found[key_hash] = (user_id, asked_s)

    def clear(self, *, now_s: float) -> None:
        """Forget all, and what was asked until now and is still to come."""
        self._found.clear()
        self._cleared_s = now_s
