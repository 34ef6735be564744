"""How a socket comes in: origin, credentials and limits, before a word of it is acted on.

The connection is accepted first and closed for a reason after: a browser shows its page a close code, but not
why an opening was refused. Nothing is told before the token is proved.
"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from foundation.errors import HeavyError, InternalError, InvalidToken
from foundation.identity import Caller
from foundation.ids import new_request_id
from foundation.limits import caller_key
from foundation.telemetry import bind
from routing.callers import client_key
from routing.middleware import API
from routing.problems import nothing_here, problem_of
from routing.rooms import Rooms
from routing.socket.connection import Connection, Left, Tempo
from routing.socket.farewell import Farewell, farewell
from routing.socket.handshake import Offer, check_origin, take_offer
from routing.socket.inbound import Auth, message_of, read
from routing.socket.session import Session
from routing.socket.sockets import Sockets
from routing.wire import SOCKET_URL

__all__ = ["SOCKET_PROTOCOL", "Door"]

log = structlog.get_logger(__name__)

# By name, so that the library behind it is loaded when the server starts and not with every command.
SOCKET_PROTOCOL: Final = "routing.socket.protocol:SocketProtocol"

AUTH: Final = "auth"


class Door:
    """The ASGI application of every WebSocket; there is one path."""

    def __init__(self, rooms: Rooms, *, tempo: Tempo | None = None) -> None:
        self._rooms = rooms
        self._tempo = tempo or Tempo()
        self._sockets = Sockets(rooms.readers, max_a_user=rooms.settings.sockets_per_user)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != SOCKET_URL or not self._rooms.settings.role.serves_callers:
            await self._refuse_path(scope, receive, send)
            return
        offer = take_offer(scope)
        websocket = WebSocket(scope, receive, send)
        connection = Connection(websocket, self._tempo)
        with bind(request_id=new_request_id()), self._sockets.present(connection):
            try:
                await connection.accept(offer.subprotocol)
                await self._converse(websocket, connection, offer)
            except Left:
                log.debug("socket_left")
            except Farewell as reason:
                log.info("socket_closed", code=reason.code, reason=reason.reason)
                await connection.close(reason)

    async def _converse(self, websocket: WebSocket, connection: Connection, offer: Offer) -> None:
        """
        Raises:
            Left, Farewell: always, sooner or later.
        """
        try:
            check_origin(websocket.headers, self._rooms.settings.allowed_origins)
            caller = await self._caller_of(websocket, connection, offer)
            with self._sockets.of_user(caller.user_id):
                await Session(connection, self._rooms, caller).run()
        except HeavyError as error:
            raise farewell(error) from error
        except (Left, Farewell):
            raise
        except Exception as error:
            log.exception("socket_broke")
            raise farewell(InternalError("something went wrong on our side")) from error

    async def _caller_of(self, websocket: WebSocket, connection: Connection, offer: Offer) -> Caller:
        """Who is there. A proved caller is counted as such; who cannot prove anything, by address.

        Raises:
            InvalidToken, ConflictingCredentials, KeysUnavailable: as the authenticator says.
            RateLimited: this caller, or this address, comes too often.
        """
        token = offer.token()
        if token is None:
            self._count_stranger(websocket)
            token = await self._first_words(connection)
        try:
            caller = await self._rooms.authenticator.verify(token)
        except HeavyError:
            self._count_stranger(websocket)
            raise
        (await self._rooms.limits.callers.check(caller_key(caller.user_id))).raise_if_refused()
        return caller

    async def _first_words(self, connection: Connection) -> str:
        """The token of the first message, which must be `auth`."""
        late = InvalidToken(f"no token came within {self._tempo.auth_s:g} s; begin with `auth`")
        connection.expire(self._tempo.auth_s, farewell(late))
        document = read(await connection.receive())
        # Before its fields are: what a stranger says is not judged any further.
        if document["type"] == AUTH and isinstance(message := message_of(document), Auth):
            return message.token
        raise InvalidToken("the first message must be `auth` with the access token")

    def _count_stranger(self, websocket: WebSocket) -> None:
        self._rooms.limits.strangers.check(client_key(websocket, self._rooms)).raise_if_refused()

    async def _refuse_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As over HTTP: there is no socket yet that could be closed for a reason."""
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        answer = problem_of(scope, nothing_here(self._rooms))
        answer.headers.update({**API, "X-Request-Id": request_id})
        await answer(scope, receive, send)
