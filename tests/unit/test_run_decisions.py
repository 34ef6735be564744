"""What a client decides before and between requests: whom a name means, whether to come back, and when."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.run.agents import Agent, agent_id_of, choose
from commands.run.patience import LONGEST_PAUSE_S, Patience
from commands.run.refused import Lost, Refused, judge
from commands.run.server import credential_of, url_of
from commands.run.wanted import Wanted, check, order_of
from foundation.settings import Settings

AGENTS = [Agent("1", "Forecaster"), Agent("2", "Research"), Agent("3", "research "), Agent("4", "Desk")]


def wanted(**options: object) -> Wanted:
    return Wanted("railway_server.py", **options)  # type: ignore[arg-type]


def settings(**variables: object) -> Settings:
    return Settings(_env_file=None, **variables)  # type: ignore[arg-type]


def no_settings() -> Settings:
    raise AssertionError("the settings of this machine do not matter here")


@pytest.mark.parametrize("name", ["forecaster", "FORECASTER", " Forecaster "])
def test_a_name_is_compared_without_case(name: str) -> None:
    assert choose(name, AGENTS).id == "1"


def test_a_name_of_several_agents_lists_their_ids() -> None:
    with pytest.raises(Refused) as refused:
        choose("Research", AGENTS)

    assert refused.value.lines == [
        "“Research” is the name of several agents; give an id: 2 (Research), 3 (research)"
    ]


def test_a_part_of_a_name_lists_what_has_it_and_an_unknown_one_lists_all() -> None:
    with pytest.raises(Refused, match=r"there is: Forecaster$"):
        choose("cast", AGENTS)
    with pytest.raises(Refused, match="there is: Desk, Forecaster, Research, research"):
        choose("nobody", AGENTS)
    with pytest.raises(Refused, match="there is none that you may run"):
        choose("nobody", [])


def test_an_id_is_taken_in_any_spelling() -> None:
    agent_id = uuid4()

    assert agent_id_of(str(agent_id).upper()) == str(agent_id)
    assert agent_id_of("Forecaster") is None


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 10))
def test_pauses_grow_are_bounded_and_respect_what_the_server_asked_for(
    failures: int, roll: float, retry_after_s: float
) -> None:
    patience = Patience(limit_s=10_000, since_s=0, failures=failures - 1)

    pause_s = patience.pause_s(0, retry_after_s=retry_after_s, roll=roll)

    assert pause_s is not None
    assert retry_after_s + 0.125 <= pause_s <= retry_after_s + LONGEST_PAUSE_S


def test_patience_ends_and_begins_anew_when_things_are_well() -> None:
    patience = Patience(limit_s=10, since_s=100)

    assert patience.pause_s(109.9, retry_after_s=0, roll=1) is None
    patience.well(109.9)
    assert patience.pause_s(110, retry_after_s=0, roll=1) == 0.25
    assert patience.pause_s(110, retry_after_s=60, roll=0) is None


def problem(code: str, status: int, **facts: object) -> bytes:
    return orjson.dumps({"code": code, "status": status, "detail": "as it is", **facts})


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "rate_limited"), (502, "backend_failed"), (503, "draining"), (503, "database_unavailable")],
)
def test_what_passes_is_asked_again_after_the_time_the_server_names(status: int, code: str) -> None:
    verdict = judge(status, {"retry-after": "7"}, problem(code, status))

    assert isinstance(verdict, Lost)
    assert verdict.retry_after_s == 7
    assert verdict.refusal is not None
    assert verdict.refusal.lines == [f"{code}: as it is"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "invalid_token"), (402, "insufficient_credits"), (503, "not_configured"), (500, "internal_error")],
)
def test_what_does_not_pass_is_refused_with_its_code_and_detail(status: int, code: str) -> None:
    verdict = judge(status, {}, problem(code, status))

    assert isinstance(verdict, Refused)
    assert verdict.lines[0] == f"{code}: as it is"


def test_mistakes_in_the_input_are_a_line_each() -> None:
    errors = [{"field": "input.series", "message": "is missing"}, {"field": "", "message": "is\x1b[0m odd"}]

    verdict = judge(422, {}, problem("invalid_body", 422, errors=errors))

    assert isinstance(verdict, Refused)
    assert verdict.lines == [
        "invalid_body: the request has mistakes",
        "  input.series: is missing",
        "  body: is�[0m odd",
        "What to do: see `/docs` of the server for what a run takes",
    ]


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[]", b'{"detail": "x"}'])
def test_a_proxy_without_its_server_is_waited_for_and_another_program_is_not(body: bytes) -> None:
    assert isinstance(judge(502, {}, body), Lost)
    assert isinstance(judge(404, {}, body), Refused)
    assert isinstance(judge(301, {"location": "https://x"}, body), Refused)


@pytest.mark.parametrize(
    "options",
    [
        {"resume": uuid4(), "cancel": uuid4()},
        {"resume": uuid4(), "agent": "a"},
        {"cancel": uuid4(), "input": "{}"},
        {"agent": "a", "after": 3},
        {"agent": "a", "quiet": True, "json": True},
        {"agent": "a", "key": "with a line\n"},
        {"agent": "a", "message": "-", "input": "@-"},
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(Refused):
        check(wanted(**options))


def test_a_run_may_have_an_input_from_a_file_and_no_message(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"horizon": 7}')
    conversation = uuid4()

    body = order_of(wanted(input=f"@{file}", conversation=conversation), "an-id")

    assert body == {
        "agentId": "an-id",
        "messages": [],
        "input": {"horizon": 7},
        "conversationId": str(conversation),
    }


@pytest.mark.parametrize("given_", ["{", "[1]", "@nowhere/at-all.json"])
def test_an_input_that_is_no_object_is_refused(given_: str) -> None:
    with pytest.raises(Refused):
        order_of(wanted(input=given_), "an-id")


@pytest.mark.parametrize(
    ("host", "url"),
    [("", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")],  # noqa: S104
)
def test_the_server_is_this_machines_own_unless_another_is_named(host: str, url: str) -> None:
    assert url_of(wanted(), lambda: settings(PORT=80, HOST=host)) == url
    assert url_of(wanted(url="https://a.example/"), no_settings) == "https://a.example"


def test_a_free_port_cannot_be_guessed() -> None:
    with pytest.raises(Refused, match="--url"):
        url_of(wanted(), lambda: settings(PORT=0))


def test_a_key_and_a_token_go_into_headers_of_their_own() -> None:
    key = "sy_" + "x" * 32

    assert credential_of(wanted(token=key), "http://a", no_settings) == {"x-api-key": key}
    assert credential_of(wanted(token="a.b.c"), "http://a", no_settings) == {"Authorization": "Bearer a.b.c"}


def test_a_development_token_never_leaves_this_machine(tmp_path: Path) -> None:
    def development() -> Settings:
        return settings(DATA_DIR=tmp_path)

    url = "https://a.example"
    with pytest.raises(Refused, match="--token"):
        credential_of(wanted(url=url), url, development)
    near = credential_of(wanted(url="http://localhost:1"), "http://localhost:1", development)
    assert near["Authorization"].startswith("Bearer ")


def test_with_a_project_a_token_must_be_given() -> None:
    def of_a_project() -> Settings:
        return settings(SUPABASE_URL="https://p.supabase.co", DATABASE_URL="postgresql://h/d")

    with pytest.raises(Refused, match="--token"):
        credential_of(wanted(), "http://127.0.0.1:80", of_a_project)
