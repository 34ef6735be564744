"""Performing one fault: prepare the ground, let it happen, look at what is left."""

from __future__ import annotations

import subprocess
import time
import traceback
from collections.abc import Set
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import orjson

from foundation.errors import Json
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground, open_ground
from tests.support.audit import audit
from tests.support.database import DatabaseServer
from tests.support.process import ROOT

__all__ = ["Report", "perform"]


@dataclass(frozen=True, slots=True)
class Report:
    fault: Fault
    n: int
    seed: int
    mutation: Mutation | None
    findings: Findings
    took_s: float

    @property
    def is_as_expected(self) -> bool:
        """Green as it is, and red with a guard taken away; a mutant that hits nothing shows nothing."""
        if self.mutation is None:
            return self.findings.is_green
        return self.findings.hits > 0 and bool(self.findings.violations)

    def line(self) -> str:
        """One line of JSON."""
        told: dict[str, Json] = {
            "name": self.fault.name,
            "n": self.n,
            "seed": self.seed,
            "hits": self.findings.hits,
            "violations": self.findings.violations.total(),
            **self.findings.figures,
            "took_s": round(self.took_s, 1),
            "date": datetime.now(UTC).date().isoformat(),
            "commit": _commit(),
        }
        if self.mutation is not None:
            told["mutation"] = self.mutation.name
        if self.findings.violations:
            told["violated"] = self.findings.told()
        return orjson.dumps(told).decode()


async def perform(
    fault: Fault, server: DatabaseServer, *, n: int, seed: int, mutation: Mutation | None = None
) -> Report:
    """Never raises: what breaks the performance is a violation, with its trace."""
    began_s, findings = time.monotonic(), Findings()
    try:
        async with (
            DatabaseServer.running() if fault.has_own_server else nullcontext(server) as its_server,
            open_ground(its_server, n=n, seed=seed, mutation=mutation) as ground,
        ):
            try:
                await fault.perform(ground, findings)
            finally:
                if fault.needs_audit:
                    await _audit(ground, findings, endings=fault.endings)
    except Exception:
        findings.violated(traceback.format_exc())
    return Report(fault, n, seed, mutation, findings, time.monotonic() - began_s)


async def _audit(ground: Ground, findings: Findings, *, endings: Set[str]) -> None:
    for broken in await audit(ground.sql, await ground.calls(), endings=endings):
        findings.violated(f"audit: {broken}")
    open_holds = await ground.sql.fetch(
        "select l.user_id from switchyard.ledger l group by l.user_id having sum(l.held) <> 0"
        " and not exists (select from switchyard.runs r where r.user_id = l.user_id and r.ended_at is null)"
    )
    for row in open_holds:
        findings.violated(f"audit: {row['user_id']} has credits held for no run that goes on")


@cache
def _commit() -> str:
    """What was performed, with a `+` if it was not just that; empty where there is no repository."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.strip()
