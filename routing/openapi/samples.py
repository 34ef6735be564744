"""One of each error, as a caller meets it: its document is the example, its facts and headers the promise.

`facts` of the classes that have some are described here with their types; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from foundation import errors
from foundation.errors import FieldError, HeavyError
from foundation.limits import LimitVerdict, RequestLimitReached

__all__ = ["FACTS", "SAMPLES"]

SAMPLES: Final[tuple[HeavyError, ...]] = (
    errors.InvalidRequest("the body is no JSON, or nested too deeply"),
    errors.ConflictingCredentials("the token and the API key speak for different users"),
    errors.BadCursor("a position is the `seq` of an event, a whole number from 0"),
    errors.InvalidToken("the token has expired; refresh the session"),
    errors.InsufficientCredits(needed=5, available=2),
    errors.WrongCaller("only a signed-in user may do this; send the user's access token alone"),
    errors.OriginNotAllowed("a page of this origin may not ask that here; see ALLOWED_ORIGINS"),
    errors.NotFound("there is nothing at this path"),
    errors.AgentNotFound("there is no such agent, or it is not yours to run"),
    errors.ConversationNotFound("no such conversation, or it is not yours"),
    errors.RunNotFound("no such run, or it is not yours"),
    errors.ArtifactNotFound("the run made no file of that name"),
    errors.MethodNotAllowed("this path takes other methods; see the Allow header"),
    errors.TooSlow("the body came too slowly; send it again on a better connection"),
    errors.Gap(oldest=12, latest=40),
    errors.TooLarge(limit_bytes=1024 * 1024),
    errors.UnsupportedMediaType("send the body as application/json"),
    errors.InvalidBody([FieldError("messages[0].role", "input should be 'user', 'assistant' or 'system'")]),
    errors.KeyConflict("this Idempotency-Key was used with another body; use a new key"),
    RequestLimitReached(LimitVerdict(allowed=False, quota=600, window_s=60, remaining=0, reset_s=17)),
    errors.InternalError("something went wrong on our side"),
    errors.BackendFailed("the project's signing keys cannot be fetched right now; try again in a moment"),
    errors.NotConfigured("no model is configured on this server; set OPENAI_API_KEY"),
    errors.Draining("this server is restarting; send the request again"),
    errors.DatabaseUnavailable("the database did not answer; try again"),
    errors.ModelUnavailable("the model provider did not answer; try again"),
    errors.DeadlineExceeded("the run passed its deadline"),
)


class FieldMistake(BaseModel):
    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="A path in wire names, such as `messages[0].role`; empty for the body.")
    message: str = Field(description="What would be right.")


# Any: field definitions, as pydantic's `create_model` takes them.
FACTS: Final[Mapping[type[HeavyError], Mapping[str, Any]]] = {
    errors.InsufficientCredits: {
        "needed": Annotated[int, Field(description="Whole credits the run would hold.")],
        "available": Annotated[int, Field(description="Whole credits no run holds.")],
    },
    errors.Gap: {
        "oldest": Annotated[int, Field(description="The first event that is kept.")],
        "latest": Annotated[int, Field(description="The newest event.")],
    },
    errors.TooLarge: {"limit_bytes": Annotated[int, Field(description="What is taken here.")]},
    errors.InvalidBody: {"errors": Annotated[list[FieldMistake], Field(min_length=1, max_length=50)]},
    errors.RateLimited: {
        "retry_after": Annotated[int, Field(ge=1, description="Seconds, as in `Retry-After`.")],
        "policy": Annotated[str, Field(description="The limit, in words.")],
    },
}
