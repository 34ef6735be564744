"""The client of a project's Data API: the Supabase library over HTTP connections of our own.

The library makes and sends the request; the answer is read here. The library would keep of one that failed
what its body says, and drop the status; a page that somebody before PostgREST sends with a 200 it would take
for a result, and of a number like 1e20 it would make an integer that JSON of ours cannot hold.

No proxy and no certificate of the environment, no second try of the library's, and no redirect: the key would
go along.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from foundation.db.mapping import Meaning, error_of, error_without_facts, meaning_of, meaning_of_status
from foundation.errors import HeavyError

if TYPE_CHECKING:
    from httpx import AsyncClient as Http
    from postgrest.base_request_builder import RequestConfig
    from supabase import AsyncClient

__all__ = ["CONNECT_WITHIN_S", "Unsuccessful", "ask", "close_client", "open_client"]

CONNECT_WITHIN_S: Final = 5.0

NOT_ALLOWED: Final = "42501"
NOT_YET: Final = "PGRST303"
_CODE: Final = re.compile(r"[0-9A-Z]{5}|PGRST[0-9A-Z]{3}")


class Unsuccessful(Exception):
    """An answer that is no result.

    Attributes:
        code: of Postgres or PostgREST; empty if neither of them has said this.
        error: what a caller is told.
    """

    def __init__(self, meaning: Meaning, error: HeavyError, *, status: int, code: str = "") -> None:
        super().__init__(f"{status} {code}".strip())
        self.meaning = meaning
        self.error = error
        self.code = code

    @property
    def is_said(self) -> bool:
        """Whether a call was answered, be it with a refusal; not that there is no database, or no way in."""
        return bool(self.code) and not self.code.startswith(("PGRST0", "PGRST3"))

    @property
    def is_locked_out(self) -> bool:
        """Whether the key is not taken, or is not the service's, and waiting is no help."""
        return self.meaning is Meaning.LOCKED_OUT or self.code == NOT_ALLOWED

    @property
    def is_early(self) -> bool:
        """Whether the token that the key stands for is not taken, though it may be in a second.

        A legacy key that has expired looks the same, and goes on so.
        """
        return self.code == NOT_YET


async def open_client(url: str, key: str, *, connections: int, answer_within_s: float) -> AsyncClient:
    """One that has connected nowhere yet; to be closed by `close_client`."""
    # What it loads takes a second, in which the loop would stand still.
    return await asyncio.to_thread(_made, url, key, connections=connections, answer_within_s=answer_within_s)


async def close_client(client: AsyncClient) -> None:
    if client.options.httpx_client is not None:
        await client.options.httpx_client.aclose()


def _made(url: str, key: str, *, connections: int, answer_within_s: float) -> AsyncClient:
    import httpx
    from supabase import AsyncClient, AsyncClientOptions

    from foundation.db.lanes import Lanes

    http = httpx.AsyncClient(
        transport=Lanes(connections, tls=_tls(url), wait_s=CONNECT_WITHIN_S),
        timeout=httpx.Timeout(answer_within_s, connect=CONNECT_WITHIN_S),
        trust_env=False,
        follow_redirects=False,
    )
    options = AsyncClientOptions(
        httpx_client=http,
        headers={"User-Agent": "switchyard"},
        auto_refresh_token=False,
        persist_session=False,
        postgrest_client_retry=False,
    )
    return AsyncClient(url, key, options)


def _tls(url: str) -> ssl.SSLContext:
    """To load the certificates of this machine takes long, and plain HTTP needs none."""
    import httpx

    is_plain = url.startswith("http://")
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else httpx.create_ssl_context(trust_env=False)


# Any: decoded JSON.
async def ask(client: AsyncClient, function: str, parameters: dict[str, Any]) -> Any:
    """Call it, once.

    Raises:
        Unsuccessful: it was answered, but not with a result.
        httpx.RequestError: it was not answered.
    """
    from httpx import Headers

    request: RequestConfig[Http] = client.rpc(function, parameters).request
    response = await request.send(Headers())
    if response.status_code == HTTPStatus.NO_CONTENT:
        return None
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if not response.is_success or not is_json:
        raise _unsuccessful(response.status_code, response.content)
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise Unsuccessful(
            Meaning.AWAY, error_without_facts(Meaning.AWAY), status=response.status_code
        ) from error


def _unsuccessful(status: int, body: bytes) -> Unsuccessful:
    said = _decoded(body)
    code = said.get("code")
    # A gateway has numbers of its own.
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        meaning = meaning_of_status(status)
        return Unsuccessful(meaning, error_without_facts(meaning), status=status)
    details = said.get("details")
    error = error_of(
        code, message=str(said.get("message")), detail=details if isinstance(details, str) else None
    )
    return Unsuccessful(meaning_of(code), error, status=status, code=code)


def _decoded(body: bytes) -> dict[str, object]:
    try:
        said = orjson.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
