"""What an API key looks like, how long an answer about one is remembered, and what is not even asked."""

from __future__ import annotations

import hashlib
from uuid import uuid4

import pytest

from foundation.clock import SystemClock
from foundation.db import PoolDatabase
from foundation.errors import ConflictingCredentials, DatabaseUnavailable, InvalidToken
from foundation.identity import ApiKeys, Authenticator, MissingCredentials
from foundation.identity.api_key import fresh_key, hash_of, is_key, prefix_of
from foundation.identity.credentials import read_credentials
from foundation.identity.recent import Recent
from foundation.outbound import Outbound
from foundation.settings import Settings

SECRET = "x" * 40


def closed() -> ApiKeys:
    """Keys whose database never answers."""
    return ApiKeys(PoolDatabase("postgresql://nowhere.invalid/x", size=1), clock=SystemClock())


def authenticator(api_keys: ApiKeys | None) -> Authenticator:
    settings = Settings(_env_file=None, SUPABASE_JWT_SECRET=SECRET, RAILWAY_BACKEND_SECRET=SECRET)
    return Authenticator(settings, outbound=Outbound(), clock=SystemClock(), api_keys=api_keys)


def test_fresh_keys_have_the_form_of_keys_and_are_never_the_same() -> None:
    keys = {fresh_key() for _ in range(200)}

    assert len(keys) == 200
    assert all(is_key(key) and key.startswith("sy_") and len(key) == 35 for key in keys)
    assert set("".join(key[3:] for key in keys)) >= set("AZaz09")


def test_what_is_kept_of_a_key_is_the_hash_of_all_of_it_and_its_beginning() -> None:
    key = "sy_" + "a" * 32

    assert hash_of(key) == hashlib.sha256(b"sy_" + b"a" * 32).hexdigest()
    assert prefix_of(key) == "sy_aaaaaaaaa"


def test_a_key_the_app_has_made_before_has_the_form_of_a_key() -> None:
    assert is_key("sk_live_" + "a1" * 16)


@pytest.mark.parametrize(
    "text",
    [
        "", "sy_", "sy_" + "a" * 31, "sy_" + "a" * 33, "a" * 35, "_" + "a" * 32, "sy_" + "ä" * 32,
        "sy_" + "a" * 32 + "\n", " sy_" + "a" * 32, "sy_" + "a" * 31 + "-", "s" * 33 + "_" + "a" * 32,
    ],
)  # fmt: skip
async def test_what_has_not_the_form_of_a_key_is_refused_without_asking_the_database(text: str) -> None:
    with pytest.raises(InvalidToken):
        await closed().owner(text)


async def test_without_the_database_nobody_can_tell_and_the_key_is_not_called_bad() -> None:
    with pytest.raises(DatabaseUnavailable):
        await authenticator(closed()).authenticate({"x-api-key": fresh_key()})


async def test_where_no_keys_are_taken_a_key_reads_as_unknown() -> None:
    with pytest.raises(InvalidToken) as nowhere:
        await authenticator(None).authenticate({"x-api-key": fresh_key()})
    with pytest.raises(InvalidToken) as malformed:
        await authenticator(closed()).authenticate({"x-api-key": "x"})

    assert nowhere.value.detail == malformed.value.detail
    assert nowhere.value.headers() == malformed.value.headers()


def test_no_credentials_are_told_from_bad_ones_and_none_is_shown_in_a_repr() -> None:
    offered = read_credentials({"X-API-Key": "sy_" + "a" * 32})

    assert offered.api_key == "sy_" + "a" * 32
    assert "aaaa" not in repr(offered)
    with pytest.raises(MissingCredentials):
        read_credentials({"apikey": "the anon key of supabase-js"})


def test_two_tokens_that_somebody_has_joined_are_two() -> None:
    with pytest.raises(ConflictingCredentials):
        read_credentials({"authorization": "Bearer one, Bearer two"})


def test_a_key_that_is_sent_twice_under_two_spellings_is_refused() -> None:
    with pytest.raises(ConflictingCredentials):
        read_credentials({"x-api-key": "a", "X-Api-Key": "a"})


def test_an_answer_is_remembered_from_when_it_was_asked_for_and_no_longer() -> None:
    recent, user = Recent(most=10, lifetime_s=5), uuid4()

    recent.keep("a", user, asked_s=100)

    assert recent.get("a", now_s=104.9) == user
    assert recent.get("a", now_s=105) is None
    assert recent.get("b", now_s=100) is None


def test_the_oldest_answer_makes_room() -> None:
    recent, user = Recent(most=2, lifetime_s=5), uuid4()

    for name in ("a", "b", "a", "c"):
        recent.keep(name, user, asked_s=1)

    assert [recent.get(name, now_s=2) for name in ("a", "b", "c")] == [user, None, user]


def test_what_was_asked_before_all_was_forgotten_is_not_remembered() -> None:
    recent, user = Recent(most=10, lifetime_s=5), uuid4()
    recent.keep("a", user, asked_s=100)

    recent.clear(now_s=101)
    recent.keep("b", user, asked_s=100.5)
    recent.keep("c", user, asked_s=101.5)

    assert [recent.get(name, now_s=102) for name in ("a", "b", "c")] == [None, None, user]
