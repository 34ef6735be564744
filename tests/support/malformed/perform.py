"""Doing one malformed thing to a server, and what is wrong with how it took it."""

from __future__ import annotations

from typing import Any, Final

import httpx2

from tests.support.abuse import Case, perform
from tests.support.bare import TEXT, Bare, frame, message, opening
from tests.support.malformed.case import Malformed
from tests.support.malformed.said import Said
from tests.support.raw import exchange

__all__ = ["check_frames", "check_request", "check_said"]

# Any: JSON documents.
Document = dict[str, Any]

MEMBERS: Final = ("type", "title", "status", "detail", "code", "requestId", "error", "message")
BAD_MESSAGE: Final = 4400
NO_TEXT: Final = 1007


async def check_request(case: Malformed, url: str) -> list[str]:
    """What is wrong with the answer."""
    answer = await exchange(url, case.request, within_s=30)
    if answer is None:
        return [] if case.may_be_cut else ["no answer"]
    if answer.status_code >= 500 or answer.status_code < 400:
        return [f"{answer.status_code}: {answer.text[:300]}"]
    if answer.headers.get("content-type") != "application/problem+json":
        return [f"{answer.status_code}: no problem document: {answer.text[:300]}"]
    return _problem_mistakes(case, answer)


def _problem_mistakes(case: Malformed, answer: httpx2.Response) -> list[str]:
    problem: Document = answer.json()
    wrong = [f"no member {name}" for name in MEMBERS if not problem.get(name)]
    if problem["requestId"] != answer.headers.get("x-request-id") or problem["status"] != answer.status_code:
        wrong.append(f"head and document differ: {answer.headers} {problem}")
    if problem["code"] not in case.wants:
        wrong.append(f"{problem['code']}, not {set(case.wants)}: {problem['detail']}")
    elif case.field is not None and not _names(problem, case.field):
        wrong.append(f"does not name {case.field!r}: {problem}")
    return wrong


def _names(problem: Document, field: str) -> bool:
    """Only of a body that could be read it can be told which field is wrong."""
    if "errors" in problem:
        fields = [str(error["field"]) for error in problem["errors"]]
        return any(each == field or each.startswith((f"{field}.", f"{field}[")) for each in fields)
    told = str(problem.get("detail", problem["error"])).lower()
    return "is no json" in told or "cannot be read" in told or field.lower() in told


async def check_said(case: Said, url: str, token: str) -> list[str]:
    """What is wrong with what is heard: one refusal, and the socket goes on or ends as it should."""
    async with Bare.connected(url) as bare:
        await bare.say(opening(token=token))
        assert await bare.status() == 101
        await bare.hear()
        await bare.say(frame(TEXT, case.sent))
        if not case.is_last:
            await bare.say(message("ping"))
        heard = [await bare.hear()]
        heard.append(await bare.hear())
    return _said_mistakes(case, heard)


def _said_mistakes(case: Said, heard: list[Document | int | str]) -> list[str]:
    refusal, after = heard
    if case.is_last:
        return [] if _has_ended(case, refusal, after) else [f"{heard}"]
    if not isinstance(refusal, dict) or refusal.get("type") != "error":
        return [f"no refusal: {heard}"]
    if not isinstance(after, dict) or after.get("type") != "pong":
        return [f"the socket does not go on: {heard}"]
    if refusal["code"] not in case.wants:
        return [f"{refusal['code']}, not {set(case.wants)}: {refusal['error']}"]
    if case.field is not None and not _names(refusal, case.field):
        return [f"does not name {case.field!r}: {refusal}"]
    return []


def _has_ended(case: Said, refusal: Document | int | str, after: Document | int | str) -> bool:
    """What is no text at all is refused by the protocol itself, without a word."""
    try:
        case.sent.decode()
    except UnicodeDecodeError:
        return refusal == NO_TEXT
    return isinstance(refusal, dict) and refusal["code"] in case.wants and after == BAD_MESSAGE


async def check_frames(case: Case, url: str, token: str) -> list[str]:
    """What is wrong with how the connection went on or ended."""
    way = await perform(case, url, token)
    return [] if way in case.wants else [f"ended with {way}, not {set(case.wants)}"]
