"""Servers of others, each in an environment of its own; those that are not installed are left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from benchmarks.server import Server

__all__ = ["AEGRA", "LANGGRAPH", "LITELLM", "Rival", "installed", "versions"]

PEERS: Final = Path(__file__).parent / "peers"
LIBRARIES: Final = frozenset({"aegra-api", "langgraph-api", "langgraph", "litellm", "fastapi", "starlette"})


@dataclass(frozen=True, slots=True)
class Rival:
    """`module` starts it as its users do; `folder` is that of its environment."""

    name: str
    module: str
    folder: str
    ready_path: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Path:
        return PEERS / self.folder

    @property
    def is_installed(self) -> bool:
        return self.environment.exists()

    def server(self, **settings: str) -> Server:
        return Server(
            self.name,
            ("-m", self.module),
            self.settings | settings,
            python=self.environment / "bin" / "python",
            ready_path=self.ready_path,
        )


# It logs each request in several lines otherwise.
AEGRA: Final = Rival("Aegra", "benchmarks.peers.aegra", ".venv-aegra", "/ready", {"LOG_LEVEL": "WARNING"})
LANGGRAPH: Final = Rival("LangGraph dev", "benchmarks.peers.langgraph_dev", ".venv-langgraph", "/ok")
# It asks the network for prices otherwise.
LITELLM: Final = Rival(
    "LiteLLM",
    "benchmarks.peers.litellm_proxy",
    ".venv-litellm",
    "/health/readiness",
    {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
)


def installed(rivals: Iterable[Rival]) -> list[Rival]:
    """Those that are there; says who is not."""
    found: list[Rival] = []
    for each in rivals:
        if each.is_installed:
            found.append(each)
        else:
            print(f"left out: {each.name} is not installed (benchmarks/peers/README.md)")
    return found


def versions(rivals: Iterable[Rival]) -> dict[str, dict[str, str]]:
    """What each runs on, of what makes a difference."""
    return {each.name: _versions(each) for each in rivals if each.is_installed}


def _versions(rival: Rival) -> dict[str, str]:
    folders = [str(each) for each in rival.environment.glob("lib/python*/site-packages")]
    return {each.name: each.version for each in distributions(path=folders) if each.name in LIBRARIES}
