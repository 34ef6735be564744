"""Rounds of credit operations, each a hold or its settlement, subject after subject."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.batches import Postgres
from benchmarks.figures import Table
from benchmarks.report import write_figures
from benchmarks.subject import Running, Subject, running
from benchmarks.subjects.project import make_users
from tests.support.database import DatabaseServer

__all__ = ["measure"]

MODULE: Final = "benchmarks.subjects.credit_calls"
# By their names; what each is stands in the module.
SUBJECTS: Final = {
    "Switchyard's pool": "pool",
    "its SQL functions by asyncpg": "function",
    "bare `update … returning`": "update",
}
ACCOUNTS: Final = {"one hot account": 1, "1,000 accounts": 1_000}
CONCURRENCIES: Final = (1, 16, 64)
CREDITS: Final = 1_000_000_000
OPERATIONS_A_PAIR: Final = 2
QUANTITIES: Final = ("operations a second", "CPU an operation, µs", "Postgres CPU an operation, µs")


async def measure(*, pairs: int, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    tables: list[Table] = []
    async with AsyncExitStack() as opened:
        database = DatabaseServer()
        opened.push_async_callback(database.stop)
        await database.start()
        url = await database.create()
        await _make_accounts(url)
        postgres = await Postgres.of(url)
        for accounts, number in ACCOUNTS.items():
            async with _subjects(url, accounts=number, only=only) as subjects:
                for at_once in CONCURRENCIES:
                    title = f"{accounts}, {at_once} at once"
                    tables.append(
                        await _table(
                            title, subjects, postgres, pairs=pairs, rounds=rounds, concurrency=at_once
                        )
                    )
        await _check(url)
    if json_file is not None:
        figures = [asdict(each) for table in tables for each in table.medians()]
        write_figures(json_file, figures, about={"pairs": pairs, "rounds": rounds})


async def _make_accounts(url: str) -> None:
    await make_users(url, users=max(ACCOUNTS.values()))
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"update public.credit_balances set credits_remaining = {CREDITS}")  # noqa: S608
        await connection.execute(
            "create table public.bare_accounts"
            " (user_id uuid primary key, balance integer not null, held integer not null default 0)"
        )
        await connection.execute(
            "insert into public.bare_accounts select user_id, credits_remaining from public.credit_balances"
        )
    finally:
        await connection.close()


@asynccontextmanager
async def _subjects(url: str, *, accounts: int, only: Sequence[str] | None) -> AsyncIterator[list[Running]]:
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(running(Subject(name, MODULE), way, url, str(accounts)))
            for name, way in SUBJECTS.items()
            if only is None or name in only
        ]


async def _table(
    title: str, subjects: Sequence[Running], postgres: Postgres, *, pairs: int, rounds: int, concurrency: int
) -> Table:
    table = Table(title, QUANTITIES)
    for number in range(rounds + 1):
        for subject in subjects:
            before_s = postgres.cpu_now_s()
            cost = await subject.batch(runs=pairs, concurrency=concurrency)
            took_s = postgres.cpu_now_s() - before_s
            measured = {
                "operations a second": OPERATIONS_A_PAIR * 1000 / cost.wall_ms,
                "CPU an operation, µs": cost.cpu_ms * 1000 / OPERATIONS_A_PAIR,
                "Postgres CPU an operation, µs": took_s * 1_000_000 / pairs / OPERATIONS_A_PAIR,
            }
            if number > 0:  # the first one warms up
                table.add(subject.name, measured)
    table.print()
    return table


async def _check(url: str) -> None:
    """That every hold was settled, and that the accounts are the sums of their ledgers."""
    connection = await asyncpg.connect(url)
    try:
        ours = await connection.fetchval("select sum(held) from public.credit_balances")
        theirs = await connection.fetchval("select sum(held) from public.bare_accounts")
        wrong = json.loads(await connection.fetchval("select public.switchyard_audit()"))
    finally:
        await connection.close()
    if ours or theirs or wrong:
        raise RuntimeError(f"{ours} and {theirs} credits are still held; the audit says {wrong}")
