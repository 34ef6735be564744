"""A forge of the tokens of forwarded runs: another backend's good ones, and every bad one we know of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar
from uuid import UUID, uuid4

from tests.support.tokens import ABSENT, Attack, Forgery, Json, TokenForge, token_attack, without_absent

__all__ = ["RUN_TYPE", "RunForge"]

RUN_TYPE = "switchyard-run+jwt"


class RunForge(TokenForge):
    """Another backend: `es-1` signs its tokens; what else it publishes signs none that is taken."""

    type_: ClassVar[str] = RUN_TYPE

    def __init__(self, *, issuer: str, audience: str) -> None:
        super().__init__(issuer=issuer)
        self.audience = audience

    def claims(self, user_id: UUID, changes: Json | None = None) -> Json:
        now_s = int(time.time())
        claims: Json = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(user_id),
            "iat": now_s,
            "exp": now_s + 60,
            "jti": uuid4().hex,
            "key": "run-1",
            "credits": "caller",
        }
        return without_absent(claims | (changes or {}))

    def run_attacks(self, user_id: UUID, *, canary_url: str) -> list[Attack]:
        """Every attack on a token, each against an otherwise good one of `user_id`.

        Args:
            canary_url: where keys are offered that nobody may fetch.
        """
        forgeries = chain(
            self._algorithms(), self._key_ids(), self._headers(canary_url), self._run_claims(user_id)
        )
        tokens = [(each[0], self._forge(user_id, each)) for each in forgeries]
        by_rsa = ("RS256 with a key published for it", self.token(user_id, algorithm="RS256"))
        return [token_attack(name, token) for name, token in (*tokens, by_rsa, *self._forms(user_id))]

    def _run_claims(self, user_id: UUID) -> Iterator[Forgery]:
        now_s, user, iss, aud = int(time.time()), str(user_id), self.issuer, self.audience
        wrong: dict[str, list[object]] = {
            "iss": ["https://evil.example", iss + "/", iss.upper(), iss + "\0", [iss], {iss: 1}],
            "aud": ["https://evil.example", aud + "/", aud.upper(), [aud], [aud, "https://c.example"], "*"],
            "sub": ["not-a-uuid", f"{{{user}}}", f"urn:uuid:{user}", user_id.hex, user + "\0"],
            "credits": ["backend", "off", ["caller"], True],
            "jti": ["x" * 201, ["x"]],
            "key": ["x" * 256, "with a space", "with\nbreak", ["run-1"]],
            "exp": [
                now_s - 31,
                now_s + 61,
                now_s + 3600,
                str(now_s + 30),
                (now_s + 30) * 1000,
                True,
                now_s + 0.5,
            ],
            "iat": [now_s - 1, now_s + 600, str(now_s), now_s + 0.5],
            "nbf": [now_s + 600, "soon"],
        }
        for name, values in wrong.items():
            ends = ("", None) if name == "nbf" else ("", None, 1, ABSENT)
            for value in (*values, *ends):
                # Issued now, not when it is signed: a moment later the longest life allowed ends later.
                changes = {"iat": now_s, name: value}
                yield f"{name} {'missing' if value is ABSENT else repr(value)}", {}, changes, None
        yield "the type of a user's token", {"typ": "JWT"}, {}, None
        yield "no type", {"typ": ABSENT}, {}, None
        yield "a type that is a list", {"typ": [RUN_TYPE]}, {}, None
        yield "a good token of 64 kB", {}, {"padding": "x" * 65_536}, None
