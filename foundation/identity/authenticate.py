"""Who asks: from the credentials of a request to a proved `Caller`.

A user proves itself with a token, or with an API key of its own. An edge function proves itself with the
service secret and says for whom it speaks; that is the only way a user's id is ever taken from a request.
Several credentials are fine as long as each holds and all speak for one user.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from importlib import import_module
from typing import Final
from uuid import UUID

from foundation.clock import Clock
from foundation.errors import ConflictingCredentials, InvalidRequest, InvalidToken, WrongCaller
from foundation.identity.api_keys import ApiKeys, invalid_key
from foundation.identity.backends import TrustedBackends
from foundation.identity.caller import Caller, CallerKind
from foundation.identity.claims import TokenRules, read_claims, read_user_id
from foundation.identity.credentials import Credentials, read_credentials
from foundation.identity.development import development_secret, is_self_issued
from foundation.identity.jwks import Jwks
from foundation.identity.keys import VerifyKey, shared_key
from foundation.identity.run_tokens import RUN_TYPE
from foundation.identity.tokens import TokenHeader, read_header, verify_signature
from foundation.lifecycle import TaskOwner
from foundation.outbound import Outbound
from foundation.settings import Settings

__all__ = ["Authenticator"]

# It is a tenth of the start, and a thread beside the loop would take it from what readiness waits for.
LOAD_AFTER_S: Final = 0.25


class Authenticator:
    """A service; what the first caller needs is loaded a moment after the start."""

    def __init__(
        self, settings: Settings, *, outbound: Outbound, clock: Clock, api_keys: ApiKeys | None = None
    ) -> None:
        """
        Args:
            api_keys: None where no API key is taken.

        Raises:
            NotConfigured: the development secret cannot be used.
        """
        self._clock = clock
        self._api_keys = api_keys
        self._tasks = TaskOwner("identity")
        self._rules = TokenRules(
            issuer=settings.issuer,
            allow_anonymous=settings.allow_anonymous,
            allow_oauth_clients=settings.allow_oauth_clients,
        )
        self._shared = _shared_key(settings)
        self._service_secret = settings.railway_backend_secret
        self._backends = TrustedBackends(settings, outbound=outbound, clock=clock, tasks=self._tasks)
        self._jwks: Jwks | None = None
        if (url := settings.jwks_url) is not None:
            self._jwks = Jwks(url, outbound=outbound, clock=clock, tasks=self._tasks)

    async def start(self) -> None:
        self._tasks.spawn("warm", self._warm())

    async def drain(self) -> None:
        """Nothing to hand over."""

    async def stop(self) -> None:
        await self._tasks.stop()

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """
        Args:
            headers: names in any case; `items()` may repeat a name, which is then refused.

        Raises:
            InvalidToken: nothing valid is offered (`MissingCredentials`: nothing at all).
            ConflictingCredentials: one is offered twice, or two speak for different users.
            InvalidRequest: the service names no valid user.
            KeysUnavailable: the project's keys cannot be fetched.
            DatabaseUnavailable: nobody can tell whose the API key is.
        """
        offered = read_credentials(headers)
        if offered.secret is None:
            return await self._as_user(offered)
        self._check_secret(offered.secret)
        user_id = read_user_id(offered.user_id)
        if user_id is None:
            raise InvalidRequest("x-user-id must be the UUID of the user the service speaks for")
        return await self._as_service(offered, user_id)

    async def backend(self, headers: Mapping[str, str]) -> Caller | None:
        """Another backend that forwards a run; None if whoever asks offers no such token, or more than that.

        Raises:
            InvalidToken: it is not trusted, or not for this one.
            ConflictingCredentials: an API key is offered with it, or a credential twice.
            KeysUnavailable: the other backend's keys cannot be fetched.
        """
        offered = read_credentials(headers)
        if offered.bearer is None or offered.secret is not None:
            return None
        if (header := read_header(offered.bearer)).type != RUN_TYPE:
            return None
        if offered.api_key is not None:
            raise ConflictingCredentials("a forwarded run's token and an API key are offered; send one")
        return await self._backends.verify(offered.bearer, header)

    def require_service(self, headers: Mapping[str, str]) -> None:
        """Look at the service secret alone, before anything large is read.

        Raises:
            WrongCaller: there is none, but something else (`MissingCredentials`: nothing at all).
            InvalidToken, ConflictingCredentials: it is not this server's, or sent twice.
        """
        offered = read_credentials(headers)
        if offered.secret is None:
            raise WrongCaller("only the service may call this; send x-railway-secret")
        self._check_secret(offered.secret)

    async def authenticate_service(self, headers: Mapping[str, str], *, user_id: UUID) -> Caller:
        """As `authenticate`, where only the service may call and names the user in the body.

        Raises:
            WrongCaller: as `require_service`.
            ConflictingCredentials: `x-user-id`, a token or an API key speaks for another user.
        """
        self.require_service(headers)
        offered = read_credentials(headers)
        if offered.user_id is not None and read_user_id(offered.user_id) != user_id:
            raise ConflictingCredentials("x-user-id and the body name different users")
        return await self._as_service(offered, user_id)

    async def verify(self, token: str) -> Caller:
        """The user of an access token that did not come in a header (the first words on a socket).

        Raises:
            InvalidToken: with a sentence for the developer.
            KeysUnavailable: the project's keys cannot be fetched.
        """
        header = read_header(token)
        if header.type == RUN_TYPE:
            raise InvalidToken("this token is of a forwarded run, and opens nothing but that run")
        key = await self._key_for(header)
        claims = verify_signature(token, key)
        return read_claims(claims, self._rules, now_s=int(self._clock.now().timestamp()))

    async def _warm(self) -> None:
        """Load the cryptography beside the event loop, so that the first caller does not stop it."""
        await asyncio.sleep(LOAD_AFTER_S)
        await asyncio.to_thread(import_module, "jwt")
        if self._jwks is not None:
            await self._jwks.warm()

    async def _as_service(self, offered: Credentials, user_id: UUID) -> Caller:
        if any(caller.user_id != user_id for caller in await self._proved(offered)):
            raise ConflictingCredentials("the service and another credential speak for different users")
        return Caller(user_id, CallerKind.SERVICE, None)

    async def _as_user(self, offered: Credentials) -> Caller:
        callers = await self._proved(offered)
        if any(caller.user_id != callers[0].user_id for caller in callers):
            raise ConflictingCredentials("the token and the API key speak for different users")
        return callers[0]

    async def _proved(self, offered: Credentials) -> list[Caller]:
        """Whom each credential of a user's own stands for, the stronger first."""
        callers: list[Caller] = []
        if offered.bearer is not None:
            callers.append(await self.verify(offered.bearer))
        if offered.api_key is not None:
            callers.append(await self._holder(offered.api_key))
        return callers

    async def _holder(self, api_key: str) -> Caller:
        if self._api_keys is None:
            raise invalid_key()
        return Caller(await self._api_keys.owner(api_key), CallerKind.API_KEY, None)

    def _check_secret(self, offered: str) -> None:
        # Latin-1 gives back the bytes that were sent: servers decode headers that way.
        sent = offered.encode("latin-1", errors="replace")
        expected = self._service_secret
        if expected is None or not hmac.compare_digest(sent, expected.get_secret_value().encode()):
            raise InvalidToken("x-railway-secret is not this server's RAILWAY_BACKEND_SECRET")

    async def _key_for(self, header: TokenHeader) -> VerifyKey:
        """The header picks the drawer; the algorithm then comes with the key that lies in it."""
        if header.algorithm == "HS256":
            if self._shared is None:
                raise InvalidToken("tokens signed with a shared secret are not accepted here")
            return self._shared
        if self._jwks is None or header.algorithm not in {"ES256", "RS256"}:
            raise InvalidToken("the token's algorithm is not accepted here")
        key = None if header.kid is None else await self._jwks.find(header.kid)
        if key is None:
            raise InvalidToken("the token is not signed with a key of this project")
        return key


def _shared_key(settings: Settings) -> VerifyKey | None:
    if settings.supabase_jwt_secret is not None:
        return shared_key(settings.supabase_jwt_secret.get_secret_value())
    return shared_key(development_secret(settings)) if is_self_issued(settings) else None
