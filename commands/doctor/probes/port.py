"""Who has the port that a server would take."""

from __future__ import annotations

import asyncio
import socket

import httpx2

from commands.doctor.facts import PortUser
from foundation.settings import Settings

__all__ = ["probe_port"]

WITHIN_S = 3.0


async def probe_port(settings: Settings) -> PortUser:
    found = await asyncio.to_thread(_try, settings.host or "0.0.0.0", settings.port)  # nosec B104 # noqa: S104 - as `serve`
    return found if found is not None else await _listener(settings)


def _try(host: str, port: int) -> PortUser | None:
    """None when somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return PortUser.FORBIDDEN
        except OSError:
            return None
    return PortUser.NOBODY


async def _listener(settings: Settings) -> PortUser:
    host = settings.host if settings.host not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # nosec B104 # noqa: S104 - compared
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health/liveness"
    try:
        async with httpx2.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
            answer = await client.get(url)
            is_ours = answer.is_success and answer.json() == {"status": "alive"}
    except (httpx2.HTTPError, ValueError):
        is_ours = False
    return PortUser.A_SERVER if is_ours else PortUser.A_STRANGER
