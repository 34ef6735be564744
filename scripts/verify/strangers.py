"""Checks that who proves nothing is told nothing: no token, wrong tokens, and the figures."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from http import HTTPStatus

from scripts.verify.deployment import Deployment, Failed
from scripts.verify.web import Answer

__all__ = [
    "metrics_for_nobody",
    "metrics_with_token",
    "no_token",
    "no_token_on_socket",
    "wrong_token_on_socket",
    "wrong_tokens",
]

UNAUTHENTICATED = 4401
FIGURES = ("/metrics", "/metrics/summary")


def no_token(deployment: Deployment) -> str:
    for method, path in doors():
        _judge(f"{method} {path}", deployment.ask(path, method=method, body=_body(method)))
    return f"401 with WWW-Authenticate on {len(doors())} routes"


def wrong_tokens(deployment: Deployment) -> str:
    for name, token in forgeries().items():
        for method, path in doors():
            sent = {"Authorization": f"Bearer {token}"}
            answer = deployment.ask(path, method=method, headers=sent, body=_body(method))
            _judge(f"{method} {path} with {name}", answer)
    return f"{len(forgeries())} forged tokens are refused on {len(doors())} routes"


def no_token_on_socket(deployment: Deployment) -> str:
    """Whoever begins with anything but a token is closed at once."""
    return _judge_socket(deployment, token=None)


def wrong_token_on_socket(deployment: Deployment) -> str:
    return [_judge_socket(deployment, token=token) for token in forgeries().values()][-1]


def metrics_for_nobody(deployment: Deployment) -> str:
    for path in FIGURES:
        for sent in ({}, {"Authorization": f"Bearer {secrets.token_hex(16)}"}, deployment.credential()):
            answer = deployment.ask(path, headers=sent)
            if answer.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise Failed(f"{path} is answered with {answer.said()} to whoever asks; set METRICS_TOKEN")
    return "refused without METRICS_TOKEN"


def metrics_with_token(deployment: Deployment) -> str:
    sent = {"Authorization": f"Bearer {deployment.metrics_token}"}
    answer = deployment.ask("/metrics", headers=sent)
    if answer.status != HTTPStatus.OK:
        raise Failed(f"with METRICS_TOKEN: {answer.said()}")
    figures = {line.split(b"{")[0].split(b" ")[0] for line in answer.body.splitlines() if line[:1] != b"#"}
    if b"http_requests_total" not in figures:
        raise Failed("/metrics has no http_requests_total")
    return f"{len(figures)} figures"


def doors() -> list[tuple[str, str]]:
    """Routes of every kind: that start runs, list, stream and tell of money."""
    run = f"/api/runs/{uuid.UUID(int=0)}"
    return [
        ("POST", "/api/agent/execute"),
        ("GET", "/api/runs"),
        ("GET", run),
        ("GET", f"{run}/events"),
        ("POST", f"{run}/cancel"),
        ("GET", "/api/credits"),
        ("GET", "/api/agents"),
    ]


def forgeries() -> dict[str, str]:
    """What no server may take for a user, whoever made its keys."""
    claims = {
        "sub": str(uuid.uuid4()),
        "aud": "authenticated",
        "role": "authenticated",
        "exp": 32_503_680_000,
    }
    signature = _encoded(secrets.token_bytes(32))
    return {
        "a random token": secrets.token_urlsafe(32),
        "an unsigned token": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.",
        "a wrongly signed token": f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}.{signature}",
    }


def _judge(what: str, answer: Answer) -> None:
    if answer.status != HTTPStatus.UNAUTHORIZED:
        raise Failed(f"{what}: {answer.said()} and not 401")
    if not answer.headers.get("www-authenticate"):
        raise Failed(f"{what}: 401 without WWW-Authenticate")
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        raise Failed(f"{what}: 401 without a problem document")


def _judge_socket(deployment: Deployment, *, token: str | None) -> str:
    with deployment.socket(token=token) as socket:
        if token is None:
            socket.say({"type": "ping"})
        return deployment.judge_closing(socket, UNAUTHENTICATED)


def _body(method: str) -> bytes:
    return b"{}" if method == "POST" else b""


def _part(document: dict[str, object]) -> str:
    return _encoded(json.dumps(document).encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
