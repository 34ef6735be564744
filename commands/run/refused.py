"""Why a run cannot be started or followed, in words: what the server refused, or what was asked wrongly.

Pure. A refusal is a problem document (RFC 9457): its code and detail, a line for each field, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from commands.run.words import clean, one_line

__all__ = ["Lost", "Refused", "judge"]

PASSES: Final = frozenset({408, 429, 502, 503, 504})
# These have a status that passes, and do not pass by themselves.
STAYS: Final = frozenset({"not_configured"})
REDIRECTS: Final = range(300, 400)

TO_DO: Final[Mapping[str, str]] = {
    "agent_not_found": "`run` without an agent lists those you may run",
    "bad_cursor": "leave out --after to see the run from its beginning",
    "gap": "its events are no longer kept; `GET /api/runs/{id}` has what it came to",
    "insufficient_credits": "add credits to the account, or choose an agent that costs less",
    "invalid_body": "see `/docs` of the server for what a run takes",
    "invalid_token": "give --token an access token or an API key that this server takes",
    "key_conflict": "leave out --key, or give a new one",
    "not_configured": "its operator has to set this; `doctor` on that machine says what is missing",
    "run_not_found": "check the id, and that the token is of the user whose run it is",
    "too_large": "send less with --input",
}

# Any: a problem document.
Document = dict[str, Any]


class Refused(Exception):
    """It will not be done; `lines` say why and what to do, `document` is the server's own words."""

    def __init__(self, lines: Sequence[str], document: Document | None = None) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)
        self.document = document


class Lost(Exception):
    """It may work in a moment; `refusal` says why not now, where the server did."""

    def __init__(self, reason: str, *, retry_after_s: float = 0.0, refusal: Refused | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.refusal = refusal


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Lost | Refused:
    """What an answer that is no success means. `headers` have lower-case names."""
    document = _document(body)
    if document is None:
        return _of_a_stranger(status, headers)
    refusal = Refused(_lines(document), document)
    if status in PASSES and document.get("code") not in STAYS:
        why = f"{status} {one_line(document.get('code'))}"
        return Lost(why, retry_after_s=_retry_after_s(headers), refusal=refusal)
    return refusal


def _of_a_stranger(status: int, headers: Mapping[str, str]) -> Lost | Refused:
    """Something between, or something else: it does not speak our problem documents."""
    if status in PASSES:
        refusal = Refused([f"only the status {status} came back; nothing behind that address answers"])
        return Lost(f"status {status}", retry_after_s=_retry_after_s(headers), refusal=refusal)
    if status in REDIRECTS:
        where = one_line(headers.get("location"))
        return Refused([f"the address redirects to {where}; give --url the server's own address"])
    return Refused([f"the answer, status {status}, is not one of a Switchyard server; check --url"])


def _document(body: bytes) -> Document | None:
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "code" in document else None


def _lines(document: Document) -> list[str]:
    code = str(document["code"])
    errors = [each for each in document.get("errors") or [] if isinstance(each, dict)]
    # The detail repeats the first fields; their lines say it better.
    detail = "the request has mistakes" if errors else clean(str(document.get("detail", "")))
    fields = [
        f"  {one_line(each.get('field')) or 'body'}: {clean(str(each.get('message')))}" for each in errors
    ]
    to_do = [f"What to do: {TO_DO[code]}"] if code in TO_DO else []
    return [f"{one_line(code)}: {detail}", *fields, *to_do]


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds; a date, which is as allowed, counts as not said."""
    told = headers.get("retry-after", "").strip()
    return float(told) if told.isascii() and told.isdigit() else 0.0
