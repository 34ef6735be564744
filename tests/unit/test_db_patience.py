"""What is said of a database that was waited for in vain: what it answered last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from foundation.db.patience import NotLetIn, connect_patiently
from foundation.errors import DatabaseUnavailable

REFUSED = r"^the database refused the login; check DATABASE_URL \(401 early\)$"
NOT_REACHED = r"^the database could not be reached within 0\.5 s$"


def answering(*answers: Exception | None) -> Callable[[], Awaitable[None]]:
    """One after the other, and the last one from then on; None for a try that is not answered at all."""
    left = list(answers)

    async def connect() -> None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            await asyncio.Event().wait()
        else:
            raise answer

    return connect


@pytest.mark.parametrize(
    ("connect", "said"),
    [
        (answering(NotLetIn("401 early")), REFUSED),
        # The last try is cut off before it can be refused as the others were.
        (answering(NotLetIn("401 early"), None), REFUSED),
        (answering(NotLetIn("401 early"), OSError("away")), NOT_REACHED),
        (answering(None), NOT_REACHED),
    ],
    ids=["refused", "refused-then-silent", "refused-then-away", "silent"],
)
async def test_the_last_answer_is_what_is_said(connect: Callable[[], Awaitable[None]], said: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=said):
        await connect_patiently(connect, within_s=0.5)
