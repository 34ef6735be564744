"""Which checks there are, in which order, and what each relies on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.verify import following, running, standing, strangers, surface
from scripts.verify.deployment import Deployment, Failed, Run, Skipped
from scripts.verify.table import FAILED, OK, SKIPPED
from scripts.verify.web import Unreachable
from scripts.verify.websocket import Closed, Refused

__all__ = ["CHECKS", "Check", "verdict"]


@dataclass(frozen=True)
class Check:
    """`needs` is what must have been found before: see `MISSING`."""

    name: str
    look: Callable[[Deployment], str]
    needs: Sequence[str] = ("up",)


# What a check relies on, and what is said when it is not there.
MISSING = {
    "up": "no server answers there",
    "ready": "the server is not ready",
    "socket": "no WebSocket opens",
    "given": "needs a TOKEN",
    "wanted": "--no-run",
    "token": "the TOKEN is refused",
    "metrics_token": "needs METRICS_TOKEN",
    "run": "there is no run that has ended well",
}


def verdict(check: Check, deployment: Deployment) -> tuple[str, str]:
    """Its result, and what was seen."""
    for need in check.needs:
        if need not in deployment.has:
            return SKIPPED, MISSING[need]
    try:
        return OK, check.look(deployment)
    except Skipped as skipped:
        return SKIPPED, str(skipped)
    except (Failed, Unreachable, Refused, Closed) as error:
        return FAILED, str(error)


def of_run(look: Callable[[Deployment, Run], str]) -> Callable[[Deployment], str]:
    def looking(deployment: Deployment) -> str:
        if deployment.run is None:
            raise Skipped(MISSING["run"])
        return look(deployment, deployment.run)

    return looking


OF_SOCKETS = ("up", "socket")
OF_TOKENS = ("up", "ready", "given")
OF_RUNS = (*OF_TOKENS, "wanted", "token", "run")

CHECKS = (
    Check("liveness", standing.liveness, needs=()),
    Check("TLS", standing.tls),
    Check("readiness", standing.readiness),
    Check("version", standing.version),
    Check("platform's probe", standing.platform_probe, needs=("up", "ready")),
    Check("headers", surface.headers),
    Check("problem documents", surface.problems),
    Check("foreign pages", surface.foreign_pages),
    Check("WebSocket opens", surface.sockets),
    Check("foreign pages on a WebSocket", surface.foreign_sockets, needs=OF_SOCKETS),
    Check("refused without a token", strangers.no_token),
    Check("the same on a WebSocket", strangers.no_token_on_socket, needs=OF_SOCKETS),
    Check("refused with a wrong token", strangers.wrong_tokens),
    Check("wrong token on a WebSocket", strangers.wrong_token_on_socket, needs=OF_SOCKETS),
    Check("metrics guarded", strangers.metrics_for_nobody),
    Check("metrics with METRICS_TOKEN", strangers.metrics_with_token, needs=("up", "metrics_token")),
    Check("token taken", running.token_taken, needs=OF_TOKENS),
    Check("run executed", running.executed, needs=(*OF_TOKENS, "wanted", "token")),
    Check("SSE streamed", of_run(lambda _, run: following.streamed(run)), needs=OF_RUNS),
    Check("SSE resumed", of_run(following.stream_resumed), needs=OF_RUNS),
    Check("WebSocket streamed", of_run(following.socket_streamed), needs=(*OF_RUNS, "socket")),
    Check("WebSocket resumed", of_run(following.socket_resumed), needs=(*OF_RUNS, "socket")),
    Check("charged once", of_run(running.charged_once), needs=OF_RUNS),
)
