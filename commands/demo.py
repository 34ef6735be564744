"""One heavy run on a real series, through the server's own public door, shown as it happens.

The demo is a client like any other: it has a token, speaks HTTP and reads server-sent events. Then it leaves
the server running.
"""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.markdown import Markdown

from commands.backend import Build
from commands.departure import Departure, leave_in_time
from commands.lines import sse_messages
from commands.serve import Server, serving
from commands.token import DEMO_USER
from foundation.identity import issue_development_token
from foundation.settings import Settings
from foundation.telemetry import configure

__all__ = ["show_demo"]

FORECASTER = "00000000-0000-4000-a000-000000000002"
SERIES = Path(__file__).parent.parent / "demo" / "series" / "daily_wp_log_peyton_manning.csv"
POINTS = 1096
HORIZON_DAYS = 14
START_LIMIT_S = 30.0


async def show_demo(settings: Settings, build: Build) -> None:
    """Serve and show one run; returns when the server is told to stop."""
    console = Console(highlight=False, soft_wrap=True)
    configure("warning", secrets=settings.secrets)
    console.print("[bold]Switchyard[/] is starting: Postgres, schema, demo data …")

    async def until_told(departure: Departure) -> None:
        async with serving(settings, build, departure) as (complete, server):
            await _serve_and_show(complete, server, console)

    await leave_in_time(until_told, within_s=settings.drain_seconds)


async def _serve_and_show(settings: Settings, server: Server, console: Console) -> None:
    served = asyncio.create_task(server.serve())
    shown = asyncio.create_task(_show(settings, server, console))
    await asyncio.wait({served, shown}, return_when=asyncio.FIRST_COMPLETED)
    if served.done():
        shown.cancel()
    else:
        await shown
    await served


async def _show(settings: Settings, server: Server, console: Console) -> None:
    async with asyncio.timeout(START_LIMIT_S):
        while not server.started:
            await asyncio.sleep(0.01)
    base_url = f"http://127.0.0.1:{server.port}"
    token = issue_development_token(settings, DEMO_USER)
    headers = {"Authorization": f"Bearer {token}"}
    # No proxy of the environment stands between the server and its own address.
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=180, trust_env=False) as client:
        await _show_credits(client, console, "before")
        await _show_run(client, console)
        await _show_credits(client, console, "after")
    console.print(_next_steps(base_url))


async def _show_credits(client: httpx2.AsyncClient, console: Console, when: str) -> None:
    account = (await client.get("/api/credits")).json()
    console.print(f"credits {when}: {account['available']} available, {account['held']} held")


async def _show_run(client: httpx2.AsyncClient, console: Console) -> None:
    body = {
        "agentId": FORECASTER,
        "messages": [{"role": "user", "content": "How many people will look this page up?"}],
        "input": {"series": read_series(SERIES)[-POINTS:], "horizon": HORIZON_DAYS, "name": SERIES.stem},
        "stream": True,
    }
    console.print(f"\nPOST /api/agent/execute   {POINTS} days of {SERIES.stem}, {HORIZON_DAYS} days ahead")
    async with client.stream("POST", "/api/agent/execute", json=body) as answer:
        if answer.is_error:
            problem = (await answer.aread()).decode()
            console.print(f"[red]{answer.status_code}[/] {problem}")
            return
        async for message in sse_messages(answer.aiter_lines()):
            _show_message(message, console)


# Any: a message of the wire; `protocol.md` lists its fields.
def _show_message(message: dict[str, Any], console: Console) -> None:
    match message["type"]:
        case "started":
            console.print(f"  {message['seq']:>3} started   run {message['runId']}")
        case "progress":
            console.print(f"  {message['seq']:>3} progress  {message['fraction']:>4.0%}  {message['note']}")
        case "artifact":
            console.print(f"  {message['seq']:>3} artifact  {message['name']}, {message['size']:,} bytes")
        case "done":
            spent = f"{message['creditsUsed']} credit, {message['executionTime']:,} ms"
            console.print(f"  {message['seq']:>3} done      {spent}\n")
            console.print(Markdown(message["response"]), soft_wrap=False)
            console.print()
        case "error":
            console.print(f"  {message['seq']:>3} [red]{message['code']}[/]  {message['error']}")
        case other:
            console.print(f"  {message['seq']:>3} {other}")


# Any: as the request's JSON wants it.
def read_series(file: Path) -> list[dict[str, Any]]:
    """The dates and values of a bundled series."""
    with file.open(newline="") as lines:
        rows = csv.DictReader(lines)
        return [{"date": row["date"], "value": float(row["value"])} for row in rows]


def _next_steps(base_url: str) -> str:
    return f"""[bold]It keeps serving on {base_url}[/] — Ctrl-C ends it. Try next, in another terminal:

  TOKEN=$(.venv/bin/python railway_server.py token)
  curl -H "Authorization: Bearer $TOKEN" {base_url}/api/runs
  curl -H "Authorization: Bearer $TOKEN" {base_url}/api/agents
  open {base_url}/docs
  curl {base_url}/metrics
"""
