"""Other backends whose runs are taken here, and what a token of theirs is good for.

Pure, but for their published keys. A backend is trusted to speak for its own users and for nobody else: its
user is, here, an identity of its own that no user of this project can have, so whatever it claims it reaches
only what it has made. A token seen by somebody else opens the run it names until it runs out, and neither
begins nor opens another beside it: the key that the run was made under stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from uuid import UUID, uuid5

from foundation.clock import Clock
from foundation.errors import InvalidToken
from foundation.identity.caller import Caller, CallerKind, Forwarded
from foundation.identity.claims import check_times, read_user_id
from foundation.identity.jwks import Jwks
from foundation.identity.run_tokens import ALGORITHM, CREDITS, KEYS_PATH, LIFETIME_S
from foundation.identity.tokens import TokenHeader, read_issuer, verify_signature
from foundation.lifecycle import TaskOwner
from foundation.outbound import Outbound
from foundation.settings import Settings

__all__ = ["TrustedBackends", "backend_id", "foreign_user_id", "read_run_claims"]

# Version 5, from a name: Supabase makes its users' ids at random, version 4, so that none can be the same.
NAMESPACE: Final = UUID("7c0f6c52-9b0e-4c0c-8f5e-2f6f6b1d5a41")
KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
MAX_ID_CHARS: Final = 200


class TrustedBackends:
    def __init__(self, settings: Settings, *, outbound: Outbound, clock: Clock, tasks: TaskOwner) -> None:
        self._audience = settings.public_url
        self._clock = clock
        self._keys = {
            issuer: Jwks(
                f"{issuer}{KEYS_PATH}",
                outbound=outbound,
                clock=clock,
                tasks=tasks,
                allow_private=issuer in settings.private_backends,
                follows_redirects=False,
                whose="the other backend's",
            )
            for issuer in settings.trusted_backends
        }

    async def verify(self, token: str, header: TokenHeader) -> Caller:
        """
        Raises:
            InvalidToken: with a sentence for the developer.
            KeysUnavailable: the backend's keys cannot be fetched.
        """
        if self._audience is None or not self._keys:
            raise InvalidToken("no runs of other backends are taken here; see TRUSTED_BACKENDS")
        if header.algorithm != ALGORITHM or header.kid is None:
            raise InvalidToken(f"a forwarded run's token is signed with {ALGORITHM} and names its key")
        issuer = read_issuer(token)
        if (keys := self._keys.get(issuer)) is None:
            raise InvalidToken("the token's issuer is not one of TRUSTED_BACKENDS")
        key = await keys.find(header.kid)
        if key is None or key.algorithm != ALGORITHM:
            raise InvalidToken("the token is not signed with a key of its issuer")
        claims = verify_signature(token, key)
        now_s = int(self._clock.now().timestamp())
        return read_run_claims(claims, issuer=issuer, audience=self._audience, now_s=now_s)


def read_run_claims(claims: Mapping[str, object], *, issuer: str, audience: str, now_s: int) -> Caller:
    """Whom a verified token of a forwarded run stands for.

    Raises:
        InvalidToken: the first rule that does not hold.
    """
    expires_at = check_times(claims, now_s)
    issued_at = claims.get("iat")
    if not isinstance(issued_at, int) or expires_at - issued_at > LIFETIME_S:
        raise InvalidToken(f"a forwarded run's token has an iat, and an exp at most {LIFETIME_S} s later")
    if claims.get("iss") != issuer:
        raise InvalidToken("the token's iss is not who signed it")
    if claims.get("aud") != audience:
        raise InvalidToken("the token's aud must be the PUBLIC_URL of this backend, and nothing else")
    if claims.get("credits") != CREDITS:
        raise InvalidToken(f"the token's credits must be {CREDITS}: whoever forwards a run charges for it")
    if not _is_text(claims.get("jti")):
        raise InvalidToken("the token has no jti")
    key, subject = claims.get("key"), read_user_id(claims.get("sub"))
    if subject is None:
        raise InvalidToken("the token's sub must be a user's UUID")
    if not isinstance(key, str) or KEY.fullmatch(key) is None:
        raise InvalidToken("the token's key must be the Idempotency-Key of its run")
    forwarded = Forwarded(issuer, subject, key)
    return Caller(foreign_user_id(issuer, subject), CallerKind.BACKEND, expires_at, forwarded)


def foreign_user_id(issuer: str, subject: UUID) -> UUID:
    """Who a user of another backend is here; nobody else's user, and never one of ours."""
    return uuid5(NAMESPACE, f"{issuer}\n{subject}")


def backend_id(issuer: str) -> UUID:
    """A backend as somebody who is counted."""
    return uuid5(NAMESPACE, issuer)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS
