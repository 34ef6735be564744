"""The command line: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import jwt

from tests.support.database import MIGRATIONS
from tests.support.process import DEMO_USER, run_command
from tests.support.tables import connected


async def test_token_prints_just_a_token_for_the_demo_user(tmp_path: Path) -> None:
    code, out, err = await run_command("token", DATA_DIR=str(tmp_path))

    assert (code, err) == (0, "")
    assert jwt.decode(out.strip(), options={"verify_signature": False})["sub"] == str(DEMO_USER)


async def test_token_is_for_the_user_that_is_named(tmp_path: Path) -> None:
    user = "11111111-1111-4111-8111-111111111111"

    _, out, _ = await run_command("token", "--user", user, DATA_DIR=str(tmp_path))

    assert jwt.decode(out.strip(), options={"verify_signature": False})["sub"] == user


async def test_token_refuses_in_production(tmp_path: Path) -> None:
    code, out, err = await run_command(
        "token",
        DATA_DIR=str(tmp_path),
        ENVIRONMENT="production",
        ALLOW_EMBEDDED="1",
        SUPABASE_JWT_SECRET="s" * 32,
        RAILWAY_BACKEND_SECRET="r" * 32,
        METRICS_TOKEN="m" * 16,
    )

    assert code == 2
    assert out == ""
    assert "production" in err


async def test_wrong_settings_are_one_line_each_that_name_the_variable(tmp_path: Path) -> None:
    code, _, err = await run_command("serve", DATA_DIR=str(tmp_path), PORT="many", WORKER_SLOTS="0")

    assert code == 2
    assert [line.split(":")[0] for line in err.strip().splitlines()] == ["PORT", "WORKER_SLOTS"]
    assert "'many'" in err


async def test_production_without_its_secrets_does_not_start(tmp_path: Path) -> None:
    code, _, err = await run_command("serve", DATA_DIR=str(tmp_path), ENVIRONMENT="production")

    assert code == 2
    assert [line.split(":")[0] for line in err.strip().splitlines()] == [
        "DATABASE_URL",
        "SUPABASE_URL",
        "RAILWAY_BACKEND_SECRET",
        "METRICS_TOKEN",
    ]


async def test_migrate_applies_once_and_then_has_nothing_to_do(empty_database_url: str) -> None:
    first = await run_command("migrate", DATABASE_URL=empty_database_url)
    second = await run_command("migrate", DATABASE_URL=empty_database_url)

    assert first[0] == second[0] == 0
    assert first[1].count("applied ") == len(list(MIGRATIONS.glob("*.sql")))
    assert second[1].strip() == "the schema is up to date"


async def test_a_migration_that_cannot_be_applied_is_told_without_a_trace_and_leaves_nothing(
    empty_database_url: str,
) -> None:
    """As in a project that has a function of that name already, which does something else."""
    async with connected(empty_database_url) as connection:
        await connection.execute(
            "create function public.deduct_credits(p_user_id uuid, p_credits integer) returns boolean"
            " language sql as $$ select true $$"
        )

        code, out, err = await run_command("migrate", DATABASE_URL=empty_database_url)

        assert code == 2
        assert "deduct_credits" in err
        assert "Traceback" not in out + err
        assert await connection.fetchval("select to_regclass('public.agents') is null")
