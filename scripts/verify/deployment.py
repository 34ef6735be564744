"""The deployment that is checked, what the checks were given, and what they have found out for each other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from scripts.verify.stream import Reading, read_events
from scripts.verify.web import Answer, Document, Site, asking, whole
from scripts.verify.websocket import Closed, WebSocket, opened

__all__ = ["Deployment", "Failed", "Run", "Skipped"]

REQUEST_S = 10.0
API_KEY = "sy_"


class Failed(Exception):
    """The deployment does not do what it promises; the text says what was seen."""


class Skipped(Exception):
    """This cannot be checked here; the text says why."""


@dataclass
class Run:
    """One run that has ended, and how it was asked for.

    live: its events as the stream told them while it ran
    late_s: how long it may have gone on before its stream was there
    """

    id: str
    body: Document
    key: str
    live: Reading
    document: Document
    late_s: float


@dataclass
class Deployment:
    """
    wait_s: how long a run may take
    deadline_s: of the monotonic clock, when everything is over
    has: what later checks rely on: `up`, `ready`, `socket`, `token`, `run`
    """

    site: Site
    token: str | None
    metrics_token: str | None
    agent: str | None
    agent_input: Document | None
    wait_s: float
    deadline_s: float
    has: set[str] = field(default_factory=set)
    run: Run | None = None

    def timeout_s(self) -> float:
        """For the next request: short, and shorter when the time is nearly over."""
        return max(0.5, min(REQUEST_S, self.deadline_s - time.monotonic()))

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        is_known: bool = False,
    ) -> Answer:
        """
        Args:
            is_known: whether the token is sent along.

        Raises:
            Unreachable: no whole answer came in time.
        """
        sent = {**(self.credential() if is_known else {}), **(headers or {})}
        timeout_s = self.timeout_s()
        with asking(self.site, method, path, headers=sent, body=body, timeout_s=timeout_s) as response:
            return whole(response, deadline_s=time.monotonic() + timeout_s)

    def follow(self, path: str, *, after: int) -> Reading:
        """The events of a run that has ended, from a number on."""
        headers = {**self.credential(), "Last-Event-ID": str(after)}
        deadline_s = time.monotonic() + self.timeout_s()
        return read_events(self.site, path, headers=headers, deadline_s=deadline_s)

    def socket(
        self, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[WebSocket]:
        """A WebSocket, signed in with `token` while it opens if there is one."""
        protocols: Sequence[str] = ["switchyard.v1", *([f"jwt-{token}"] if token else [])]
        timeout_s = self.timeout_s()
        return opened(self.site, "/ws", protocols=protocols, headers=headers or {}, timeout_s=timeout_s)

    def judge_closing(self, socket: WebSocket, code: int) -> str:
        """What is told to whom nothing may be told: why, and then it is closed with this code.

        Raises:
            Failed: anything else is.
        """
        try:
            while (told := socket.hear(deadline_s=self.deadline_s).get("type")) == "error":
                pass
        except Closed as closed:
            if closed.code == code:
                return f"closed with {code}"
            raise Failed(f"{closed}, not with {code}") from closed
        raise Failed(f"it is not closed with {code}, but told {told}")

    def signed_in(self) -> AbstractContextManager[WebSocket]:
        """
        Raises:
            Skipped: the credential is an API key, which opens no socket.
        """
        if self.token is None or self.token.startswith(API_KEY):
            raise Skipped("an API key opens no WebSocket; give an access token")
        return self.socket(token=self.token)

    def credential(self) -> dict[str, str]:
        if self.token is None:
            return {}
        if self.token.startswith(API_KEY):
            return {"x-api-key": self.token}
        return {"Authorization": f"Bearer {self.token}"}
