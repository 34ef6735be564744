"""What a caller may ask: the input of a forecast run, read and checked.

Shape and limits are a pydantic model, whose descriptions are what a caller who got a field wrong is told.
What depends on the dates together is decided in `forecast.series`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from forecast.dates import Frequency
from forecast.history import History, Quality
from forecast.mistakes import MOST, BadInput, Mistake, refuse
from forecast.series import SentPoint, arrange
from foundation.errors import Json

__all__ = ["MOST_POINTS", "ForecastRequest", "parse"]

MOST_POINTS = 20_000
LONGEST_SHOWN = 40
NO_FIELD = "is not a field here; leave it out"

FURTHEST = {Frequency.DAILY: 730, Frequency.MONTHLY: 120}
USUAL = {Frequency.DAILY: 30, Frequency.MONTHLY: 12}


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    history: History
    quality: Quality
    horizon: int  # steps after the last value: days or months
    level: float  # share of future values the interval should hold
    non_negative: bool
    name: str | None


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)

    series: list[SentPoint] = Field(description="a list of {date, value}")
    frequency: Annotated[Frequency | None, Field(strict=False)] = Field(
        None, description='"daily" or "monthly"; leave it out to have it told from the dates'
    )
    horizon: int | None = Field(
        None,
        ge=1,
        le=max(FURTHEST.values()),
        description="a whole number of steps, 1 to 730 days or 1 to 120 months",
    )
    level: float = Field(0.95, ge=0.5, le=0.99, description="a number from 0.5 to 0.99")
    non_negative: bool = Field(False, description="true or false")
    name: str | None = Field(
        None, max_length=100, pattern=r"^[^\p{Cc}]*$", description="a line of text of at most 100 characters"
    )


def parse(raw: Mapping[str, Json]) -> ForecastRequest:
    """Read the input of a run.

    Raises:
        BadInput: with each field that is wrong and what it wants.
    """
    refuse(_too_long(raw.get("series")))
    refuse(_too_many_unknown(raw))
    try:
        sent = _Input.model_validate(raw)
    except ValidationError as error:
        raise BadInput(_mistake(each) for each in error.errors(include_url=False)) from None
    history, quality = arrange(sent.series, asked=sent.frequency)
    refuse(_too_far(sent.horizon, history.frequency))
    return ForecastRequest(
        history=history,
        quality=quality,
        horizon=sent.horizon or USUAL[history.frequency],
        level=sent.level,
        non_negative=sent.non_negative,
        name=sent.name or None,
    )


def _too_long(series: Json) -> Iterator[Mistake]:
    """Asked before anything is read: a huge series must not cost more than its count."""
    if isinstance(series, list) and len(series) > MOST_POINTS:
        yield Mistake("series", f"has {len(series)} points, at most {MOST_POINTS} are taken; send the newest")


def _too_many_unknown(raw: Mapping[str, Json]) -> tuple[Mistake, ...]:
    """Asked before the model is, which would describe every one of a million unknown names."""
    found = tuple(islice(_unknown(raw), MOST))
    return found if len(found) == MOST else ()


def _unknown(raw: Mapping[str, Json]) -> Iterator[Mistake]:
    yield from (Mistake(_clean(key), NO_FIELD) for key in raw if key not in _names(_Input))
    series = raw.get("series")
    for number, point in enumerate(series if isinstance(series, list) else ()):
        if isinstance(point, dict):
            strangers = (key for key in point if key not in _names(SentPoint))
            yield from (Mistake(f"series[{number}].{_clean(key)}", NO_FIELD) for key in strangers)


@cache
def _names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or own for own, field in model.model_fields.items())


def _too_far(horizon: int | None, frequency: Frequency) -> Iterator[Mistake]:
    most = FURTHEST[frequency]
    if horizon is not None and horizon > most:
        yield Mistake("horizon", f"got {horizon}, wants at most {most} for a {frequency} series")


def _mistake(error: ErrorDetails) -> Mistake:
    steps = (f"[{step}]" if isinstance(step, int) else f".{_clean(step)}" for step in error["loc"])
    path = "".join(steps).removeprefix(".")
    if error["type"] == "extra_forbidden":
        return Mistake(path, NO_FIELD)
    wants = _wants(error["loc"])
    if error["type"] == "missing":
        return Mistake(path, f"is missing, wants {wants}")
    return Mistake(path, f"got {_shown(error['input'])}, wants {wants}")


def _wants(path: tuple[int | str, ...]) -> str:
    match path:
        case ("series", int()):
            return "an object {date, value}"
        case ("series", int(), name):
            return _described(SentPoint, str(name))
        case (name, *_):
            return _described(_Input, str(name))
        case _:
            return "an object"


def _described(model: type[BaseModel], name: str) -> str:
    fields = {field.alias or own: field.description for own, field in model.model_fields.items()}
    return fields[name] or "another value"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return _clean(json.dumps(value, default=str, ensure_ascii=False))


def _clean(text: str) -> str:
    """Cut, so that an answer never repeats a whole body, and without what UTF-8 cannot carry."""
    short = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    return short.encode("utf-8", "replace").decode()
