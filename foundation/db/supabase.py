"""The database through a Supabase project's Data API: one SQL function, one request, with the secret key.

For a server that is given a project and no connection string. It behaves as the pool does: a call that was
sent and not answered is `DatabaseUnavailable` and never repeated here, since it may have taken effect; where
surely nothing was executed (no connection, PostgREST without Postgres, a token made too early) it is tried
again for a moment.

What is different: nobody can listen, so others are heard of by looking; `supabase db push --remote` applies
migrations; and Supabase ends a statement after 8 s unless the project says otherwise.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import structlog

from foundation.db.mapping import NO_ANSWER, OUR_FAULT, UNKEEPABLE, Meaning
from foundation.db.names import check_names
from foundation.db.patience import NotLetIn, connect_patiently
from foundation.db.rest import CONNECT_WITHIN_S, Unsuccessful, ask, close_client, open_client
from foundation.errors import DatabaseUnavailable, HeavyError, InternalError, InvalidRequest, Json

if TYPE_CHECKING:
    from supabase import AsyncClient

__all__ = ["SupabaseDatabase"]

log = structlog.get_logger(__name__)

FIRST_ANSWER_WITHIN_S = 30.0
SEEK_WITHIN_S = 5.0
SEEK_PAUSE_S = 0.1
KEY_REFUSED = "the key; check SUPABASE_URL, and that SUPABASE_SECRET_KEY is the secret key of that project"


class SupabaseDatabase:
    """A `Database` and a `Service`. `size` connections at most, opened when they are needed."""

    def __init__(self, url: str, key: str, *, size: int, command_timeout_s: float = 15) -> None:
        """
        Args:
            url: of the project.
            key: its secret key, or the legacy one of `service_role`.
        """
        self._url = url
        self._key = key
        self._size = size
        self._command_timeout_s = command_timeout_s
        self._client: AsyncClient | None = None
        # Calls that Postgres or PostgREST answered, whatever was said.
        self.answers = 0
        self._is_locked_out = False

    async def start(self) -> None:
        """Raises `DatabaseUnavailable` when no answer comes within 30 s, or the key is wrong."""
        self._client = await self._opened(connections=self._size)
        await connect_patiently(
            lambda: _prove(self._open_client()), within_s=FIRST_ANSWER_WITHIN_S, login=KEY_REFUSED
        )

    async def drain(self) -> None:
        """Nothing to hand over: whoever drains still needs the database."""

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)

    # Any: each function has a shape of its own, which its caller knows and narrows.
    async def call(self, function: str, /, **args: Json | UUID) -> Any:
        """See `Database.call`."""
        check_names(function, args)
        client = self._open_client()
        parameters = _parameters(args)
        ends_at_s = _now_s() + SEEK_WITHIN_S
        while True:
            try:
                answer = await self._ask(client, function, parameters)
            except Exception as error:
                is_last = not _is_unsent(error) or _now_s() >= ends_at_s or self._client is not client
                self._note(error, is_last=is_last)
                if is_last:
                    raise _failure(error) from error
                await asyncio.sleep(SEEK_PAUSE_S)
            else:
                self.answers += 1
                self._is_locked_out = False
                return answer

    async def is_reachable(self, *, within_s: float) -> bool:
        """Whether the database answers on a connection of its own, beside the others."""
        try:
            async with asyncio.timeout(within_s):
                client = await self._opened(connections=1)
                try:
                    await _prove(client)
                finally:
                    await close_client(client)
        except Exception as error:
            log.debug("database_not_reachable", reason=type(error).__name__)
            return False
        return True

    def _open_client(self) -> AsyncClient:
        if self._client is None:
            raise DatabaseUnavailable("the database connection is closed")
        return self._client

    async def _opened(self, *, connections: int) -> AsyncClient:
        return await open_client(
            self._url, self._key, connections=connections, answer_within_s=self._command_timeout_s
        )

    # Any: decoded JSON.
    async def _ask(self, client: AsyncClient, function: str, parameters: dict[str, Any]) -> Any:
        # An answer that trickles would come within the time between two of its bytes for ever.
        async with asyncio.timeout(CONNECT_WITHIN_S + self._command_timeout_s):
            return await ask(client, function, parameters)

    def _note(self, error: Exception, *, is_last: bool) -> None:
        if not isinstance(error, Unsuccessful):
            return
        self.answers += error.is_said
        is_refused = error.meaning is Meaning.LOCKED_OUT or (error.is_early and is_last)
        if is_refused and not self._is_locked_out:
            self._is_locked_out = True
            log.error("supabase_key_refused", answer=str(error))


# Any: what the library takes for JSON.
def _parameters(args: dict[str, Json | UUID]) -> dict[str, Any]:
    """As they are sent. Texts and numbers that the pool refuses are refused here, too."""
    try:
        return {f"p_{name}": orjson.loads(orjson.dumps(each, default=_text)) for name, each in args.items()}
    except (orjson.JSONEncodeError, orjson.JSONDecodeError, RecursionError) as error:
        raise InvalidRequest(UNKEEPABLE) from error


def _text(value: object) -> str:
    """Of what is a UUID, though of a class of its own."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


async def _prove(client: AsyncClient) -> None:
    """Return once it has said anything but that it is away or that the key is not the service's.

    Raises:
        LockedOut: waiting does not help.
        NotLetIn: it may.
    """
    try:
        await ask(client, "switchyard_clock", {})
    except Unsuccessful as error:
        if error.is_locked_out:
            raise LockedOut(str(error)) from error
        if error.is_early:
            raise NotLetIn(str(error)) from error
        if not error.is_said:
            raise


class LockedOut(ValueError):
    """The key is not taken, or is not the service's."""


def _is_unsent(error: Exception) -> bool:
    """Whether it is certain that nothing was executed, and another try may do better."""
    from httpx import ConnectError, ConnectTimeout

    if isinstance(error, Unsuccessful):
        return error.meaning is Meaning.UNSENT
    return isinstance(error, ConnectError | ConnectTimeout)


def _failure(error: Exception) -> HeavyError:
    from httpx import PoolTimeout, RequestError

    match error:
        case Unsuccessful():
            return error.error
        case PoolTimeout():
            return DatabaseUnavailable(f"no database connection came free within {CONNECT_WITHIN_S:g} s")
        case RequestError() | TimeoutError():
            return DatabaseUnavailable(NO_ANSWER)
        case _:
            return InternalError(OUR_FAULT)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
