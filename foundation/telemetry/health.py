"""Whether this process can serve: named checks, asked together, answered in plain sentences.

Anyone may ask as often as they like: an answer is kept for a second, and those who ask meanwhile share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from foundation.clock import Clock
from foundation.errors import HeavyError

__all__ = ["OK", "Check", "Health", "Readiness"]

log = structlog.get_logger(__name__)

OK = "ok"
KEPT_S = 1.0

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Readiness:
    """`checks` maps each name to "ok" or to a sentence on what is wrong, even if that may be done without."""

    ready: bool
    checks: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    check: Check
    timeout_s: float
    is_needed: bool


class Health:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s = clock.monotonic()
        self._checks: list[_Named] = []
        self._asking = asyncio.Lock()
        self._answers: dict[str, str] = {}
        self._answered_s: float | None = None
        self._draining_since_s: float | None = None

    @property
    def uptime_s(self) -> float:
        return self._clock.monotonic() - self._started_s

    @property
    def draining_s(self) -> float:
        """Since when this process takes no more callers; 0 while it does."""
        since_s = self._draining_since_s
        return 0.0 if since_s is None else self._clock.monotonic() - since_s

    @property
    def _is_draining(self) -> bool:
        return self._draining_since_s is not None

    def register(self, name: str, check: Check, *, timeout_s: float = 2.0, is_needed: bool = True) -> None:
        """Ask `check` before saying ready: it returns when all is well and raises when not.

        What a `HeavyError` says is shown to whoever asks; of any other error only that it happened.

        Args:
            is_needed: False for what may be missing: it is shown, and the process is ready all the same.
        """
        self._checks.append(_Named(name, check, timeout_s, is_needed))
        self._answered_s = None

    def begin_draining(self) -> None:
        """Be not ready from now on, so that no more callers are sent here."""
        if self._draining_since_s is None:
            self._draining_since_s = self._clock.monotonic()

    async def readiness(self) -> Readiness:
        """Ask all checks at once. Never raises, and takes no longer than the slowest check may."""
        async with self._asking:
            if not self._is_fresh():
                answers = await asyncio.gather(*(self._ask(each) for each in self._checks))
                self._answers = {
                    each.name: answer for each, answer in zip(self._checks, answers, strict=True)
                }
                self._answered_s = self._clock.monotonic()
        checks = dict(self._answers)
        ready = not self._is_draining and all(
            checks[each.name] == OK for each in self._checks if each.is_needed
        )
        if self._is_draining:
            checks["draining"] = "this process is shutting down"
        return Readiness(ready, checks)

    def _is_fresh(self) -> bool:
        return self._answered_s is not None and self._clock.monotonic() - self._answered_s < KEPT_S

    async def _ask(self, named: _Named) -> str:
        try:
            async with asyncio.timeout(named.timeout_s):
                await named.check()
        except TimeoutError:
            return f"did not answer within {named.timeout_s:g} s"
        except HeavyError as error:
            return error.detail
        except Exception as error:
            # Its text may hold an address or a password.
            log.warning("health_check_failed", check=named.name, exc_info=error)
            return f"failed ({type(error).__name__}); the log says why"
        return OK
