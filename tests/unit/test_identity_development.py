from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from foundation.clock import SystemClock
from foundation.errors import InvalidToken, NotConfigured
from foundation.identity import Authenticator, CallerKind, issue_development_token
from foundation.identity.development import development_secret
from foundation.outbound import Outbound
from foundation.settings import Settings


# Any: settings are given as their variables, which the type checker does not know.
def settings_of(folder: Path, **variables: Any) -> Settings:
    return Settings(_env_file=None, DATA_DIR=folder, **variables)


def authenticator(settings: Settings) -> Authenticator:
    return Authenticator(settings, outbound=Outbound(), clock=SystemClock())


async def test_a_development_token_is_taken_by_the_server_that_made_it(tmp_path: Path) -> None:
    settings, user_id = settings_of(tmp_path / "new" / "folder"), uuid4()
    token = issue_development_token(settings, user_id, lifetime_s=60)

    caller = await authenticator(settings).authenticate({"Authorization": f"Bearer {token}"})

    assert (caller.user_id, caller.via) == (user_id, CallerKind.USER)
    assert caller.token_expires_at is not None


async def test_a_development_token_of_another_machine_is_refused(tmp_path: Path) -> None:
    token = issue_development_token(settings_of(tmp_path / "theirs"), uuid4())

    with pytest.raises(InvalidToken):
        await authenticator(settings_of(tmp_path / "ours")).verify(token)


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")

    first, second = development_secret(settings), development_secret(settings)

    assert first == second
    assert len(first) >= 64
    files = list((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["development-jwt-secret"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)

    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(lambda _: development_secret(settings), range(64)))

    assert len(found) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["development-jwt-secret"]


def test_a_damaged_secret_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "development-jwt-secret").write_text("")

    with pytest.raises(NotConfigured, match="delete it"):
        development_secret(settings_of(tmp_path))


@pytest.mark.parametrize(
    "variables",
    [
        {
            "ENVIRONMENT": "production",
            "DATABASE_URL": "postgresql://db",
            "SUPABASE_URL": "https://p.supabase.co",
            "RAILWAY_BACKEND_SECRET": "r" * 32,
            "METRICS_TOKEN": "m" * 16,
        },
        {"SUPABASE_JWT_SECRET": "s" * 32},
        {"SUPABASE_URL": "https://p.supabase.co", "DATABASE_URL": "postgresql://db"},
    ],
)
def test_there_are_no_development_tokens_where_a_project_issues_them(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    with pytest.raises(NotConfigured, match="sign in"):
        issue_development_token(settings_of(tmp_path, **variables), uuid4())

    assert list(tmp_path.iterdir()) == []
