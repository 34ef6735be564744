"""One other backend as it is asked: with a fresh token each time, through the guard, not while it is down.

Loaded with the HTTP library, by the first run that is forwarded.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import httpx2
import orjson
import structlog

from foundation.clock import Clock
from foundation.errors import BackendFailed, HeavyError, Json, NotConfigured
from foundation.identity import RunTokens
from foundation.telemetry import Metrics
from heavy_agents.agents.remote.breaker import Breaker
from heavy_agents.agents.remote.errors import Away, Refused
from heavy_agents.agents.remote.stream import CUT, Stream
from heavy_agents.agents.remote.verdict import FAILED, judge

__all__ = ["Errand", "Peer"]

log = structlog.get_logger(__name__)

EXECUTE: Final = "/api/agent/execute-validated"
SSE: Final = "text/event-stream"
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
MAX_FILE_BYTES: Final = 10 * 1024 * 1024
DRAINING: Final = b'"draining"'
MEDIA_TYPE: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Errand:
    """Which run is spoken of: our user's, under its key there."""

    user_id: UUID
    key: str


class Peer:
    def __init__(
        self,
        origin: str,
        *,
        session: Callable[[], Awaitable[httpx2.AsyncClient]],
        tokens: RunTokens,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.origin = origin
        self._session = session
        self._tokens = tokens
        self._breaker = Breaker()
        self._clock = clock
        self._calls = metrics.backend_calls_total
        self._open = metrics.backend_open.labels(backend=origin)

    async def begin(self, errand: Errand, body: dict[str, Json]) -> Stream:
        """Start the run, or join the one that an earlier try has started.

        Raises:
            Away, Refused: here and below.
        """
        headers = {"accept": SSE, "content-type": "application/json", "idempotency-key": errand.key}
        answer = await self._ask(errand, "POST", EXECUTE, headers=headers, content=orjson.dumps(body))
        return await _streamed(answer)

    async def follow(self, errand: Errand, run_id: UUID, *, after: int) -> Stream:
        """Its events after that number."""
        headers = {"accept": SSE, "last-event-id": str(after)}
        return await _streamed(await self._ask(errand, "GET", f"/api/runs/{run_id}/events", headers=headers))

    # Any: here and below, the run as the other's JSON gives it.
    async def cancel(self, errand: Errand, run_id: UUID) -> Mapping[str, Any]:
        answer = await self._ask(errand, "POST", f"/api/runs/{run_id}/cancel", headers={})
        return await _document(answer)

    async def look(self, errand: Errand, run_id: UUID) -> Mapping[str, Any]:
        return await _document(await self._ask(errand, "GET", f"/api/runs/{run_id}", headers={}))

    async def file(self, errand: Errand, run_id: UUID, *, name: str) -> tuple[str, bytes] | None:
        """A file the run has made, and its media type; None if it is too large."""
        path = f"/api/runs/{run_id}/artifacts/{quote(name, safe='')}"
        answer = await self._ask(errand, "GET", path, headers={})
        content = await _body(answer, most_bytes=MAX_FILE_BYTES)
        media_type = answer.headers.get("content-type", "")
        known = media_type if MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
        return None if content is None else (known, content)

    async def _ask(
        self, errand: Errand, method: str, path: str, *, headers: dict[str, str], content: bytes | None = None
    ) -> httpx2.Response:
        """An answer of success, whose body is still to be read."""
        if not self._breaker.may_ask(self._clock.monotonic()):
            self._count("left_alone")
            raise Away("left_alone", is_left_alone=True)
        token = self._tokens.token(audience=self.origin, user_id=errand.user_id, key=errand.key)
        told = {"authorization": f"Bearer {token}", "user-agent": "switchyard", "accept-encoding": "identity"}
        answer = await self._sent(method, path, headers={**headers, **told}, content=content)
        if answer.is_success:
            self._answers("answered")
            return answer
        raise await self._refusal(answer)

    async def _sent(
        self, method: str, path: str, *, headers: dict[str, str], content: bytes | None
    ) -> httpx2.Response:
        session = await self._session()
        request = session.build_request(method, f"{self.origin}{path}", headers=headers, content=content)
        try:
            return await session.send(request, stream=True)
        except CUT as error:
            why = type(error).__name__
        except HeavyError:
            why = ""
        except RuntimeError:
            if not session.is_closed:
                raise
            raise Away("stopping") from None
        if not why:
            # The guard: where the address leads nothing may be asked.
            log.error("backend_blocked", backend=self.origin, setting="PRIVATE_BACKENDS")
            raise Refused("blocked", NotConfigured("the agent's own backend has a private address"))
        self._fails("unreachable")
        raise Away(f"unreachable_{why}")

    async def _refusal(self, answer: httpx2.Response) -> Away | Refused:
        try:
            said = await _body(answer, most_bytes=MAX_DOCUMENT_BYTES) or b""
        except Away:
            said = b""
        # One that is leaving is well: another takes its place.
        if answer.is_server_error and DRAINING not in said:
            self._fails("failed")
        else:
            self._answers("refused")
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            log.error("backend_does_not_trust_us", backend=self.origin)
        return judge(answer.status_code, retry_after=answer.headers.get("retry-after"))

    def _answers(self, outcome: str) -> None:
        self._count(outcome)
        if self._breaker.answered():
            self._open.set(0)
            log.warning("backend_is_back", backend=self.origin)

    def _fails(self, outcome: str) -> None:
        self._count(outcome)
        if self._breaker.failed(self._clock.monotonic()):
            self._open.set(1)
            log.error("backend_left_alone", backend=self.origin)

    def _count(self, outcome: str) -> None:
        self._calls.labels(backend=self.origin, outcome=outcome).inc()


async def _streamed(answer: httpx2.Response) -> Stream:
    if answer.status_code == httpx2.codes.OK and answer.headers.get("content-type", "").startswith(SSE):
        return Stream(answer)
    await Stream(answer).close()
    raise Refused("no_stream", BackendFailed(FAILED))


# Any: as `Peer.cancel`.
async def _document(answer: httpx2.Response) -> Mapping[str, Any]:
    content = await _body(answer, most_bytes=MAX_DOCUMENT_BYTES)
    try:
        document = orjson.loads(content or b"")
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Refused("malformed_document", BackendFailed(FAILED))
    return document


async def _body(answer: httpx2.Response, *, most_bytes: int) -> bytes | None:
    """All of it; None if it is larger."""
    body = bytearray()
    try:
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > most_bytes:
                return None
    except CUT as error:
        raise Away(f"cut_{type(error).__name__}") from None
    finally:
        await Stream(answer).close()
    return bytes(body)
