from __future__ import annotations

import pytest

from foundation.errors import ModelUnavailable
from heavy_agents.llm import AgentMistake
from heavy_agents.llm.prompt import Quirk
from heavy_agents.llm.verdict import Setback, judge, read_refusal

SECRET = "a secret of the provider"


def judged(status: int, **error: object) -> Setback:
    return judge(read_refusal(status, {"error": {"message": SECRET, **error}}), model="gpt")


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (404, {}, "the model 'gpt' is not offered"),
        (400, {"code": "model_not_found"}, "the model 'gpt' is not offered"),
        (403, {"code": "model_not_found"}, "the model 'gpt' is not offered"),
        (400, {"code": "context_length_exceeded"}, "the conversation is too long for the model"),
        (413, {}, "the conversation is too long for the model"),
        (400, {"code": "content_filter"}, "content filter"),
        (400, {"type": "content_policy_violation"}, "content filter"),
        (400, {}, "refused this request as invalid"),
        (422, {"code": 7}, "refused this request as invalid"),
    ],
)
def test_a_request_that_cannot_work_is_the_agents_mistake(
    status: int, error: dict[str, object], says: str
) -> None:
    setback = judged(status, **error)

    assert isinstance(setback.error, AgentMistake)
    assert says in setback.error.message
    assert not setback.may_retry


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, {}, "refused the server's key"),
        (401, {"code": "model_not_found"}, "refused the server's key"),
        (403, {}, "refused the server's key"),
        (429, {"code": "insufficient_quota"}, "is used up"),
        (429, {"type": "insufficient_quota"}, "is used up"),
        (402, {}, "is used up"),
        (429, {}, "limiting how often"),
        (500, {}, "failed"),
        (302, {}, "failed"),
        (418, {}, "failed"),
    ],
)
def test_everything_else_is_the_providers_failure(status: int, error: dict[str, object], says: str) -> None:
    setback = judged(status, **error)

    assert isinstance(setback.error, ModelUnavailable)
    assert says in setback.error.detail
    assert setback.is_key_refused == ("key" in says)


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 413, 422, 429, 500])
@pytest.mark.parametrize("code", [None, SECRET, "insufficient_quota", "context_length_exceeded"])
def test_no_sentence_repeats_the_provider(status: int, code: str | None) -> None:
    assert SECRET not in repr(judged(status, code=code, param=SECRET))


@pytest.mark.parametrize("body", [None, "", "<html>", [], 3, {}, {"error": "text"}, {"error": None}])
def test_a_body_that_is_none_is_read_as_nothing(body: object) -> None:
    assert isinstance(judge(read_refusal(400, body), model="m").error, AgentMistake)


@pytest.mark.parametrize(
    ("error", "quirk"),
    [
        ({"param": "max_tokens", "code": "unsupported_parameter"}, Quirk.MAX_TOKENS),
        ({"param": "temperature", "code": "unsupported_value"}, Quirk.TEMPERATURE),
        ({"param": "stream_options", "code": None}, Quirk.STREAM_OPTIONS),
        ({"param": "max_tokens", "code": "invalid_value"}, None),
        ({"param": "messages", "code": "unsupported_parameter"}, None),
        ({"param": ["max_tokens"], "code": "unsupported_parameter"}, None),
    ],
)
def test_a_parameter_a_model_does_not_take_is_recognised(
    error: dict[str, object], quirk: Quirk | None
) -> None:
    assert judged(400, **error).quirk is quirk
    assert judged(500, **error).quirk is None


def test_a_parameter_is_recognised_where_other_servers_name_it() -> None:
    refusal = read_refusal(422, {"detail": [{"loc": ["body", "stream_options"], "msg": SECRET}]})

    assert judge(refusal, model="m").quirk is Quirk.STREAM_OPTIONS
