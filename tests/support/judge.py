"""What is wrong with an answer beyond what schemathesis sees: its problem, and whether it was deserved."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.support.described import Described
from tests.support.explorer import Answered

__all__ = ["Judge"]

# Any: JSON documents.
Document = dict[str, Any]

MEMBERS: Final = ("type", "title", "status", "detail", "code", "requestId", "error", "message")
INSIDES: Final = re.compile(
    r"Traceback|\.py\b|site-packages|asyncpg|pydantic|postgres|switchyard\.|0x[0-9a-f]{8}"
    r"|\b(select|insert|update|delete) .*\b(from|into|set)\b|/(tmp|root|home|usr|var)/",
    re.IGNORECASE,
)


class Judge:
    """
    Args:
        secrets: what may stand in no answer that refuses.
    """

    def __init__(self, document: Document, *, secrets: list[str]) -> None:
        self._described = Described(document)
        self._secrets = secrets

    def __call__(self, answered: Answered) -> list[str]:
        wrong = [] if answered.headers.get("x-request-id") else ["has no name"]
        if answered.status >= 400:
            wrong += self._refused(answered)
        return wrong

    def _refused(self, answered: Answered) -> list[str]:
        if (media_type := answered.headers.get("content-type")) != "application/problem+json":
            return [f"is {media_type}, no problem document"]
        if answered.operation.startswith("HEAD "):
            return []
        problem = json.loads(answered.body)
        wrong = [f"has no {member}" for member in MEMBERS if not problem.get(member)]
        if problem.get("code") not in self._described.codes(answered.operation, answered.status):
            wrong.append(f"has a code that is not described there: {problem.get('code')}")
        if problem.get("requestId") != answered.headers.get("x-request-id"):
            wrong.append("is called otherwise than its header says")
        if answered.is_valid and answered.status in {400, 408, 413, 415, 422}:
            wrong += _undeserved(problem)
        return wrong + self._indiscretions(answered.body.decode())

    def _indiscretions(self, text: str) -> list[str]:
        told = [secret for secret in self._secrets if secret in text] or INSIDES.findall(text)
        return [f"tells of our insides: {told}"] if told else []


def _undeserved(problem: Document) -> list[str]:
    """Valid requests are refused only for what no schema says: the state of things, what a kind is told."""
    if problem["code"] in {"bad_cursor", "conflicting_credentials", "key_conflict"}:
        return []
    fields = [error["field"] for error in problem.get("errors", [{"field": "?"}])]
    # The body as a whole is wrong when there are 20 active keys.
    unsaid = [field for field in fields if field and field != "messages" and not field.startswith("input")]
    return [f"is valid: {problem['detail']}" for _ in unsaid]
