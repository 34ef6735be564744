"""The rules of JSON Schema as they are kept here: the library's, counted, without what matches text.

Loaded with the library at the first schema. A class of validators is made for each check: it holds the count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import orjson

# It ships without types.
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError  # type: ignore[import-untyped]

# It ships without types.
from jsonschema.protocols import Validator  # type: ignore[import-untyped]

# It ships without types.
from jsonschema.validators import extend  # type: ignore[import-untyped]
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7, DRAFT202012, EMPTY_REGISTRY

from foundation.errors import Json

__all__ = ["TooManySteps", "first_mistake", "leading_nowhere", "mistakes"]

MAX_STEPS: Final = 100_000
CHARS_A_STEP: Final = 64
MAX_SENTENCE_CHARS: Final = 300

# Text is not matched, and what depends on which names were matched cannot be known.
SILENT: Final = ("pattern", "patternProperties", "format", "unevaluatedItems", "unevaluatedProperties")


class TooManySteps(Exception):
    """The check was given up."""


# Any value may stand where a schema says a number, a list or a name; the library checks what it gets.
class Rule(Protocol):
    def __call__(
        self, validator: Validator, wanted: object, instance: object, schema: dict[str, Json]
    ) -> Iterator[ValidationError] | None: ...


def mistakes(schema: dict[str, Json], value: Json, *, is_draft_7: bool) -> Iterator[str]:
    """Why `value` does not fit, a sentence each; what the library raises on a bad reference is let through.

    Raises:
        TooManySteps: in the middle of them, instead of going on for long.
    """
    base = Draft7Validator if is_draft_7 else Draft202012Validator
    take = _counter(MAX_STEPS)
    kept: dict[str, Rule] = {name: rule for name, rule in base.VALIDATORS.items() if name not in SILENT}
    kept |= {"additionalProperties": _additional(kept["additionalProperties"]), "uniqueItems": _unique}
    rules = {name: _counted(rule, take) for name, rule in kept.items()} | dict.fromkeys(SILENT, _silent)
    return map(_sentence, extend(base, rules)(schema, registry=EMPTY_REGISTRY).iter_errors(value))


def first_mistake(schema: dict[str, Json], *, is_draft_7: bool) -> str | None:
    """What makes `schema` no schema, by the draft's own."""
    base = Draft7Validator if is_draft_7 else Draft202012Validator
    errors = base(base.META_SCHEMA, registry=EMPTY_REGISTRY).iter_errors(schema)
    return next(map(_sentence, errors), None)


def leading_nowhere(schema: dict[str, Json], references: Iterable[str], *, is_draft_7: bool) -> set[str]:
    """Which of `references` no schema is found under."""
    resource = (DRAFT7 if is_draft_7 else DRAFT202012).create_resource(schema)
    resolver = EMPTY_REGISTRY.resolver_with_root(resource)

    def leads_nowhere(reference: str) -> bool:
        try:
            return not isinstance(resolver.lookup(reference).contents, dict | bool)
        # A step that does not fit what it is a step into, such as a name into a list.
        except (Unresolvable, AttributeError, LookupError, TypeError, ValueError):
            return True

    return set(filter(leads_nowhere, references))


def _sentence(error: ValidationError) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    path = "".join(steps).removeprefix(".")
    sentence = f"{path}: {error.message}" if path else str(error.message)
    return sentence if len(sentence) <= MAX_SENTENCE_CHARS else sentence[:MAX_SENTENCE_CHARS] + "…"


def _counter(steps: int) -> Callable[[int], None]:
    def take(count: int) -> None:
        nonlocal steps
        steps -= count
        if steps < 0:
            raise TooManySteps

    return take


def _counted(rule: Rule, take: Callable[[int], None]) -> Rule:
    def check(
        validator: Validator, wanted: object, instance: object, schema: dict[str, Json]
    ) -> Iterator[ValidationError]:
        take(1 + _size(wanted) + _size(instance))
        for error in rule(validator, wanted, instance, schema) or ():
            # A message quotes the value it is about, however long that is.
            take(len(error.message) // CHARS_A_STEP)
            yield error

    return check


def _size(value: object) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _additional(rule: Rule) -> Rule:
    """The library's rule, which matches names as soon as there are `patternProperties`."""

    def check(
        validator: Validator, wanted: object, instance: object, schema: dict[str, Json]
    ) -> Iterator[ValidationError] | None:
        if "patternProperties" in schema:
            return None
        return rule(validator, wanted, instance, schema)

    return check


def _unique(
    validator: Validator,  # noqa: ARG001
    wanted: object,
    instance: object,
    schema: dict[str, Json],  # noqa: ARG001
) -> Iterator[ValidationError]:
    """Linear; the library compares every pair of objects."""
    if wanted is True and isinstance(instance, list):
        seen = {orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in instance}
        if len(seen) < len(instance):
            yield ValidationError("has elements that are there twice; each may be there once")


def _silent(
    validator: Validator,  # noqa: ARG001
    wanted: object,  # noqa: ARG001
    instance: object,  # noqa: ARG001
    schema: dict[str, Json],  # noqa: ARG001
) -> None:
    return None
