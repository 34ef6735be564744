"""What a request may carry besides its body, as the API's description tells it.

Most of them are read by hand, so that a refusal is in our words; the schemas here say what is taken.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Header, Path, Query
from pydantic import WithJsonSchema

from routing.cursors import NEWEST_POSSIBLE
from routing.examples import AGENT_ID, CONVERSATION_ID, FILE_NAME, KEY_ID, RUN_ID
from routing.preferences import DEFAULT_WAIT_S, MAX_KEY_CHARS, MAX_WAIT_S

__all__ = [
    "After",
    "AgentId",
    "Before",
    "ConversationId",
    "EventsLimit",
    "FileName",
    "IdempotencyKey",
    "KeyId",
    "LastEventId",
    "Prefer",
    "RunId",
    "RunsLimit",
    "WaitS",
]

PAGE_RUNS: Final = 100
PAGE_EVENTS: Final = 200
LONG_POLL_S: Final = 60


# Any: a piece of JSON Schema.
def _text(**facets: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **facets})


def _id(example: str) -> WithJsonSchema:
    return _text(format="uuid", examples=[example])


_POSITION = WithJsonSchema(
    {"type": "integer", "minimum": 0, "maximum": NEWEST_POSSIBLE, "examples": [0], "default": 0}
)
# Printable ASCII that neither begins nor ends with a space, and is not a pair of quotes around nothing.
_KEY_PATTERN: Final = r'^([!-~]|[!#-~][!-~]|"[!#-~]|[!-~][ -~]+[!-~])$'

RunId = Annotated[str, _id(RUN_ID), Path(description="`runId` of the answer that accepted the run.")]
AgentId = Annotated[str, _id(AGENT_ID), Path(description="The id of an agent of the caller's own.")]
ConversationId = Annotated[
    str, _id(CONVERSATION_ID), Path(description="`conversationId` of the answer that began it.")
]
KeyId = Annotated[str, _id(KEY_ID), Path(description="The `id` of a key, not the key itself.")]
FileName = Annotated[
    str,
    _text(minLength=1, examples=[FILE_NAME]),
    Path(description="As `artifacts` of the run names it, percent-encoded; it may hold slashes."),
]

After = Annotated[
    str | None, _POSITION, Query(description="The number (`seq`) of the last event seen; 0 for all.")
]
LastEventId = Annotated[
    str | None,
    _text(pattern="^[0-9]{0,10}$", examples=["3"]),
    Header(
        alias="Last-Event-ID",
        description="What a reconnecting `EventSource` sends; counts before `after`, unless it is empty.",
    ),
]
WaitS = Annotated[
    int,
    Query(
        ge=0,
        le=LONG_POLL_S,
        examples=[20],
        description="For a page only: seconds to wait for an event when there is none yet.",
    ),
]
EventsLimit = Annotated[
    int, Query(ge=1, le=PAGE_EVENTS, examples=[50], description="For a page only: how many events at most.")
]
RunsLimit = Annotated[int, Query(ge=1, le=PAGE_RUNS, examples=[20], description="How many runs at most.")]
Before = Annotated[
    str | None,
    _id(RUN_ID),
    Query(description="`next` of the page before this one; the newest page without it."),
]

Prefer = Annotated[
    str | None,
    _text(examples=["respond-async", "wait=30"]),
    Header(
        alias="Prefer",
        description=(
            "RFC 7240. `respond-async`: answer 202 at once. `wait=<seconds>`: how long to wait for the end, "
            f"at most {MAX_WAIT_S}; {DEFAULT_WAIT_S} if not said. What else it says is passed over."
        ),
    ),
]
IdempotencyKey = Annotated[
    str | None,
    _text(maxLength=MAX_KEY_CHARS, pattern=_KEY_PATTERN, examples=["order-4711"]),
    Header(
        alias="Idempotency-Key",
        description="The same key and body again, by the same user, join the same run; charged once.",
    ),
]
