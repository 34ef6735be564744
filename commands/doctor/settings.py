"""What the settings say about themselves: mistakes, and choices that may surprise.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from commands.doctor.addresses import place_of
from commands.doctor.facts import PortUser
from commands.doctor.finding import Broken, Finding, ok, warning, wrong
from foundation.settings import CreditsOwner, Settings

__all__ = ["mistakes", "port_findings", "settings_findings"]

SETTINGS, PORT = "settings", "port"


def mistakes(lines: Sequence[str]) -> list[Finding]:
    """A finding for every line of a refused start; each names its variable and what it wants."""
    return [
        wrong(SETTINGS, line, f"set {line.partition(':')[0]}; docs/settings.md has all") for line in lines
    ]


def settings_findings(settings: Settings) -> list[Finding]:
    work = f"{settings.worker_slots} runs at once" if settings.role.executes_runs else "no runs of its own"
    said = f"{settings.environment}, {work}, credits: {settings.credits_owner}"
    surprises = [*_of_models(settings), *(_of_production(settings) if settings.is_production else [])]
    return [ok(SETTINGS, said), *surprises]


def port_findings(user: PortUser | Broken, port: int) -> list[Finding]:
    match user:
        case Broken(why=why):
            return [wrong(PORT, why, "see whether this user may open sockets at all")]
        case PortUser.NOBODY if port == 0:
            return [ok(PORT, "a free one is picked at every start")]
        case PortUser.NOBODY:
            return [ok(PORT, f"{port} is free")]
        case PortUser.A_SERVER:
            return [ok(PORT, f"{port} is served by a Switchyard server that runs")]
        case PortUser.A_STRANGER:
            return [warning(PORT, f"{port} is taken by another program", "end that, or set PORT to another")]
        case PortUser.FORBIDDEN:
            return [wrong(PORT, f"{port} may not be opened by this user", "set PORT to one from 1024 on")]


def _of_models(settings: Settings) -> Iterator[Finding]:
    if settings.openai_api_key is not None and settings.lovable_api_key is not None:
        yield warning(
            SETTINGS,
            "OPENAI_API_KEY and LOVABLE_API_KEY are both set; only OPENAI_API_KEY is used",
            "unset the one that is not meant",
        )
    uses_gateway = settings.openai_api_key is None and settings.lovable_api_key is not None
    if uses_gateway and settings.openai_base_url is not None:
        yield warning(
            SETTINGS,
            f"LOVABLE_API_KEY is sent to OPENAI_BASE_URL, {place_of(settings.openai_base_url)}",
            "unset OPENAI_BASE_URL, or set OPENAI_API_KEY for it",
        )
    if "*" in settings.mcp_servers:
        yield warning(
            SETTINGS, "MCP_SERVERS=* lets agents use any public server", "name the origins that are meant"
        )


def _of_production(settings: Settings) -> Iterator[Finding]:
    if not settings.allowed_origins:
        yield warning(
            SETTINGS,
            "ALLOWED_ORIGINS is not set, so no page in a browser may call this server",
            "set it to your app's origins; leave it if only edge functions call",
        )
    if "*" in settings.allowed_origins:
        yield warning(SETTINGS, "ALLOWED_ORIGINS=* lets every page call", "name your app's origins")
    if settings.is_embedded:
        yield warning(
            SETTINGS,
            "production runs on the embedded database, whose disk may be thrown away",
            "set DATABASE_URL",
        )
    if settings.credits_owner is CreditsOwner.OFF:
        yield warning(SETTINGS, "CREDITS_OWNER=off: nobody pays for a run", "set it to backend or caller")
    if settings.supabase_url is not None and settings.supabase_url.startswith("http://"):
        sent = "" if settings.data_api is None else ", and the secret key be read"
        says = f"SUPABASE_URL is not https: its keys could be forged on the way{sent}"
        yield warning(SETTINGS, says, "use https")
