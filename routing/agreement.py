"""That an edge function and the backend it hands a run to agree on who charges for it.

A key may come again whose run was made before the setting was changed: it is charged as it was then.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers

from foundation.errors import InvalidRequest, NotConfigured
from foundation.settings import CreditsOwner
from heavy_agents.runs import Submission

__all__ = ["check_owner", "owner_told"]

# Nobody but an edge function has a reason to send it, so that the API's description leaves it out.
HEADER: Final = "x-credits-owner"


def check_owner(headers: Headers, owner: CreditsOwner) -> None:
    """Whoever says nothing is an edge function that is older than the header, or somebody else.

    Raises:
        NotConfigured: the edge function has another `CREDITS_OWNER`: both would charge, or nobody.
        InvalidRequest: it says what `CREDITS_OWNER` cannot be.
    """
    said = headers.getlist(HEADER)
    if not said or said == [owner.value]:
        return
    if len(said) > 1 or said[0] not in set(CreditsOwner):
        raise InvalidRequest("X-Credits-Owner wants backend, caller or off, and once")
    raise NotConfigured(
        f"CREDITS_OWNER is {said[0]} at the edge function and {owner.value} here; set both alike"
    )


def owner_told(headers: Headers, submission: Submission) -> dict[str, str]:
    """A header for an edge function that has held for what is charged here already; empty for all others."""
    is_held_for = headers.get(HEADER) == CreditsOwner.CALLER
    return {HEADER: CreditsOwner.BACKEND.value} if is_held_for and submission.pays_itself else {}
