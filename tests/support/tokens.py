"""A forge of access tokens: good ones, and every way we know of to make a bad one.

`TokenForge.attacks()` is a list anybody can replay: each attack is a set of request headers, and a token
where the token alone is the attack, so that sockets can be tried with it too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Final
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms

__all__ = ["ABSENT", "Attack", "TokenForge", "compact", "public_jwk", "token_attack", "without_absent"]

# Any: a forged claim or header may be any JSON at all, that is its purpose.
Json = dict[str, Any]
Sign = Callable[[bytes], bytes]
# A name, what is changed in the header, what is changed in the claims, and who signs (None: the project).
Forgery = tuple[str, Json, Json, Sign | None]

ABSENT: Final = object()
UNAUTHENTICATED: Final = frozenset({401})
BAD_REQUEST: Final = frozenset({400})
# Servers may refuse huge headers before anybody looks at them.
TOO_BIG: Final = frozenset({400, 401, 413, 431})


@dataclass(frozen=True, slots=True)
class Attack:
    """`token` is None when the attack is in the headers; `statuses` are the answers that refuse it."""

    name: str
    headers: tuple[tuple[str, str], ...]
    token: str | None = None
    statuses: frozenset[int] = UNAUTHENTICATED

    def __str__(self) -> str:
        return self.name


class TokenForge:
    """A project's signing keys: `es-1` (P-256), `rs-1` (RSA), and a shared secret when one is given."""

    type_: ClassVar[str] = "JWT"

    def __init__(self, *, issuer: str, secret: str | None = None) -> None:
        self.issuer = issuer
        self.secret = secret
        self.es_key = ec.generate_private_key(ec.SECP256R1())
        self.rs_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.foreign_key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> Json:
        es_jwk = public_jwk(self.es_key, kid="es-1", alg="ES256")
        return {"keys": [es_jwk, public_jwk(self.rs_key, kid="rs-1", alg="RS256")]}

    def token(self, user_id: UUID, changes: Json | None = None, *, algorithm: str = "ES256") -> str:
        """A token this project would have made, apart from `changes` to its claims (`ABSENT`: left out)."""
        kid = {"ES256": "es-1", "RS256": "rs-1", "HS256": "legacy"}[algorithm]
        header = {"alg": algorithm, "kid": kid, "typ": self.type_}
        return compact(header, self.claims(user_id, changes), self.signer(algorithm))

    def claims(self, user_id: UUID, changes: Json | None = None) -> Json:
        """What Supabase puts into an access token."""
        now_s = int(time.time())
        claims: Json = {
            "iss": self.issuer,
            "sub": str(user_id),
            "aud": "authenticated",
            "role": "authenticated",
            "iat": now_s,
            "exp": now_s + 3600,
            "session_id": str(uuid4()),
            "email": "somebody@example.com",
            "is_anonymous": False,
        }
        return without_absent(claims | (changes or {}))

    def signer(self, algorithm: str) -> Sign:
        if algorithm == "HS256":
            return partial(_hs256, (self.secret or "").encode())
        return partial(_signed, algorithm, self.es_key if algorithm == "ES256" else self.rs_key)

    def attacks(
        self, user_id: UUID, *, canary_url: str = "http://127.0.0.1:9/keys", service_secret: str | None = None
    ) -> list[Attack]:
        """Every attack, each against an otherwise good token of `user_id`.

        Args:
            canary_url: where keys are offered that nobody may fetch.
            service_secret: the server's; without it the attacks that need it are left out.
        """
        of_header = chain(self._algorithms(), self._key_ids(), self._headers(canary_url))
        of_claims = chain(_times(), self._claims(user_id))
        tokens = [(each[0], self._forge(user_id, each)) for each in chain(of_header, of_claims)]
        return [
            *(token_attack(name, token) for name, token in (*tokens, *self._forms(user_id))),
            *self._credentials(user_id),
            *([] if service_secret is None else self._service_credentials(user_id, service_secret)),
        ]

    def _forge(self, user_id: UUID, forgery: Forgery) -> str:
        _, header, claims, sign = forgery
        merged = without_absent({"alg": "ES256", "kid": "es-1", "typ": self.type_} | header)
        return compact(merged, self.claims(user_id, claims), sign or self.signer("ES256"))

    def _algorithms(self) -> Iterator[Forgery]:
        for spelling in ("none", "None", "NONE", "nOnE", "none ", ""):
            yield f"algorithm {spelling!r}", {"alg": spelling}, {}, lambda _: b""
            yield f"algorithm {spelling!r} with a signature", {"alg": spelling}, {}, None
        public = self.es_key.public_key()
        for form, encoding in (("PEM", Encoding.PEM), ("DER", Encoding.DER)):
            secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
            yield (
                f"HS256 with the {form} of the public key",
                {"alg": "HS256"},
                {},
                partial(_hs256, secret),
            )
        yield "HS256 with nothing", {"alg": "HS256"}, {}, partial(_hs256, b"")
        for algorithm in ("RS384", "RS512", "PS256"):
            header = {"alg": algorithm, "kid": "rs-1"}
            yield f"{algorithm} with a key published for RS256", header, {}, self.signer(algorithm)
        yield "RS256 claimed for a P-256 key", {"alg": "RS256"}, {}, None
        yield "no algorithm", {"alg": ABSENT}, {}, None
        yield "a list of algorithms", {"alg": ["ES256"]}, {}, None
        yield "another key under our key id", {}, {}, partial(_signed, "ES256", self.foreign_key)
        yield "a signature of zeros", {}, {}, lambda _: bytes(64)

    def _key_ids(self) -> Iterator[Forgery]:
        foreign = partial(_signed, "ES256", self.foreign_key)
        for name, kid in (
            ("empty", ""),
            ("foreign", "somebody-elses-key"),
            ("path-like", "../../../../dev/null"),
            ("SQL-like", "x' union select 'secret' --"),
            ("with NUL", "es-1\0"),
            ("of 5 kB", "k" * 5_000),
            ("of 10 kB", "k" * 10_000),
            ("numeric", 1),
            ("a list", ["es-1"]),
            ("null", None),
            ("absent", ABSENT),
        ):
            yield f"key id {name}", {"kid": kid}, {}, foreign
        header = {"alg": "HS256", "kid": "../../../../dev/null"}
        yield "key id of an empty file with HS256", header, {}, partial(_hs256, b"")

    def _headers(self, canary_url: str) -> Iterator[Forgery]:
        foreign = partial(_signed, "ES256", self.foreign_key)
        own_jwk = public_jwk(self.foreign_key, kid="mine", alg="ES256")
        for name, value in {"jku": canary_url, "x5u": canary_url, "jwk": own_jwk, "x5c": ["MIIB"]}.items():
            yield f"{name} of the attacker", {"kid": "mine", name: value}, {}, foreign
            yield f"{name} beside a good signature", {name: value}, {}, None
        for crit in (["exp"], ["b64"], ["unknown"], [], "exp", [1]):
            yield f"crit {crit!r}", {"crit": crit}, {}, None
        yield "b64 false", {"crit": ["b64"], "b64": False}, {}, None
        yield "zip", {"zip": "DEF"}, {}, None

    def _claims(self, user_id: UUID) -> Iterator[Forgery]:
        user, iss, role = str(user_id), self.issuer, "authenticated"
        wrong: dict[str, list[object]] = {
            "iss": ["https://evil.example", iss + "/", iss.upper(), iss + "\0", [iss], {iss: 1}, "supabase"],
            "aud": ["anon", "Authenticated", role + " ", ["anon"], [[role]], [role, 1], {role: True}, []],
            "role": ["anon", "service_role", "postgres", [role]],
            "sub": ["not-a-uuid", f"{{{user}}}", f"urn:uuid:{user}", user_id.hex, " " + user, user + "\0"],
        }
        for name, values in wrong.items():
            for value in (*values, "", None, 1, ABSENT):
                yield f"{name} {'missing' if value is ABSENT else repr(value)}", {}, {name: value}, None
        yield "sub in capitals", {}, {"sub": "ABCDEFAB-CDEF-4BCD-8BCD-ABCDEFABCDEF"}, None
        yield "sub with SQL", {}, {"sub": "' or 1=1 --"}, None
        for value in (True, "true", 1, [], {}):
            yield f"is_anonymous {value!r}", {}, {"is_anonymous": value}, None
        yield "a third-party application's token", {}, {"client_id": "an-oauth-client"}, None
        for name, size in (("8 kB", 8_193), ("64 kB", 65_536), ("1 MB", 1_048_576)):
            yield f"a good token of {name}", {}, {"padding": "x" * size}, None

    def _forms(self, user_id: UUID) -> Iterator[tuple[str, str]]:
        good = self.token(user_id)
        head, payload, signature = good.split(".")
        sign = self.signer("ES256")
        other = self.token(uuid4()).split(".")[1]
        yield "another payload under a good signature", f"{head}.{other}.{signature}"
        yield "a shortened signature", f"{head}.{payload}.{signature[:-4]}"
        yield "no signature", f"{head}.{payload}"
        yield "an empty signature", f"{head}.{payload}."
        yield "four parts", f"{good}.{signature}"
        yield "five parts, as an encrypted token", f"{good}.{signature}.{signature}"
        yield "padding", f"{head}=.{payload}.{signature}"
        yield "a tab in the middle", f"{head}.{payload}\t.{signature}"
        yield "an API key of the new kind", "sb_secret_0123456789abcdef"
        yield "the word null", "null"
        yield "a payload that is a list", compact({"alg": "ES256", "kid": "es-1"}, [], sign)
        yield "a payload that is no JSON", _raw(b'{"alg":"ES256","kid":"es-1"}', b"{", sign)
        yield "a header that is a list", _raw(b"[]", b"{}", sign)
        yield "a header of brackets", _raw(b"[" * 4_000, b"{}", sign)

    def _credentials(self, user_id: UUID) -> Iterator[Attack]:
        good = ("authorization", f"Bearer {self.token(user_id)}")
        other = ("authorization", f"Bearer {self.token(uuid4())}")
        user = ("x-user-id", str(user_id))
        yield Attack("no credentials", ())
        yield Attack("an empty Authorization", (("authorization", ""),))
        yield Attack("Bearer and nothing", (("authorization", "Bearer "),))
        yield Attack("Basic instead of Bearer", (("authorization", "Basic dXNlcjpwYXNz"),))
        yield Attack("a user id alone", (user,))
        yield Attack("a user id beside a token", (good, ("x-user-id", str(uuid4()))))
        yield Attack("an API key nobody knows", (("x-api-key", "sk_0123456789abcdef0123456789abcdef"),))
        yield Attack("a wrong service secret", (("x-railway-secret", "0" * 40), user))
        yield Attack("an empty service secret", (("x-railway-secret", ""), user))
        yield Attack("a wrong service secret beside a token", (good, ("x-railway-secret", "0" * 40), user))
        yield Attack("two Authorization headers", (good, other), statuses=BAD_REQUEST)
        yield Attack("the same Authorization twice", (good, good), statuses=BAD_REQUEST)

    def _service_credentials(self, user_id: UUID, service_secret: str) -> Iterator[Attack]:
        secret, user = ("x-railway-secret", service_secret), ("x-user-id", str(user_id))
        other = ("x-user-id", str(uuid4()))
        good = ("authorization", f"Bearer {self.token(user_id)}")
        expired = ("authorization", f"Bearer {self.token(user_id, {'exp': 1})}")
        yield Attack("a token and the service for another user", (good, secret, other), statuses=BAD_REQUEST)
        yield Attack("the service for nobody", (secret,), statuses=BAD_REQUEST)
        yield Attack("the service for no UUID", (secret, ("x-user-id", "' or 1=1 --")), statuses=BAD_REQUEST)
        yield Attack("the service for two users", (secret, user, other), statuses=BAD_REQUEST)
        yield Attack("a longer service secret", (("x-railway-secret", service_secret + "x"), user))
        yield Attack("the service beside an expired token", (expired, secret, user))


