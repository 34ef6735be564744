"""Schemathesis over a running server: what the description allows and what it does not, sent and judged.

One `explore` is one run of its engine (examples, boundary values, generated cases, chains of calls) as one
caller. It blocks, and wants a process of its own: hypothesis watches the global random numbers, which a
server in the same process uses; and the hook below is global.
"""

from __future__ import annotations

import itertools
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from schemathesis.engine.recorder import ScenarioRecorder
    from schemathesis.generation.case import Case

__all__ = ["PHASES", "Answered", "Caller", "Exploration", "Found", "explore"]

# Any: JSON documents, and the configuration as the library takes it.
Document = dict[str, Any]

# Left out of what the library checks, and why:
LEFT_OUT: Final = (
    # Knows statuses only. What is valid may be refused for what no schema says (a key that was used with
    # another body, a position in the future); `judge` knows the codes.
    "positive_data_acceptance",
    # Wants two users and objects of one; that is what every test of 404 in this folder is about.
    "object_level_authorization",
    # Takes a deletion that is repeated, and answered 204 again on purpose, for a use of what is gone.
    "use_after_free",
)
PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")


@dataclass(frozen=True, slots=True)
class Caller:
    """`credentials` by the name of their security scheme; none for somebody who can only guess."""

    name: str
    credentials: Mapping[str, Document] = field(default_factory=dict)
    accept: str = "*/*"


@dataclass(frozen=True, slots=True)
class Answered:
    """One request that was answered.

    operation: a method and the path's template.
    is_valid: the request is what the description allows.
    """

    operation: str
    request: str
    is_valid: bool
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Found:
    """What came of one or several explorations: requests by operation and status, and what is wrong."""

    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.sent.total()

    def add(self, other: Found) -> None:
        self.sent += other.sent
        self.failures += other.failures


@dataclass(frozen=True, slots=True)
class Exploration:
    """
    max_examples: generated cases an operation.
    real: values that exist, by the parameter they are for (`path.run_id`, `body.agentId`, …).
    judge: what is wrong with an answer, beside what the library finds.
    """

    url: str
    document: Document
    caller: Caller
    seed: int
    max_examples: int
    real: Mapping[str, list[str]]
    judge: Callable[[Answered], list[str]]
    phases: Sequence[str] = PHASES


def explore(exploration: Exploration) -> Found:
    import schemathesis
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import from_schema
    from schemathesis.engine.events import NonFatalError, ScenarioFinished
    from schemathesis.hooks import unregister

    config = SchemathesisConfig.from_dict(_config(exploration))
    engine = from_schema(schemathesis.openapi.from_dict(exploration.document, config=config))
    hook = schemathesis.hook("before_call")(_fresh_keys())
    found, name = Found(), exploration.caller.name
    for event in engine.execute():
        if isinstance(event, NonFatalError):
            trace = "".join(traceback.format_exception(event.value))
            found.failures.append(f"{name}: {event.label}: {trace}")
        elif isinstance(event, ScenarioFinished):
            found.failures += [f"{name}: {each}" for each in _complaints(event.recorder)]
            for answered in _answers(event.recorder):
                found.sent[answered.operation, answered.status] += 1
                found.failures += [f"{name}: {answered}: {each}" for each in exploration.judge(answered)]
    unregister(hook)
    return found


def _config(exploration: Exploration) -> Document:
    real, caller = exploration.real, exploration.caller
    config: Document = {
        "base-url": exploration.url,
        "seed": exploration.seed,
        "continue-on-failure": True,
        "headers": {"Accept": caller.accept},
        "generation": {
            "max-examples": exploration.max_examples,
            "no-shrink": True,
            "database": "none",
            # Refused wherever it stands, as the description says in words.
            "allow-x00": False,
        },
        "checks": {name: {"enabled": False} for name in LEFT_OUT},
        "phases": {phase: {"enabled": phase in exploration.phases} for phase in PHASES},
        "output": {"truncation": {"max-recorded-payload-size": 0}},
        "dictionaries": {_name(where): {"values": values} for where, values in real.items()},
        "parameters": {where: {"dictionary": _name(where), "probability": 0.7} for where in real},
    }
    if caller.credentials:
        config["auth"] = {"openapi": dict(caller.credentials)}
    return config


def _fresh_keys() -> Callable[..., None]:
    """A hook: of the keys the description gives as examples, each is used for two requests and no more."""
    numbers = itertools.count()

    def before_call(context: object, case: Case[Any], kwargs: object) -> None:
        is_wrong = case.meta is not None and case.meta.is_negative_at(ParameterLocation.HEADER)
        if "Idempotency-Key" in case.headers and not is_wrong:
            case.headers["Idempotency-Key"] = f"order-{next(numbers) // 2}"

    from schemathesis.core.parameters import ParameterLocation

    return before_call


def _name(where: str) -> str:
    return where.replace(".", "_")


def _complaints(recorder: ScenarioRecorder) -> Iterator[str]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                label = recorder.cases[case_id].value.operation.label
                yield f"{label}: {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
            elif check.status.value == "error":
                yield f"{check.name} broke"


def _answers(recorder: ScenarioRecorder) -> Iterator[Answered]:
    for case_id, interaction in recorder.interactions.items():
        if (response := interaction.response) is None:
            continue
        case = recorder.cases[case_id].value
        yield Answered(
            operation=f"{interaction.request.method} {case.operation.path}",
            request=f"{interaction.request.method} {interaction.request.uri}",
            is_valid=case.meta is not None and case.meta.generation.mode.is_positive,
            status=response.status_code,
            headers={name.lower(): values[0] for name, values in response.headers.items()},
            body=response.content,
        )
