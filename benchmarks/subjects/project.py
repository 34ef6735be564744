"""What Switchyard needs before it can be measured: settings, and many users on the free plan."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg

from benchmarks.script import MODEL, SYSTEM
from foundation.settings import Settings

__all__ = ["CREDITS", "make_agent", "make_users", "settings"]

# Each may start 5 runs a minute; limits stay as they ship.
USERS = 2_000
CREDITS = 1_000


def settings(database_url: str, model_url: str, **variables: object) -> Settings:
    """As they ship, with a database and a model."""
    needed = {"DATABASE_URL": database_url, "OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "none"}
    # The variables' names are aliases that the type does not know.
    return Settings(_env_file=None, **(needed | variables))  # type: ignore[arg-type]


async def make_users(database_url: str, *, users: int = USERS) -> list[UUID]:
    made = [uuid4() for _ in range(users)]
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("insert into auth.users (id) select unnest($1::uuid[])", made)
        await connection.execute(
            "insert into public.credit_balances (user_id, credits_remaining, plan_type)"
            " select unnest($1::uuid[]), $2, 'free'",
            made,
            CREDITS,
        )
    finally:
        await connection.close()
    return made


async def make_agent(database_url: str, owner: UUID) -> UUID:
    """A chat agent that everybody may run."""
    connection = await asyncpg.connect(database_url)
    try:
        made: UUID = await connection.fetchval(
            "insert into public.agents"
            " (user_id, name, kind, is_heavy, is_published, ai_model, system_prompt, tools)"
            " values ($1, 'Clock', 'chat', true, true, $2, $3, '[\"now\"]'::jsonb) returning id",
            owner,
            MODEL,
            SYSTEM,
        )
    finally:
        await connection.close()
    return made
