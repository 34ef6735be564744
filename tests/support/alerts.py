"""The alert rules of `deploy/observability` as values, and each with a number changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.promtool import run_promtool

__all__ = ["CASES", "OBSERVABILITY", "RULES", "Rule", "alerts", "failing", "mutants", "recordings"]

OBSERVABILITY: Final = Path(__file__).parents[2] / "deploy" / "observability"
RULES: Final = sorted((OBSERVABILITY / "rules").glob("*.yml"))
CASES: Final = sorted((OBSERVABILITY / "tests").glob("*.yml"))

# Any: a rule as YAML gives it.
Rule = Mapping[str, Any]

OWN_RULES: Final = re.compile(r"rule_files: .*")
# What is compared with, and what is looked back on.
NUMBERS: Final = re.compile(r"(?<=[<>=] )[0-9.e]+|(?<=\[)[0-9]+(?=s\])")
FOR: Final = re.compile(r"([0-9]+)m")


def alerts() -> dict[str, Rule]:
    return {rule["alert"]: rule for rule in _rules() if "alert" in rule}


def recordings() -> list[Rule]:
    return [rule for rule in _rules() if "record" in rule]


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The rule with one number changed, both ways, each under a name that says which."""
    for place in NUMBERS.finditer(rule["expr"]):
        for changed in _others(place.group()):
            expr = rule["expr"][: place.start()] + changed + rule["expr"][place.end() :]
            yield f"{place.group()} at {place.start()} is {changed}", {**rule, "expr": expr}
    if "for" in rule:
        (minutes,) = FOR.fullmatch(rule["for"]).groups()  # type: ignore[union-attr]
        for seconds in (int(minutes) * 30, int(minutes) * 120):
            yield f"for {seconds} s", {**rule, "for": f"{seconds}s"}


def failing(rules: Mapping[str, Rule], cases: Path, folder: Path) -> set[str]:
    """The names of those rules that do not pass `cases` in place of the one that stands there."""
    text, files = cases.read_text(), {}
    for number, (name, rule) in enumerate(rules.items()):
        needed = [each for each in recordings() if each["record"] in rule["expr"]]
        group = {"name": "changed", "rules": [*needed, rule]}
        (folder / f"rules-{number}.yml").write_text(yaml.safe_dump({"groups": [group]}))
        path = folder / f"cases-{number}.yml"
        path.write_text(OWN_RULES.sub(f"rule_files: [rules-{number}.yml]", text))
        files[str(path)] = name
    said = run_promtool("test", "rules", *files)
    passed = re.findall(r"Unit Testing:  (\S+)\n  SUCCESS", said.stdout)
    assert len(passed) + said.stderr.count("FAILED:") == len(files), said
    assert "parse" not in said.stderr, said.stderr
    return set(files.values()) - {files[path] for path in passed}


def _rules() -> list[Rule]:
    documents = [yaml.safe_load(path.read_text()) for path in RULES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def _others(number: str) -> list[str]:
    """A number that is a little less and one that is a little more, as far as it can be either."""
    value = float(number)
    if value in {0, 1}:
        return [f"{1 - value:g}"]
    if 0.5 <= value < 1:
        return [f"{1 - (1 - value) * 2:.10g}", f"{1 - (1 - value) / 2:.10g}"]
    return [f"{value / 2:.10g}", f"{value * 2:.10g}"]