def _times() -> Iterator[Forgery]:
    now_s = int(time.time())
    for name in ("exp", "nbf", "iat"):
        for kind, value in {
            "as a string": str(now_s + 3600),
            "negative": -1,
            "a fraction": now_s + 0.5,
            "infinite": float("inf"),
            "not a number": float("nan"),
            "huge": 10**30,
            "in milliseconds": (now_s + 3600) * 1000,
            "true": True,
            "a list": [now_s],
            "null": None,
        }.items():
            yield f"{name} {kind}", {}, {name: value}, None
    for name, value in {"missing": ABSENT, "zero": 0, "long past": now_s - 3600, "past": now_s - 31}.items():
        yield f"exp {name}", {}, {"exp": value}, None
    yield "nbf in the future", {}, {"nbf": now_s + 600}, None
    yield "iat in the future", {}, {"iat": now_s + 600}, None


def token_attack(name: str, token: str) -> Attack:
    statuses = TOO_BIG if len(token) > 8192 else UNAUTHENTICATED
    return Attack(name, (("authorization", f"Bearer {token}"),), token, statuses)


def public_jwk(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, **members: str) -> Json:
    """The public half of `key` as it is published."""
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "use": "sig", **members}


def compact(header: Json, payload: object, sign: Sign) -> str:
    return _raw(json.dumps(header).encode(), json.dumps(payload).encode(), sign)


def _raw(header: bytes, payload: bytes, sign: Sign) -> str:
    signed = f"{_b64(header)}.{_b64(payload)}"
    return f"{signed}.{_b64(sign(signed.encode()))}"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hs256(secret: bytes, message: bytes) -> bytes:
    return hmac.new(secret, message, hashlib.sha256).digest()


def _signed(algorithm: str, key: object, message: bytes) -> bytes:
    return bytes(get_default_algorithms()[algorithm].sign(message, key))


def without_absent(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not ABSENT}
