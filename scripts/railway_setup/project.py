"""What is on Railway already: the project, its services and what they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scripts.railway_setup.railway import Railway, Stopped

__all__ = ["Found", "Service", "find"]

USUAL = "switchyard"


@dataclass
class Service:
    """
    values: by name, of all variables; empty for those that are sealed
    volumes: where they are mounted
    settings: of its builds and deployments, `deploy.healthcheckPath` and the like
    """

    id: str
    name: str
    url: str = ""
    is_deployed: bool = False
    values: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=dict)


@dataclass
class Found:
    """
    project: its name, or the one it will have
    is_linked: whether this folder is linked to it
    unlinked_id: a project of the wanted name that this folder is not linked to
    """

    project: str
    is_linked: bool = False
    unlinked_id: str | None = None
    services: dict[str, Service] = field(default_factory=dict)


def find(railway: Railway, *, project: str | None) -> Found:
    """
    Args:
        project: its name; None for the linked one, or the usual one.

    Raises:
        Stopped: this folder is linked to another one, or Railway cannot be asked.
    """
    linked, told = railway.try_to_ask("status", "--json")
    if linked is None:
        if "link" not in told.lower():
            raise Stopped(f"`railway status` failed: {told}")
        name = project or USUAL
        projects = [each for each in railway.ask("list", "--json") if not each.get("deletedAt")]
        return Found(name, unlinked_id=next((each["id"] for each in projects if each["name"] == name), None))
    name = str(linked["name"])
    if project not in (None, name):
        raise Stopped(
            f"this folder is linked to the project {name}, not {project};"
            f" say --project {name}, or run `railway unlink` first"
        )
    return Found(name, is_linked=True, services=services(railway))


def services(railway: Railway) -> dict[str, Service]:
    """All of the linked environment, by name."""
    rows = railway.ask("service", "list", "--json")
    config = railway.ask("environment", "config", "--json").get("services", {}) if rows else {}
    return {row["name"]: _service(railway, row, config.get(row["id"]) or {}) for row in rows}


# Any: JSON of another program.
def _service(railway: Railway, row: dict[str, Any], config: dict[str, Any]) -> Service:
    listed = railway.ask("variable", "list", "--service", row["id"], "--json")
    return Service(
        id=row["id"],
        name=row["name"],
        url=row.get("url") or "",
        is_deployed=bool(row.get("latestDeployment") or row.get("deploymentId")),
        # A sealed variable is in the configuration alone.
        values={**dict.fromkeys(config.get("variables") or {}, ""), **listed},
        volumes=[volume["mountPath"] for volume in row.get("volumes") or []],
        settings={
            f"{part}.{name}": value
            for part in ("build", "deploy")
            for name, value in (config.get(part) or {}).items()
            if value is not None
        },
    )
