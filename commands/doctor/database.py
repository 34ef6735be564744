"""What the database says: whether a server could run on it, what it still needs, whose clock is wrong.

Pure, apart from reading which migrations this release has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from commands.doctor.facts import DatabaseFacts, WebFacts
from commands.doctor.finding import Broken, Finding, off, ok, skipped, warning, wrong
from commands.doctor.project import data_api_findings, schema_findings
from foundation.db import MigrationError, Sight, Trouble
from heavy_agents.runs import SCHEMA_VERSION

__all__ = ["clock_findings", "database_findings", "migration_findings"]

DATABASE, MIGRATIONS, CLOCK = "database", "migrations", "clock"
MIGRATE: Final = "python railway_server.py migrate"
CLOSE: Final = "close it, as docs/supabase.md says under 'Doors that are opened again'"
# More, and a server that is running is not ready.
LIMIT_S: Final = 30.0
NOTABLE_S: Final = 2.0
FAR_MS: Final = 50.0

# Names of missing files, of the versions in a database's record.
Missing = Callable[[Mapping[str, str]], list[str]]

TROUBLES: Final[Mapping[Trouble, tuple[str, str]]] = {
    Trouble.BAD_URL: (
        "DATABASE_URL cannot be read",
        "write postgresql://user:password@host:port/name, and %-escape what is special in the password",
    ),
    Trouble.UNKNOWN_HOST: ("no machine is named like that", "check the host in DATABASE_URL"),
    Trouble.NOBODY_THERE: (
        "nothing answers there",
        "check host and port in DATABASE_URL, that Postgres runs, and that a firewall lets this machine in",
    ),
    Trouble.TOO_SLOW: (
        "it does not answer in time",
        "check host and port in DATABASE_URL; Supabase's direct host speaks IPv6 only, its pooler both",
    ),
    Trouble.BAD_TLS: ("TLS with it fails", "set sslmode in DATABASE_URL as the provider says"),
    Trouble.BAD_LOGIN: (
        "it refuses the login",
        "check user and password in DATABASE_URL; a pooler of Supabase wants postgres.<ref> as user",
    ),
    Trouble.NO_DATABASE: ("it has no database of that name", "check the name at the end of DATABASE_URL"),
    Trouble.NOT_ALLOWED: ("this role may not look at the schema", "use the owner's role in DATABASE_URL"),
    Trouble.OTHER: ("it cannot be used", "see its log"),
}


def database_findings(found: DatabaseFacts | Broken) -> list[Finding]:
    if isinstance(found, Broken):
        return [wrong(DATABASE, found.why, "check DATABASE_URL and the way to it")]
    if found.refusal is not None:
        return [wrong(DATABASE, found.refusal, "see docs/settings.md on DATABASE_URL and DATA_DIR")]
    if found.is_project:
        return data_api_findings(found)
    if found.trouble is not None:
        says, todo = TROUBLES[found.trouble]
        state = f" (SQLSTATE {found.state})" if found.state else ""
        return [wrong(DATABASE, f"{found.place}: {says}{state}", todo)]
    if found.sight is None:
        return [off(DATABASE, f"{found.place}: not made yet; the first start makes it")]
    return [ok(DATABASE, _described(found, found.sight)), *_surprises(found, found.sight)]


def migration_findings(found: DatabaseFacts | Broken, missing: Missing) -> list[Finding]:
    if isinstance(found, Broken) or found.trouble is not None or found.refusal is not None:
        return [skipped(MIGRATIONS, "not looked at: the database comes first")]
    if found.glance is not None:
        return schema_findings(found.glance, needed=SCHEMA_VERSION)
    if found.sight is None:
        return [off(MIGRATIONS, "applied by the first start")]
    try:
        files = missing(found.sight.applied)
    except MigrationError as error:
        return [wrong(MIGRATIONS, str(error), "put the files in order, then look again")]
    if not files:
        return [ok(MIGRATIONS, "all of this release are applied")]
    if found.is_embedded:
        return [ok(MIGRATIONS, f"the next start applies {len(files)}")]
    says = f"{len(files)} of this release are missing, from {files[0]} on"
    return [
        wrong(
            MIGRATIONS,
            says,
            f"{MIGRATE}; it names what of the app stands in the way, and changes nothing then",
        )
    ]


def clock_findings(
    found: DatabaseFacts | Broken, others: Mapping[str, WebFacts | Broken | None]
) -> list[Finding]:
    """Against the database, which decides every deadline, and against whoever else told the time."""
    offsets = _of_database(found)
    offsets |= {
        name: each.offset_s
        for name, each in others.items()
        if isinstance(each, WebFacts) and each.offset_s is not None
    }
    if not offsets:
        return [skipped(CLOCK, "not compared: nobody told the time")]
    far = [_apart(name, offset_s) for name, offset_s in offsets.items() if abs(offset_s) > NOTABLE_S]
    return far or [ok(CLOCK, f"in time with {' and '.join(offsets)}")]


def _of_database(found: DatabaseFacts | Broken) -> dict[str, float]:
    seen = None if isinstance(found, Broken) else found.sight or found.glance
    return {} if seen is None or seen.offset_s is None else {"the database": seen.offset_s}


def _apart(name: str, offset_s: float) -> Finding:
    says = f"this machine is {abs(offset_s):.0f} s {'before' if offset_s > 0 else 'behind'} {name}"
    todo = "set it right, or let a time service do it"
    if abs(offset_s) > LIMIT_S:
        return wrong(CLOCK, f"{says}; {LIMIT_S:.0f} s is the most", todo)
    return warning(CLOCK, says, todo)


def _described(found: DatabaseFacts, sight: Sight) -> str:
    running = f", run by process {found.holder}" if found.holder else ""
    return f"Postgres {sight.version}, {found.place} as {sight.role}, {sight.latency_ms:.1f} ms{running}"


def _surprises(found: DatabaseFacts, sight: Sight) -> list[Finding]:
    surprises = []
    if found.is_pooled:
        surprises.append(
            warning(
                DATABASE,
                "port 6543 is the transaction pooler: every call is prepared anew there",
                "use the session pooler (5432) or the direct connection where you can",
            )
        )
    if sight.is_standby:
        surprises.append(wrong(DATABASE, "it is a standby that takes no writes", "use the primary's address"))
    surprises += [warning(DATABASE, door, CLOSE) for door in sight.doors]
    if sight.latency_ms > FAR_MS:
        surprises.append(
            warning(DATABASE, f"a call takes {sight.latency_ms:.0f} ms", "run the server in the same region")
        )
    return surprises
