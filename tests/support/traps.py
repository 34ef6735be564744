"""Ports in a private network that nobody may touch, and every way to write where they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

__all__ = ["Traps", "set_traps"]

# Of the ports that strangers may name; a server of this machine rather listens on its usual address.
PORTS: Final = (8080, 8443)
ADDRESS: Final = (127, 77, 13, 9)
# Where nobody listens here, and nobody may look: networks, metadata services, names of inside.
ELSEWHERE: Final = (
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "0.0.0.1", "0", "00", "224.0.0.1", "255.255.255.255", "[::]", "[fe80::1]",
    "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::ffff:169.254.169.254]",
    "[2001:0:53aa:64c::1]",
    "localhost", "localhost.", "LOCALHOST", "a.localhost", "metadata.google.internal", "metadata",
    "db.railway.internal",
    "x.railway.internal.", "printer.local", "router.home.arpa", "host.docker.internal",
    "kubernetes.default.svc.internal",
)  # fmt: skip
SCHEMES: Final = ("file", "ftp", "gopher", "dict", "ldap", "unix", "data", "ws", "jar", "javascript")


@dataclass
class Traps:
    """`touched` has an entry for every connection to one of the ports."""

    touched: list[str] = field(default_factory=list)

    def url(self, dice: Random, *, scheme: str = "http") -> str:
        """A trap's address, or another one that is closed to everybody, in one of its spellings."""
        port = dice.choice(PORTS)
        host = dice.choice([*_spellings(ADDRESS), *_spellings((127, 0, 0, 1)), *ELSEWHERE, "[::1]"])
        plain = f"{scheme}://{host}:{port}/secret"
        odd = (
            f"{scheme}://example.com@{host}:{port}/",
            f"{scheme}://user:pass@{host}:{port}/",
            f"{scheme}://{host}:{port}\\@example.com/",
            f"{scheme}://{host}:{port}#@example.com/",
            f"{scheme}:\\\\{host}:{port}\\",
            f"{scheme}://{host}:{dice.choice([22, 25, 5432, 6379, 11211, 0, 65536])}/",
            f"{scheme}://{host}%00.example.com:{port}/",
            f"{scheme}:///{host}:{port}/",
            f"{dice.choice(SCHEMES)}://{host}:{port}/",
            f"{scheme}://{host}:{port}/\r\nHost: example.com",
        )
        return plain if dice.random() < 0.7 else dice.choice(odd)


def _spellings(parts: tuple[int, int, int, int]) -> list[str]:
    a, b, c, d = parts
    number = a << 24 | b << 16 | c << 8 | d
    dotted = f"{a}.{b}.{c}.{d}"
    wide = "".join(chr(0xFF10 + int(each)) if each.isdigit() else "\uff0e" for each in dotted)
    circled = "".join(chr(0x245F + int(each)) if each in "123456789" else each for each in dotted)
    return [
        dotted, f"{dotted}.", str(number), hex(number), f"0{number:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a}.{b}.{c << 8 | d}", f"{a}.{b << 16 | c << 8 | d}",
        f"{a}.{b}.{c}.{d:03}",
        f"[::ffff:{dotted}]", f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]", f"[::{dotted}]",
        f"[64:ff9b::{dotted}]",
        f"[0:0:0:0:0:ffff:{dotted}]", f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]", wide, circled,
        f"{a}\u3002{b}\u3002{c}\u3002{d}", f"{a}%2e{b}%2e{c}%2e{d}",
    ]  # fmt: skip


@asynccontextmanager
async def set_traps() -> AsyncIterator[Traps]:
    """Listen until the block ends."""
    traps = Traps()

    async def touch(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        traps.touched.append(str(writer.get_extra_info("sockname")))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nsecret")
        writer.close()

    async with AsyncExitStack() as stack:
        for port in PORTS:
            await stack.enter_async_context(
                await asyncio.start_server(touch, ".".join(map(str, ADDRESS)), port)
            )
            # Others may listen there, or there may be no IPv6: the first address is trap enough.
            for address in ("127.0.0.1", "::1"):
                with suppress(OSError):
                    await stack.enter_async_context(await asyncio.start_server(touch, address, port))
        yield traps
