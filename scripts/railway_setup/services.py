"""What should be on Railway: which services, with which variables, and where each value comes from."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

__all__ = [
    "NATS",
    "NATS_IMAGE",
    "REDIS",
    "WEB",
    "WORKER",
    "Source",
    "Variable",
    "Wanted",
    "generated",
    "wanted",
]

WEB, WORKER, NATS, REDIS = "web", "worker", "nats", "Redis"
# Where its image keeps what JetStream stores, and who may connect.
NATS_STORE, NATS_USER = "/data", "switchyard"
DRAIN_S, OVERLAP_S = 25, 10
# Railway would choose one itself, and Prometheus on the private network has to know it.
PORT = "8000"
IMAGE, NATS_IMAGE = "Dockerfile.railway", "Dockerfile.nats"
MIGRATE = "python railway_server.py migrate"


class Source(Enum):
    """
    FIXED: it is what it is
    GIVEN: of whoever sets this up: from the environment, or asked for
    MADE: a random secret, made when there is none
    """

    FIXED = auto()
    GIVEN = auto()
    MADE = auto()


@dataclass(frozen=True)
class Variable:
    """
    value: empty unless it is fixed
    of_web: it refers to the variable of web that has the same name
    wants: tells whoever is asked what it is
    """

    name: str
    value: str = ""
    source: Source = Source.FIXED
    is_secret: bool = False
    is_needed: bool = True
    of_web: bool = False
    wants: str = ""


# Any: Railway's own configuration, part by part, as it nests it.
Settings = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """
    settings: of its builds and deployments
    volume: where one is to be mounted; empty for none
    """

    name: str
    variables: tuple[Variable, ...] = ()
    settings: Settings = field(default_factory=dict)
    volume: str = ""
    has_domain: bool = False
    is_database: bool = False


GIVEN = (
    Variable("SUPABASE_URL", source=Source.GIVEN, wants="the project's address, https://<ref>.supabase.co"),
    Variable(
        "DATABASE_URL",
        source=Source.GIVEN,
        is_secret=True,
        wants="the Postgres connection string of the same project, postgresql://…",
    ),
    Variable(
        "OPENAI_API_KEY",
        source=Source.GIVEN,
        is_secret=True,
        is_needed=False,
        wants="the model provider's key; without one chat runs are refused",
    ),
    Variable(
        "ALLOWED_ORIGINS",
        source=Source.GIVEN,
        is_needed=False,
        wants="the app's pages, https://app.example, with commas; without them no browser may call",
    ),
)
MADE = (
    Variable("RAILWAY_BACKEND_SECRET", source=Source.MADE, is_secret=True),
    Variable("METRICS_TOKEN", source=Source.MADE, is_secret=True),
)


def wanted(*, has_worker: bool, has_nats: bool, redis: str | None) -> tuple[Wanted, ...]:
    """In the order in which they are made: what others refer to comes first.

    Args:
        redis: what its service is called; None for none.
    """
    links = _links(has_nats=has_nats, redis=redis)
    role = "web" if has_worker else "all"
    found = [
        *([Wanted(redis, is_database=True)] if redis else []),
        *([_nats()] if has_nats else []),
        Wanted(WEB, (*_fixed(role), *GIVEN, *MADE, *links), _settings(), has_domain=True),
    ]
    if has_worker:
        found.append(Wanted(WORKER, (*_fixed("worker"), *_shared(), *links), _settings()))
    return tuple(found)


def generated() -> str:
    return secrets.token_hex(32)


def _settings() -> Settings:
    """Those of a server; a migration may be run by several at once."""
    deploy = {
        "preDeployCommand": [MIGRATE],
        "healthcheckPath": "/health/readiness",
        "healthcheckTimeout": 300,
        "restartPolicyType": "ON_FAILURE",
        "restartPolicyMaxRetries": 10,
        "drainingSeconds": DRAIN_S + 5,
        "overlapSeconds": OVERLAP_S,
    }
    return {"build": {"builder": "DOCKERFILE", "dockerfilePath": IMAGE}, "deploy": deploy}


def _nats() -> Wanted:
    deploy = {
        "healthcheckPath": "/healthz",
        "healthcheckTimeout": 60,
        "restartPolicyType": "ON_FAILURE",
        "restartPolicyMaxRetries": 10,
        "drainingSeconds": 10,
    }
    variables = (
        Variable("RAILWAY_DOCKERFILE_PATH", NATS_IMAGE),
        # A volume is root's: the image's start passes it on to its own user and becomes that user.
        Variable("RAILWAY_RUN_UID", "0"),
        Variable("NATS_PASSWORD", source=Source.MADE, is_secret=True),
    )
    build = {"builder": "DOCKERFILE", "dockerfilePath": NATS_IMAGE}
    return Wanted(NATS, variables, {"build": build, "deploy": deploy}, volume=NATS_STORE)


def _fixed(role: str) -> tuple[Variable, ...]:
    """From SIGTERM on a process has DRAIN_SECONDS to leave; Railway kills it five seconds after that."""
    values = {
        "ROLE": role,
        "ENVIRONMENT": "production",
        "PORT": PORT,
        "RAILWAY_DOCKERFILE_PATH": IMAGE,
        "DRAIN_SECONDS": str(DRAIN_S),
        "RAILWAY_DEPLOYMENT_DRAINING_SECONDS": str(DRAIN_S + 5),
        "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS": str(OVERLAP_S),
        "RAILWAY_HEALTHCHECK_TIMEOUT_SEC": "300",
    }
    return tuple(Variable(name, value) for name, value in values.items())


def _shared() -> tuple[Variable, ...]:
    """What web has, by reference: a secret is set, and later changed, in one place."""
    return tuple(
        Variable(each.name, _reference(WEB, each.name), of_web=True, is_needed=each.is_needed)
        for each in (*GIVEN, *MADE)
    )


def _links(*, has_nats: bool, redis: str | None) -> tuple[Variable, ...]:
    """The private network's names, as Railway itself writes them into the variables."""
    login = f"{NATS_USER}:{_reference(NATS, 'NATS_PASSWORD')}"
    nats = Variable("NATS_URL", f"nats://{login}@{_reference(NATS, 'RAILWAY_PRIVATE_DOMAIN')}:4222")
    counts = [Variable("REDIS_URL", _reference(redis, "REDIS_URL"))] if redis else []
    return (*([nats] if has_nats else []), *counts)


def _reference(service: str, name: str) -> str:
    return f"${{{{{service}.{name}}}}}"
