"""What a project's Data API says as a database: whether it takes the key, has our schema, and how far it is.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from commands.doctor.facts import DatabaseFacts
from commands.doctor.finding import Finding, ok, warning, wrong
from foundation.db import Glance, Trouble

__all__ = ["data_api_findings", "schema_findings"]

DATABASE, MIGRATIONS = "database", "migrations"
PUSH: Final = "supabase db push --remote, in a checkout of this release"
RELOAD: Final = "if that was done, PostgREST has not seen it: notify pgrst, 'reload schema'"
FAR_MS: Final = 100.0

TROUBLES: Final[Mapping[Trouble, tuple[str, str]]] = {
    Trouble.UNKNOWN_HOST: ("no machine is named like that", "check SUPABASE_URL"),
    Trouble.NOBODY_THERE: ("nothing answers there", "check SUPABASE_URL, and that this machine may call out"),
    Trouble.TOO_SLOW: ("it does not answer in time", "check SUPABASE_URL, and the project's load"),
    Trouble.BAD_TLS: ("TLS with it fails", "check SUPABASE_URL, and what is between"),
    Trouble.BAD_LOGIN: ("it refuses the key", "set SUPABASE_SECRET_KEY to the secret key of that project"),
    Trouble.NO_DATABASE: (
        "the database behind it does not answer",
        "check SUPABASE_URL, that the project is not paused, and its database",
    ),
}
OTHER: Final = ("it cannot be used", "see the project's API log")


def data_api_findings(found: DatabaseFacts) -> list[Finding]:
    if found.glance is None:
        says, todo = TROUBLES.get(found.trouble or Trouble.OTHER, OTHER)
        state = f" ({found.state})" if found.state else ""
        return [wrong(DATABASE, f"{found.place}: {says}{state}", todo)]
    took_ms = found.glance.latency_ms
    findings = [ok(DATABASE, f"{found.place} takes the key, {took_ms:.1f} ms")]
    if took_ms > FAR_MS:
        todo = "run the server in the same region, or set DATABASE_URL"
        findings.append(warning(DATABASE, f"a call takes {took_ms:.0f} ms", todo))
    return findings


def schema_findings(found: Glance, *, needed: int) -> list[Finding]:
    """
    Args:
        needed: the version of the schema that this release needs.
    """
    if found.schema is None:
        return [wrong(MIGRATIONS, "the schema is missing", f"{PUSH}; {RELOAD}")]
    if found.schema < needed:
        says = f"the schema has version {found.schema}, this release needs {needed}"
        return [wrong(MIGRATIONS, says, f"{PUSH}; {RELOAD}")]
    return [ok(MIGRATIONS, f"the schema has version {found.schema}; this release needs {needed}")]
