"""Checks of what every answer carries and none may show: orders to browsers, pages of others, insides."""

from __future__ import annotations

import re

from scripts.verify.deployment import Deployment, Failed
from scripts.verify.web import Answer

__all__ = ["foreign_pages", "foreign_sockets", "headers", "problems", "sockets"]

STRANGE_ORIGIN = "https://somebody-else.invalid"
ORIGIN_REFUSED = 4403
# Every answer but streams; `routing/middleware/headers.py` is where they come from.
CARRIED = {
    "cache-control": re.compile("no-store"),
    "content-security-policy": re.compile("default-src 'none'"),
    "referrer-policy": re.compile("no-referrer"),
    "strict-transport-security": re.compile(r"max-age=[1-9]\d{6,}"),
    "x-content-type-options": re.compile("nosniff"),
    "x-frame-options": re.compile("DENY"),
    "x-request-id": re.compile(r"\S"),
}
# A proxy may name itself; the server may not, nor what it is made of.
MADE_OF = re.compile(r"uvicorn|starlette|fastapi|python|hypercorn|gunicorn", re.IGNORECASE)
INSIDES = re.compile(
    rb'Traceback|File "|\.py\b|site-packages|asyncpg|postgres(?:ql)?://|\bselect\s.+\sfrom\s|SQLSTATE|root:.*:0:0:',
    re.IGNORECASE,
)


def headers(deployment: Deployment) -> str:
    """On an answer and on a refusal alike."""
    for path in ("/health/liveness", "/api/credits"):
        carried = deployment.ask(path).headers
        missing = [name for name, wanted in CARRIED.items() if not wanted.search(carried.get(name, ""))]
        if missing:
            raise Failed(f"{path}: without the right {', '.join(missing)}")
        told = [name for name in ("server", "x-powered-by") if MADE_OF.search(carried.get(name, ""))]
        if told:
            raise Failed(f"{path}: {told[0]} says {carried[told[0]]}")
    return f"{len(CARRIED)} headers, and none that says what it is made of"


def problems(deployment: Deployment) -> str:
    """What is refused is a problem document (RFC 9457) and shows nothing of the inside."""
    answers = {
        "an unknown path": deployment.ask("/no/such/path"),
        "a wrong method": deployment.ask("/api/agent/execute"),
        "a run without a token": deployment.ask("/api/runs/not-a-run"),
    }
    for what, answer in answers.items():
        if answer.status < 400:
            raise Failed(f"{what} is answered with {answer.status}")
        _judge_problem(what, answer)
    _judge_climbing(deployment.ask("/..%2f..%2fetc/passwd"))
    return f"{len(answers)} refusals are problem documents and show nothing of the inside"


def _judge_problem(what: str, answer: Answer) -> None:
    document = answer.document()
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    if not is_problem or document.get("status") != answer.status or not document.get("code"):
        raise Failed(f"{what} is answered with {answer.status} and no problem document")
    _judge_insides(what, answer)


def _judge_insides(what: str, answer: Answer) -> None:
    if shown := INSIDES.search(answer.body):
        raise Failed(f"the answer to {what} shows {shown[0].decode(errors='replace')!r}")


def _judge_climbing(answer: Answer) -> None:
    """Proxies refuse such a path themselves, or tidy it and send on; so all but a page will do."""
    if answer.status < 300:
        raise Failed(f"a path of another folder is answered with {answer.status}")
    _judge_insides("a path of another folder", answer)


def foreign_pages(deployment: Deployment) -> str:
    wanted = {"Origin": STRANGE_ORIGIN, "Access-Control-Request-Method": "POST"}
    asked = {
        "a preflight": deployment.ask("/api/agent/execute", method="OPTIONS", headers=wanted),
        "an answer": deployment.ask("/health/liveness", headers={"Origin": STRANGE_ORIGIN}),
    }
    for what, answer in asked.items():
        allowed = answer.headers.get("access-control-allow-origin")
        if allowed in ("*", STRANGE_ORIGIN):
            raise Failed(f"{what} lets pages of {allowed} read it; see ALLOWED_ORIGINS")
    return f"a page of {STRANGE_ORIGIN} may not ask"


def sockets(deployment: Deployment) -> str:
    """
    Raises:
        Refused: something between takes no WebSocket.
    """
    with deployment.socket() as socket:
        if socket.protocol != "switchyard.v1":
            raise Failed(f"it opens, with subprotocol {socket.protocol or 'none'} and not switchyard.v1")
    deployment.has.add("socket")
    return "/ws opens with switchyard.v1"


def foreign_sockets(deployment: Deployment) -> str:
    """A browser lets any page open a socket to anybody; only the server can refuse."""
    with deployment.socket(headers={"Origin": STRANGE_ORIGIN}) as socket:
        return deployment.judge_closing(socket, ORIGIN_REFUSED)
