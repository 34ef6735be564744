"""Secrets are found by name and by looks, and nothing else is harmed."""

from __future__ import annotations

import sys
import time
from uuid import uuid4

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.telemetry.redaction import REDACTED, Redactor, is_secret_name

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"
NAMES = st.text(max_size=5)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=9)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.integers(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(NAMES, TREES, max_size=3)


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "token", "access_token", "x-api-key", "apiKey", "apikey",
        "password", "db_password", "cookie", "Set-Cookie", "x-railway-secret", "SUPABASE_JWT_SECRET",
        "database_url", "DATABASE_URL", "SUPABASE_DB_URL", "supabase_secret_key", "client_secret",
        "private_key", "ENCRYPTION_KEY", "SENTRY_DSN", "credentials", "key_hash",
    ],
)  # fmt: skip
def test_what_goes_under_a_secret_name_is_hidden(name: str) -> None:
    for value in ("canary", b"canary", ["canary"], {"deep": "canary"}, 12345):
        assert Redactor().fields({name: value}) == {name: REDACTED}


def test_a_name_that_somebody_made_up_is_judged_and_not_kept() -> None:
    name = f"{uuid4()}" * 1_000 + "_password"
    holders = sys.getrefcount(name)

    assert is_secret_name(name)
    assert sys.getrefcount(name) == holders


@pytest.mark.parametrize("name", ["tokens", "total_tokens", "max_tokens", "route", "run_id", "key", "keys"])
def test_what_only_sounds_like_a_secret_name_is_kept(name: str) -> None:
    assert Redactor().fields({name: 7}) == {name: 7}


@pytest.mark.parametrize(
    "text",
    [
        f"token {TOKEN} refused",
        "unsigned eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOjF9.",
        "key sb_secret_canary-canary",
        "refused \\nsy_canarycanarycanarycanarycanary12",
        "OpenAI said: sk-proj-canarycanary is invalid",
        "cannot connect to postgresql://user:canary@db.example/postgres",
        "cannot connect to postgres://user:can@ry/canary@db.example:5432/x",
        "GET https://user:canary@proxy.example/path",
        "GET /ws?after=3&token=canary&x=1 HTTP/1.1",
        "GET /x?apikey=canary",
        "headers {'Authorization': 'Bearer canarycanary', 'x-api-key': 'canary'}",
        "headers [(b'x-railway-secret', b'canary'), (b'cookie', b'canary')]",
        "Authorization: Basic canary",
        'body {"password":"canary","secret": "canary"}',
        "password=canary host=db",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "the value own-canary-value came back",
    ],
)
def test_what_looks_like_a_secret_is_hidden_in_any_text(text: str) -> None:
    redactor = Redactor(["own-canary-value"])
    rendered = orjson.dumps(text)

    cleaned = redactor.text(text)

    assert "canary" not in cleaned.replace("eyJhbG", "")
    assert "eyJ" not in cleaned
    assert REDACTED in cleaned
    assert not redactor.is_clean(rendered)


def test_what_surrounds_a_secret_is_kept() -> None:
    cleaned = Redactor().text("GET /ws?after=3&token=canary&x=1 from postgresql://u:p@db.example/x")

    assert cleaned == "GET /ws?after=3&token=[redacted]&x=1 from postgresql://[redacted]@db.example/x"


@pytest.mark.parametrize(
    "text",
    [
        "OPENAI_API_KEY: not set, wants the key of the model provider",
        "run 0199a6f0-7d2c finished in 1.5 s",
        "see https://example.com/a?page=2#top",
        "password authentication failed",
        "used 120 tokens of the model",
        "mail a@b.example",
    ],
)
def test_ordinary_text_is_untouched(text: str) -> None:
    assert Redactor().text(text) == text


def test_an_own_secret_is_found_under_json_escapes() -> None:
    secret = 'quote"and\\slash'
    redactor = Redactor([secret])

    assert not redactor.is_clean(orjson.dumps({"event": f"got {secret}"}))
    assert redactor.fields({"event": f"got {secret}"}) == {"event": f"got {REDACTED}"}


def test_an_object_is_cleaned_by_its_repr() -> None:
    class Client:
        def __repr__(self) -> str:
            return f"<Client {TOKEN}>"

    assert Redactor().fields({"client": Client()}) == {"client": f"<Client {REDACTED}>"}


def test_an_object_that_cannot_say_what_it_is_does_no_harm() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert Redactor().fields({"it": Broken()}) == {"it": "<Broken>"}


def test_a_structure_that_holds_itself_ends() -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop

    assert "[too deep]" in str(Redactor().fields(loop))


def test_times_and_ids_are_kept_as_they_are() -> None:
    run_id = uuid4()

    assert Redactor().fields({"run_id": run_id}) == {"run_id": run_id}


@settings(max_examples=50)
@given(FIELDS)
def test_the_result_is_always_json(fields: dict[str, object]) -> None:
    orjson.dumps(Redactor().fields(fields))


@settings(max_examples=50)
@given(FIELDS, st.sampled_from(["", "x ", "?", "("]))
def test_a_token_never_comes_through_wherever_it_is(fields: dict[str, object], before: str) -> None:
    nested = {"outer": [fields, {"list": [before + TOKEN]}]}

    assert "c2lnbmF0dXJlLWNhbmFyeQ" not in str(Redactor().fields(nested))


@pytest.mark.parametrize(
    "piece", ["eyJ-", "a-", "://", "postgres://", "?key=", "Bearer ", "api_", "-----BEGIN "]
)
def test_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    def cpu_s(length: int) -> float:
        text = (piece * length)[:length]
        before_s = time.process_time()
        Redactor().text(text)
        return time.process_time() - before_s

    # Quadratic work would take minutes; the bound only tells the two apart.
    assert cpu_s(4_000_000) < 5
