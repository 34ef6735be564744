"""What a claim costs after very many runs have come and gone, with and without autovacuum.

Each life leaves rows behind that nobody needs: of the run that waited, of the run that was executed, of each
renewal of its lease. They stand at the head of the queue's index until somebody clears them away.
"""

from __future__ import annotations

import statistics
import time
from typing import Final
from uuid import uuid4

import asyncpg

from benchmarks.figures import Table

__all__ = ["garbage"]

CALLS: Final = 9
# Committed one by one, as they are in life.
LIVES: Final = """
do $$
declare
  v_claims jsonb;
  v_claim jsonb;
  v_lease jsonb;
begin
  for i in 1 .. {lives} / 10 loop
    for n in 1 .. 10 loop
      perform public.switchyard_runs_submit(
        gen_random_uuid(), '{user}', null, '{{"name": "a", "kind": "chat"}}', '[]', '{{}}', null, null,
        '{{}}', null, 'h', 'off', 0, null, 3600, null, null, 5
      );
      delete from switchyard.rate_windows;
      commit;
    end loop;
    v_claims := public.switchyard_runs_claim('w', '{{chat}}', 10, 32, 5);
    commit;
    select jsonb_agg(jsonb_build_object('run_id', c ->> 'run_id', 'token', c ->> 'token')) into v_lease
    from jsonb_array_elements(v_claims) c;
    for beat in 1 .. 3 loop
      perform public.switchyard_runs_heartbeat('w', v_lease, 5);
      commit;
    end loop;
    for v_claim in select * from jsonb_array_elements(v_claims) loop
      perform public.switchyard_runs_finish(
        (v_claim ->> 'run_id')::uuid, (v_claim ->> 'token')::uuid, 'succeeded', null, null, 'bye',
        null, '{{}}', 0, '[]'
      );
      commit;
    end loop;
  end loop;
end
$$
"""
SUBMIT: Final = """
select public.switchyard_runs_submit(
  gen_random_uuid(), '{user}', null, '{{"name": "a", "kind": "chat"}}', '[]', '{{}}', null, null, '{{}}',
  null, 'h', 'off', 0, null, 3600, null, null, 5
)
"""
CLAIM: Final = "select public.switchyard_runs_claim('other', '{chat}', 1, 32, 5)"
DEAD: Final = """
select n_dead_tup as rows, n_tup_hot_upd * 100 / greatest(n_tup_upd, 1) as hot,
  pg_relation_size('switchyard.runs_waiting_idx') / 1024 as kilobytes
from pg_stat_user_tables where relid = 'switchyard.runs'::regclass
"""


async def garbage(url: str, *, lives: int, rounds: int) -> Table:
    table = Table(
        f"{lives} runs that came and went",
        (
            "a claim, µs",
            "first claim after, µs",
            "dead rows",
            "updates in place, %",
            "index of the queue, kB",
        ),
        0,
    )
    connection = await asyncpg.connect(url)
    try:
        user = uuid4()
        await connection.execute("insert into auth.users (id) values ($1)", user)
        for _ in range(rounds):
            table.add("before", {"a claim, µs": (await _claims_us(connection, str(user)))[1]})
        for name, is_on in (("without autovacuum", "false"), ("with autovacuum", "true")):
            await connection.execute(f"alter table switchyard.runs set (autovacuum_enabled = {is_on})")
            await connection.execute(LIVES.format(lives=lives, user=user))
            for _ in range(rounds):
                first_us, median_us = await _claims_us(connection, str(user))
                dead = await connection.fetchrow(DEAD)
                assert dead is not None  # noqa: S101 - the table is there
                found = (median_us, first_us, *map(float, dead.values()))
                table.add(name, dict(zip(table.quantities, found, strict=True)))
    finally:
        await connection.close()
    return table


async def _claims_us(connection: asyncpg.Connection[asyncpg.Record], user: str) -> tuple[float, float]:
    """The first of some claims, and the median of all."""
    took_us = []
    for _ in range(CALLS):
        await connection.execute("delete from switchyard.rate_windows")
        await connection.execute(SUBMIT.format(user=user))
        began_s = time.perf_counter()
        await connection.fetchval(CLAIM)
        took_us.append((time.perf_counter() - began_s) * 1_000_000)
        await connection.execute("delete from switchyard.runs where status = 'running'")
    return took_us[0], statistics.median(took_us)
