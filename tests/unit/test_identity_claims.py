from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from foundation.errors import InvalidToken
from foundation.identity import Caller, CallerKind
from foundation.identity.claims import TokenRules, read_claims, read_user_id

NOW_S = 1_800_000_000
USER = UUID("0b5c6a1e-3f0c-4e0f-9a5e-0d2f6d1d7a11")
RULES = TokenRules(issuer="https://p.supabase.co/auth/v1", allow_anonymous=False, allow_oauth_clients=False)
CLAIMS: dict[str, object] = {
    "iss": RULES.issuer,
    "sub": str(USER),
    "aud": "authenticated",
    "role": "authenticated",
    "iat": NOW_S - 60,
    "exp": NOW_S + 3600,
}


def test_a_signed_in_user_is_the_caller() -> None:
    caller = read_claims(CLAIMS, RULES, now_s=NOW_S)

    assert caller == Caller(USER, CallerKind.USER, NOW_S + 3600)


def test_an_audience_may_be_one_of_a_list() -> None:
    caller = read_claims(CLAIMS | {"aud": ["other", "authenticated"]}, RULES, now_s=NOW_S)

    assert caller.user_id == USER


@pytest.mark.parametrize(("late_s", "is_taken"), [(0, True), (29, True), (30, False), (31, False)])
def test_an_expired_token_is_taken_for_less_than_thirty_seconds(late_s: int, is_taken: bool) -> None:
    claims = CLAIMS | {"exp": NOW_S - late_s}

    if is_taken:
        assert read_claims(claims, RULES, now_s=NOW_S).token_expires_at == NOW_S - late_s
    else:
        with pytest.raises(InvalidToken, match="expired"):
            read_claims(claims, RULES, now_s=NOW_S)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_clock_may_be_thirty_seconds_ahead_and_not_more(name: str) -> None:
    read_claims(CLAIMS | {name: NOW_S + 30}, RULES, now_s=NOW_S)

    with pytest.raises(InvalidToken, match=f"{name} lies in the future"):
        read_claims(CLAIMS | {name: NOW_S + 31}, RULES, now_s=NOW_S)


@pytest.mark.parametrize(
    ("allowed", "claims"),
    [
        (replace(RULES, allow_anonymous=True), {"is_anonymous": True}),
        (replace(RULES, allow_oauth_clients=True), {"client_id": "an-app"}),
    ],
)
def test_a_kind_of_user_is_refused_unless_the_settings_allow_it(
    allowed: TokenRules, claims: dict[str, object]
) -> None:
    with pytest.raises(InvalidToken):
        read_claims(CLAIMS | claims, RULES, now_s=NOW_S)

    assert read_claims(CLAIMS | claims, allowed, now_s=NOW_S).user_id == USER


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"iss": "https://secret.example"}, "another project"),
        ({"role": "service_role"}, "role must be authenticated"),
        ({"aud": "anon"}, "aud must contain authenticated"),
        ({"exp": "soon"}, "exp is not a time"),
        ({"sub": "me"}, "UUID"),
    ],
)
def test_a_refusal_says_which_rule_and_repeats_nothing(changes: dict[str, object], hint: str) -> None:
    with pytest.raises(InvalidToken) as refusal:
        read_claims(CLAIMS | changes, RULES, now_s=NOW_S)

    assert hint in refusal.value.detail
    assert "secret.example" not in refusal.value.detail
    assert RULES.issuer not in refusal.value.detail


@pytest.mark.parametrize(
    "text", [str(USER).upper(), f"{{{USER}}}", USER.hex, f"urn:uuid:{USER}", "", None, 7]
)
def test_a_user_id_has_one_spelling(text: object) -> None:
    assert read_user_id(str(USER)) == USER
    assert read_user_id(text) is None
