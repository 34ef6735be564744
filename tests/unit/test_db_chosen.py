"""Which way to the database the settings choose, and where hints can be listened for."""

from __future__ import annotations

import pytest

from foundation.db import PoolDatabase, SupabaseDatabase, database_of, listening_url
from foundation.errors import NotConfigured
from foundation.settings import Settings

DIRECT = "postgresql://postgres:p@db.ref.supabase.co:5432/postgres"
SESSION = "postgresql://postgres.ref:p@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"
TRANSACTION = "postgresql://postgres.ref:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
PROJECT = {"SUPABASE_URL": "https://ref.supabase.co", "SUPABASE_SECRET_KEY": "sb_secret_0123456789"}


def settings(**variables: str) -> Settings:
    return Settings(_env_file=None, **variables)  # type: ignore[arg-type]


def test_a_project_with_its_key_is_the_database_where_there_is_no_other() -> None:
    assert isinstance(database_of(settings(**PROJECT), size=1), SupabaseDatabase)


@pytest.mark.parametrize("url", [DIRECT, SESSION, TRANSACTION])
def test_an_address_goes_before_the_project(url: str) -> None:
    assert isinstance(database_of(settings(**PROJECT, DATABASE_URL=url), size=1), PoolDatabase)


def test_without_either_there_is_nothing_to_choose() -> None:
    with pytest.raises(NotConfigured, match="DATABASE_URL: not set"):
        database_of(settings(), size=1)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"DATABASE_URL": DIRECT}, DIRECT),
        ({"DATABASE_URL": SESSION, **PROJECT}, SESSION),
        ({"DATABASE_URL": TRANSACTION}, None),
        ({"DATABASE_URL": TRANSACTION, **PROJECT}, None),
        (PROJECT, None),
    ],
)
def test_hints_are_listened_for_where_a_session_is_kept(variables: dict[str, str], url: str | None) -> None:
    assert listening_url(settings(**variables)) == url
