"""What every refusal and failure looks like; what comes with single codes is in `routing.openapi`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from routing.answers.runs import Outcome
from routing.answers.words import OpenWire

__all__ = ["ProblemDocument", "RunFailure"]


class ProblemDocument(OpenWire):
    """RFC 9457; more members, such as `needed`, `retryAfter` or `errors`, come with some codes."""

    type: str = Field(description="`urn:switchyard:error:` and the code.")
    title: str = Field(description="What the status means.")
    status: int
    detail: str = Field(description="What is wrong and what would be right, for people.")
    code: str = Field(description="What a program should look at; never changes its meaning.")
    request_id: str = Field(description="As in `X-Request-Id`; the server's log has the rest under it.")
    error: str = Field(description="`title` again, for older clients.")
    message: str = Field(description="`detail` again, for older clients.")


class RunFailure(ProblemDocument, Outcome):
    """A run that was accepted and did not succeed: why, what it had said so far, and what it cost."""

    model_config = ConfigDict(extra="forbid")
    run_status: Literal["failed", "cancelled"] = Field(description="The run's own; `status` is that of HTTP.")
