"""The public door in both families, as a platform reaches it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.process import ServerProcess, run_command

FAMILIES = ["127.0.0.1", "[::1]"]


@pytest.mark.parametrize("host", ["", "::"])
async def test_http_and_sockets_are_served_in_both_families(demo_url: str, tmp_path: Path, host: str) -> None:
    async with ServerProcess.running(DATABASE_URL=demo_url, DATA_DIR=str(tmp_path), HOST=host) as server:
        token = server.client.headers["authorization"].removeprefix("Bearer ")
        for family in FAMILIES:
            where = f"{family}:{server.client.base_url.port}"
            async with httpx2.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"http://{where}/health/readiness")).status_code == 200
            offered = [Subprotocol("switchyard.v1"), Subprotocol(f"jwt-{token}")]
            async with connect(f"ws://{where}/ws", subprotocols=offered, proxy=None) as opened:
                assert json.loads(await opened.recv())["type"] == "connected"


async def test_a_port_that_is_taken_is_one_line_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        code, out, err = await run_command("serve", DATA_DIR=str(tmp_path / "data"), PORT=port)

    assert code == 2
    assert err.strip() == f"PORT: {port} is taken by another program; end that, or set another port"
    assert "Traceback" not in out
    assert not (tmp_path / "data").exists()
