"""The database through a pool of direct connections: one SQL function, one round trip.

A call that was sent and not answered is `DatabaseUnavailable` and never repeated here: it may have taken
effect, and only the caller knows the key that makes a repetition safe. A connection that could not be had
is sought again for a moment, since nothing was sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import structlog

from foundation.db.mapping import NO_ANSWER, OUR_FAULT, UNKEEPABLE, error_of
from foundation.db.names import check_names
from foundation.db.patience import connect_patiently
from foundation.errors import DatabaseUnavailable, HeavyError, InternalError, InvalidRequest, Json

if TYPE_CHECKING:
    from asyncpg import Connection, Pool, Record
    from asyncpg.pool import PoolConnectionProxy

__all__ = ["TRANSACTION_POOLER_PORT", "PoolDatabase"]

log = structlog.get_logger(__name__)

TRANSACTION_POOLER_PORT = 6543  # Supabase's: a prepared statement does not survive its transaction there
FIRST_CONNECTION_WITHIN_S = 30.0
ACQUIRE_WITHIN_S = 5.0
RECONNECT_PAUSE_S = 0.1
CLOSE_WITHIN_S = 3.0

_JSONB_VERSION = b"\x01"


class PoolDatabase:
    """A `Database` and a `Service`. `size` connections at most, opened when they are needed."""

    def __init__(self, url: str, *, size: int, command_timeout_s: float = 15) -> None:
        self._url = url
        self._size = size
        self._command_timeout_s = command_timeout_s
        self._pool: Pool[Record] | None = None
        # Calls that were answered, whatever was said.
        self.answers = 0
        # One entry a call site: functions and argument names are written in our code, not by callers.
        self._statements: dict[tuple[str, ...], str] = {}

    async def start(self) -> None:
        """Raises `DatabaseUnavailable` when the first connection does not come within 30 s."""
        self._pool = await connect_patiently(self._open, within_s=FIRST_CONNECTION_WITHIN_S)

    async def drain(self) -> None:
        """Nothing to hand over: whoever drains still needs the database."""

    async def stop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    # Any: each function has a shape of its own, which its caller knows and narrows.
    async def call(self, function: str, /, **args: Json | UUID) -> Any:
        """See `Database.call`."""
        statement = self._statement(function, tuple(args))
        pool = self._open_pool()
        connection = await _acquire(pool)
        try:
            answer = await connection.fetchval(statement, *args.values())
            self.answers += 1
        except asyncio.CancelledError:
            # Whoever gave up must not wait for the server to say that it has stopped: on a dead connection
            # that takes as long as the command may. Every call is safe to abandon.
            connection.terminate()
            raise
        except Exception as error:
            self.answers += _is_said(error)
            if _is_torn(error):
                connection.terminate()
            raise _failure(error) from error
        else:
            return answer
        finally:
            await pool.release(connection)

    async def is_reachable(self, *, within_s: float) -> bool:
        """Whether the database answers on a connection of its own, beside the pool."""
        from asyncpg import connect

        try:
            async with asyncio.timeout(within_s):
                connection = await connect(self._url, statement_cache_size=0)
                try:
                    await connection.fetchval("select 1")
                finally:
                    connection.terminate()
        except Exception as error:
            log.debug("database_not_reachable", reason=type(error).__name__)
            return False
        return True

    def _open_pool(self) -> Pool[Record]:
        if self._pool is None:
            raise DatabaseUnavailable("the database connection is closed")
        return self._pool

    def _statement(self, function: str, names: tuple[str, ...]) -> str:
        key = (function, *names)
        if (known := self._statements.get(key)) is None:
            known = self._statements[key] = _select(function, names)
        return known

    async def _open(self) -> Pool[Record]:
        # Here, so that importing this package stays cheap.
        from asyncpg import create_pool

        is_pooled = urlsplit(self._url).port == TRANSACTION_POOLER_PORT
        return await create_pool(
            self._url,
            init_size=1,
            min_size=0,
            max_size=self._size,
            command_timeout=self._command_timeout_s,
            timeout=ACQUIRE_WITHIN_S,
            statement_cache_size=0 if is_pooled else 200,
            # asyncpg sets session state back at every release, which is a round trip; calls leave none.
            reset=_keep,
            init=_speak_json,
            server_settings={"application_name": "switchyard"},
        )


def _select(function: str, names: tuple[str, ...]) -> str:
    """`select public.fn(p_a => $1, …)`; refuses names that are not ours, so that no text becomes SQL."""
    check_names(function, names)
    arguments = ", ".join(f"p_{name} => ${number}" for number, name in enumerate(names, 1))
    return f"select public.{function}({arguments})"


async def _acquire(pool: Pool[Record]) -> PoolConnectionProxy[Record]:
    """A connection, sought again while the database restarts; nothing is sent meanwhile."""
    try:
        async with asyncio.timeout(ACQUIRE_WITHIN_S):
            while True:
                try:
                    return await pool.acquire()
                except Exception as error:
                    if pool.is_closing():
                        raise DatabaseUnavailable("the database connection is closed") from error
                    await asyncio.sleep(RECONNECT_PAUSE_S)
    except TimeoutError as error:
        raise DatabaseUnavailable(
            f"no database connection came free within {ACQUIRE_WITHIN_S:g} s"
        ) from error


def _failure(error: Exception) -> HeavyError:
    from asyncpg import DataError, InterfaceError, PostgresError

    if _is_torn(error):
        return DatabaseUnavailable(NO_ANSWER)
    match error:
        case DataError() if error.__cause__ is not None:
            return _unsendable(error.__cause__)
        case PostgresError():
            return error_of(error.sqlstate or "", message=str(error.args[0]), detail=error.detail)
        case InterfaceError() | OSError() | TimeoutError():
            return DatabaseUnavailable(NO_ANSWER)
        case RecursionError():
            return InvalidRequest(UNKEEPABLE)
        case _:
            return InternalError(OUR_FAULT)


def _is_torn(error: Exception) -> bool:
    """Whether the driver has lost the thread: so it does when a server ends a session just as it is used."""
    from asyncpg.exceptions import InternalClientError

    return isinstance(error, InternalClientError)


def _is_said(error: Exception) -> bool:
    """Whether the server answered, be it with a refusal."""
    from asyncpg import PostgresError

    return isinstance(error, PostgresError)


def _unsendable(cause: BaseException) -> HeavyError:
    """An argument that was never sent: such text came from outside, a wrong type is our own mistake."""
    return InternalError(OUR_FAULT) if isinstance(cause, TypeError) else InvalidRequest(UNKEEPABLE)


async def _keep(_connection: Connection[Record]) -> None:
    """What a released connection goes through: nothing."""


async def _speak_json(connection: Connection[Record]) -> None:
    """`json` and `jsonb` by orjson, times as RFC 3339 text, as they are on the wire."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_jsonb, decoder=_from_jsonb
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=orjson.loads
    )
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="text", encoder=str, decoder=str
    )


def _jsonb(value: object) -> bytes:
    try:
        return _JSONB_VERSION + orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        # A lone surrogate or too deep a nesting. It is a TypeError, which would pass for our own mistake.
        raise ValueError(str(error)) from error


# Any: decoded JSON.
def _from_jsonb(raw: bytes) -> Any:
    return orjson.loads(memoryview(raw)[1:])
