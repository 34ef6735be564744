"""Steps: work that is done once, and read instead of done again after a crash.

States of a step: unknown, started (it may have emitted events), journaled. Only the journal counts. What is
promised: a journaled step is never run again, and the usage it journaled is never bought again. What is not:
inside, a step is at-least-once; a crash after its work and before its journal entry runs it again, so work
that must not happen twice outside takes `Context.key` as its idempotency key.

Order matters: the events of a step are durable before its result is. The other way round, a crash between the
two would leave a finished step whose text nobody has seen.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from foundation.db import Database
from foundation.errors import Json
from heavy_agents.credits import Usage
from heavy_agents.events import LeaseLost
from heavy_agents.runs.lease import Lease

__all__ = ["Journal", "Recorded"]

MAX_INLINE_BYTES = 1024 * 1024


class Recorded:
    """A journaled result; None is a result too, so absence is not None."""

    def __init__(self, result: Json) -> None:
        self.result = result


class Journal:
    """The finished steps of one run, and where the unfinished ones began."""

    # Any: the claim as the database's JSON gives it.
    def __init__(self, db: Database, lease: Lease, claim: Mapping[str, Any]) -> None:
        self._db = db
        self._lease = lease
        self._run_id = UUID(claim["run_id"])
        self.has_grown = False  # whether this claim has journaled a step
        self._steps: dict[str, Mapping[str, Any]] = {step["name"]: step for step in claim["steps"]}
        self._unfinished: dict[str, int] = dict(claim["unfinished"])

    async def find(self, name: str) -> Recorded | None:
        step = self._steps.get(name)
        if step is None:
            return None
        if step["blob"] is not None:
            return Recorded(await self._large(step["blob"]))
        return Recorded(step["result"] if step["is_here"] else await self._elsewhere(name))

    async def _large(self, name: str) -> Json:
        found = await self._lease.insist(
            lambda: self._db.call("switchyard_blobs_read", run_id=self._run_id, purpose="step", name=name)
        )
        result: Json = orjson.loads(base64.b64decode(found["base64"]))
        return result

    async def _elsewhere(self, name: str) -> Json:
        """A result that did not come with the claim, because the journal is long."""
        found = await self._lease.insist(
            lambda: self._db.call("switchyard_steps_read", run_id=self._run_id, name=name)
        )
        result: Json = found["result"]
        return result

    def began_before(self, name: str) -> int | None:
        """Number of the last event before an earlier, unfinished try of this step; None for a first try."""
        return self._unfinished.pop(name, None)

    async def save(
        self,
        name: str,
        result: Json,
        *,
        usage: Usage,
        accrued_credits: int,
        duration_ms: int,
    ) -> None:
        """Journal a result.

        Raises:
            LeaseLost: the run belongs to somebody else, or the database stayed away.
        """
        encoded = orjson.dumps(result)
        is_large = len(encoded) > MAX_INLINE_BYTES
        answer = await self._lease.insist(
            lambda: self._db.call(
                "switchyard_steps_save",
                run_id=self._run_id,
                token=self._lease.token,
                name=name,
                result=None if is_large else result,
                result_base64=base64.b64encode(encoded).decode() if is_large else None,
                usage=usage.to_json(),
                accrued_credits=accrued_credits,
                duration_ms=duration_ms,
            )
        )
        if not answer["saved"]:
            raise LeaseLost
        self.has_grown = True
        self._steps[name] = {"name": name, "result": result, "blob": None, "is_here": True}
