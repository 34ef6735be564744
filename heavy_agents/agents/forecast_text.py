"""What a forecast says in words: the next value, the method, how far off it was in the test, what to mind."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from forecast import METHOD_NAMES, Frequency, Method

__all__ = ["Document", "describe"]

ROWS = 7


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow", alias_generator=to_camel, frozen=True)


class Row(_Wire):
    date: str
    yhat: float
    lower: float
    upper: float


class Tested(_Wire):
    points: int
    mae: float
    coverage: float
    baseline: Method
    baseline_mae: float
    skill: float | None


class Document(_Wire):
    """What `forecast.JOB` returns; fields not named here are passed on as they are."""

    name: str | None
    method: Method
    frequency: Frequency
    level: float
    horizon: int
    points: tuple[Row, ...]
    backtest: Tested | None
    warnings: tuple[str, ...]
    csv: str
    svg: str


def describe(document: Document) -> str:
    """A few sentences and a small table, in Markdown."""
    parts = [_opening(document)]
    if document.backtest is not None and document.method is not Method.CONSTANT:
        parts.append(_tested(document.backtest, document))
    if document.warnings:
        parts.append("Please note:\n" + "\n".join(f"- {warning}" for warning in document.warnings))
    parts.append("\n".join(_table(document)))
    return "\n\n".join(parts)


def _opening(document: Document) -> str:
    first, last = document.points[0], document.points[-1]
    subject = f"{document.name}: the" if document.name else "The"
    unit = "days" if document.frequency is Frequency.DAILY else "months"
    return (
        f"{subject} next value, for {first.date}, is expected at {_number(first.yhat)} "
        f"({document.level:.0%} interval {_number(first.lower)} to {_number(first.upper)}). "
        f"The method is {METHOD_NAMES[document.method]}, for {document.horizon} {unit} up to {last.date}."
    )


def _tested(test: Tested, document: Document) -> str:
    return (
        f"In a test on the newest {test.points} values, which the method had not seen, it was off by "
        f"{_number(test.mae)} on average{_compared(test, document.method)}. "
        f"The {document.level:.0%} interval held {test.coverage:.0%} of them."
    )


def _compared(test: Tested, method: Method) -> str:
    if test.skill is None or test.baseline is method:
        return ""
    plain = f"{METHOD_NAMES[test.baseline]} ({_number(test.baseline_mae)})"
    return f", {abs(test.skill):.0%} {'less' if test.skill >= 0 else 'more'} than {plain}"


def _table(document: Document) -> Iterator[str]:
    yield f"| date | forecast | {document.level:.0%} from | to |"
    yield "| --- | ---: | ---: | ---: |"
    for row in document.points[:ROWS]:
        yield f"| {row.date} | {_number(row.yhat)} | {_number(row.lower)} | {_number(row.upper)} |"
    if (rest := len(document.points) - ROWS) > 0:
        yield ""
        yield f"The other {rest} are in `forecast.csv`; `forecast.svg` is the chart."


def _number(value: float) -> str:
    """As the engine rounded it, with thousands set apart: 10,347 and not 10347.0."""
    return f"{value:,.15g}"
