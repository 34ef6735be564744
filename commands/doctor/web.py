"""What the model endpoint and the Supabase project say: reachable, key taken, model there, keys published.

Pure.
"""

from __future__ import annotations

from difflib import get_close_matches
from http import HTTPStatus
from typing import Final

from commands.doctor.facts import WebFacts
from commands.doctor.finding import Broken, Finding, off, ok, warning, wrong
from foundation.settings import Settings

__all__ = ["model_findings", "project_findings"]

MODEL, PROJECT = "model", "project"
REFUSING: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
WITHOUT_A_LIST: Final = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
)


def model_findings(found: WebFacts | Broken | None, settings: Settings) -> list[Finding]:
    if found is None:
        says = "OPENAI_API_KEY is not set: chat agents are refused, other kinds run"
        return [off(MODEL, says)]
    if isinstance(found, Broken):
        return [wrong(MODEL, found.why, "check OPENAI_BASE_URL and the way to it")]
    key = "OPENAI_API_KEY" if settings.openai_api_key is not None else "LOVABLE_API_KEY"
    match found.status:
        case None:
            return [wrong(MODEL, found.failure, "check OPENAI_BASE_URL, and that this machine may call out")]
        case status if status in REFUSING:
            return [wrong(MODEL, f"{found.place} refuses the key ({status})", f"set {key} to a key it takes")]
        case status if status in WITHOUT_A_LIST:
            says = f"{found.place} answers, but lists no models ({status}), so key and model are untried"
            return [warning(MODEL, says, "check that OPENAI_BASE_URL ends where its /models begins")]
        case HTTPStatus.TOO_MANY_REQUESTS:
            says = f"{found.place} takes no more requests now (429)"
            return [warning(MODEL, says, "check the account's limits and what is left on it")]
        case status if not HTTPStatus(200) <= status < HTTPStatus(300):
            return [
                wrong(MODEL, f"{found.place} answers with {status}", "check OPENAI_BASE_URL, or try again")
            ]
    return [_of_names(found, settings.default_model)]


def project_findings(found: WebFacts | Broken | None, settings: Settings) -> list[Finding]:
    if found is None:
        return [off(PROJECT, _without_project(settings))]
    todo = "check SUPABASE_URL, and that the project is not paused"
    if isinstance(found, Broken):
        return [wrong(PROJECT, found.why, todo)]
    if found.status is None:
        return [wrong(PROJECT, found.failure, todo)]
    if found.status != HTTPStatus.OK or found.names is None:
        return [wrong(PROJECT, f"{found.place} publishes no keys ({found.status})", todo)]
    if found.names:
        return [ok(PROJECT, f"{found.place} publishes {len(found.names)} key(s)")]
    if settings.supabase_jwt_secret is not None:
        return [ok(PROJECT, f"{found.place} publishes no key; tokens are proved by SUPABASE_JWT_SECRET")]
    says = f"{found.place} publishes no key, so no token can be proved"
    return [wrong(PROJECT, says, "give the project a signing key, or set SUPABASE_JWT_SECRET")]


def _of_names(found: WebFacts, model: str) -> Finding:
    if found.names is None:
        says = f"{found.place} answers, but not with a list of models"
        return warning(
            MODEL, says, "check that OPENAI_BASE_URL is of an endpoint that speaks Chat Completions"
        )
    if model in found.names:
        return ok(MODEL, f"{found.place} takes the key and has {model}")
    near = get_close_matches(model, found.names, n=3, cutoff=0.3) or sorted(found.names)[:3]
    has = f"it has {', '.join(near)}" if near else "it lists none"
    says = f"{found.place} has no model {model}, which agents without one of their own ask"
    return wrong(MODEL, says, f"set DEFAULT_MODEL; {has}")


def _without_project(settings: Settings) -> str:
    if settings.supabase_jwt_secret is not None:
        return "SUPABASE_URL is not set: tokens are proved by SUPABASE_JWT_SECRET alone"
    return "SUPABASE_URL is not set: this server takes development tokens of its own"
