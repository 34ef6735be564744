"""What a PromQL expression asks for, held against what there is: a name or a label too many is an error.

`Series` says which labels each series has; `labels_of` follows an expression from its selectors outwards and
says which labels come out of it. Prometheus itself answers a misspelt name with nothing, silent for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import promql_parser as promql
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from foundation.telemetry import Metrics

__all__ = ["SCRAPED", "Series", "Wrong", "labels_of", "matchers_of", "series_of"]

Series = Mapping[str, frozenset[str]]

# What Prometheus adds to all it reads; `service` as in prometheus.yml.
SCRAPED: Final = frozenset({"job", "instance", "service"})
SET_OPERATORS: Final = ("or",)


class Wrong(Exception):
    """The expression asks for what there is not, or can never have a result."""


def series_of(metrics: Metrics) -> Series:
    """Every series that a process can tell, with its labels."""
    found = {"up": SCRAPED}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            labels = SCRAPED | set(metric._labelnames)
            found |= {name: labels | extra for name, extra in _names(metric).items()}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, SCRAPED | set(sample.labels))
    return found


def _names(metric: MetricWrapperBase) -> dict[str, frozenset[str]]:
    (family,) = metric.describe()
    none: frozenset[str] = frozenset()
    match metric:
        case Counter():
            return {f"{family.name}_total": none}
        case Gauge():
            return {family.name: none}
        case Histogram():
            ends = {"_bucket": frozenset({"le"}), "_sum": none, "_count": none}
            return {f"{family.name}{end}": extra for end, extra in ends.items()}
        case _:
            raise AssertionError(f"no such type of metric is known: {metric!r}")


def matchers_of(expression: str) -> list[tuple[str, str, str]]:
    """(series, label, value) of every matcher."""
    found: list[tuple[str, str, str]] = []

    def see(node: promql.Expr) -> None:
        vector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
        if isinstance(vector, promql.VectorSelector):
            found.extend((str(vector.name), each.name, each.value) for each in vector.matchers.matchers)

    promql.walk(promql.parse(expression), pre_visit=see)
    return sorted(set(found))


def labels_of(expression: str, known: Series) -> frozenset[str]:
    """The labels a result may have.

    Raises:
        Wrong: with what is wrong.
    """
    return _labels(promql.parse(expression), known) or frozenset()


def _labels(node: promql.Expr, known: Series) -> frozenset[str] | None:
    """None for a number."""
    match node:
        case promql.VectorSelector():
            return _selected(node, known)
        case promql.MatrixSelector():
            return _selected(node.vector_selector, known)
        case promql.AggregateExpr():
            return _aggregated(node, known)
        case promql.BinaryExpr():
            return _combined(node, known)
        case promql.Call():
            return _called(node, known)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(node.expr, known)
        case promql.NumberLiteral() | promql.StringLiteral():
            return None
        case _:
            raise Wrong(f"not understood: {node}")


def _selected(node: promql.VectorSelector, known: Series) -> frozenset[str]:
    if node.name is None or node.name not in known:
        raise Wrong(f"there is no series {node.name}")
    labels = known[node.name]
    _require({each.name for each in node.matchers.matchers}, labels, node.name)
    return labels


def _aggregated(node: promql.AggregateExpr, known: Series) -> frozenset[str]:
    inner = _labels(node.expr, known) or frozenset()
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    _require(named, inner, str(node))
    return named if node.modifier.type == promql.AggModifierType.By else inner - named


def _called(node: promql.Call, known: Series) -> frozenset[str] | None:
    vectors = [labels for each in node.args if (labels := _labels(each, known)) is not None]
    if node.func.name == "absent":
        return frozenset(name for _, name, _ in matchers_of(str(node.args[0])))
    if not vectors:
        return None
    (labels,) = vectors
    if node.func.name == "histogram_quantile":
        _require({"le"}, labels, str(node))
        return labels - {"le"}
    return labels


def _combined(node: promql.BinaryExpr, known: Series) -> frozenset[str] | None:
    left, right = _labels(node.lhs, known), _labels(node.rhs, known)
    if left is None or right is None:
        return right if left is None else left
    matching = None if node.modifier is None else node.modifier.matching
    if str(node.op) in SET_OPERATORS:
        return left | right
    if matching is None:
        if left != right:
            raise Wrong(f"never the same labels: {sorted(left)} and {sorted(right)} in {node}")
        return left
    _require(matching.labels, left & right, str(node))
    return left


def _require(wanted: set[str] | frozenset[str] | list[str], there: frozenset[str], where: str) -> None:
    if missing := sorted(set(wanted) - there):
        raise Wrong(f"no label {', '.join(missing)} in {re.sub(chr(10), ' ', where)}")
