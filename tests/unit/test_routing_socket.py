"""What a socket decides without a network: what is offered, who may connect, which end has which code."""

from __future__ import annotations

from uuid import UUID

import pytest
from starlette.datastructures import Headers
from starlette.types import Scope

import foundation.errors as tree
from foundation.errors import ConflictingCredentials, Gap, HeavyError, OriginNotAllowed
from routing.socket.farewell import farewell, restarting
from routing.socket.handshake import check_origin, take_offer
from routing.socket.outbound import error_message, gap_message

RUN = UUID("01a204b8-30f5-7518-88a6-b9cf00d00c07")
CODES = {
    400: 4400, 401: 4401, 402: 4400, 403: 4403, 404: 4400, 405: 4400, 408: 4408, 409: 4400, 413: 4400,
    415: 4400, 422: 4400, 429: 4429, 500: 1011, 502: 1013, 503: 1013, 504: 1013,
}  # fmt: skip
LEAVES = [getattr(tree, name) for name in tree.__all__ if name not in {"FieldError", "Json", "StartRefused"}]


def scope(*, protocols: tuple[str, ...] = (), query: str = "") -> Scope:
    return {"subprotocols": list(protocols), "query_string": query.encode()}


def test_only_the_protocol_itself_is_echoed() -> None:
    assert take_offer(scope(protocols=("jwt-abc", "switchyard.v1"))).subprotocol == "switchyard.v1"
    assert take_offer(scope(protocols=("jwt-abc", "chat"))).subprotocol is None


def test_a_token_is_taken_out_of_the_query() -> None:
    opening = scope(query="token=abc&a=b")

    assert take_offer(opening).token() == "abc"
    assert b"abc" not in opening["query_string"]


def test_the_same_token_twice_is_one_and_two_tokens_are_refused() -> None:
    assert take_offer(scope(protocols=("jwt-a",), query="token=a")).token() == "a"
    with pytest.raises(ConflictingCredentials):
        take_offer(scope(protocols=("jwt-a",), query="token=b")).token()


def test_without_a_token_there_is_none() -> None:
    assert take_offer(scope(protocols=("switchyard.v1",), query="tokens=a")).token() is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.evil", ""])
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(OriginNotAllowed):
        check_origin(Headers({"origin": origin}), ["https://app.example"])


def test_a_second_origin_does_not_help() -> None:
    both = Headers(raw=[(b"origin", b"https://app.example"), (b"origin", b"https://evil.example")])

    with pytest.raises(OriginNotAllowed):
        check_origin(both, ["https://app.example"])


def test_no_page_and_the_pages_that_may_are_let_in() -> None:
    check_origin(Headers({}), [])
    check_origin(Headers({"origin": "https://app.example"}), ["https://app.example"])
    check_origin(Headers({"origin": "https://any.example"}), ["*"])


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_error_has_the_close_code_of_its_status(error: type[HeavyError]) -> None:
    made = error.__new__(error)
    HeavyError.__init__(made, "a sentence", {"fact": 1})

    end = farewell(made)

    assert end.code == CODES[error.status]
    assert end.message == {"type": "error", "error": "a sentence", "code": error.code, "fact": 1}


def test_a_reason_fits_into_a_close_frame() -> None:
    ends = [restarting(), *(farewell(error("x")) for error in (tree.KeyConflict, tree.Draining))]

    assert all(len(end.reason.encode()) <= 123 for end in ends)


def test_an_error_repeats_only_what_the_client_may_ask_back_with() -> None:
    error = ConflictingCredentials("a sentence")

    assert error_message(error, request_id="r", run_id=RUN) == {
        "type": "error",
        "error": "a sentence",
        "code": "conflicting_credentials",
        "requestId": "r",
        "runId": str(RUN),
    }


def test_a_gap_says_what_is_left() -> None:
    assert gap_message(RUN, Gap(oldest=5, latest=9)) == {
        "type": "agent_gap",
        "runId": str(RUN),
        "oldest": 5,
        "latest": 9,
    }
