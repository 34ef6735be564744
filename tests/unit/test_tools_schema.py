from __future__ import annotations

import json
import socket

import pytest

from foundation.errors import Json
from heavy_agents.tools import SchemaCheck

ORDER: dict[str, Json] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "pattern": {"type": "string", "pattern": "^(a+)+$", "format": "email"},
    },
    "required": ["items"],
    "additionalProperties": False,
    "$defs": {"item": {"type": "object", "properties": {"count": {"type": "integer"}}}},
}


def test_a_value_that_fits_has_no_problems() -> None:
    assert SchemaCheck(ORDER).problems({"items": [{"count": 1}]}) == []


def test_each_problem_is_told_with_its_path() -> None:
    problems = SchemaCheck(ORDER).problems({"items": [{}, {"count": "2"}], "other": 1})

    assert problems == [
        "items[1].count: '2' is not of type 'integer'",
        "Additional properties are not allowed ('other' was unexpected)",
    ]


def test_at_most_ten_problems_are_told() -> None:
    counts: list[Json] = [{"count": "2"}] * 50

    assert len(SchemaCheck(ORDER).problems({"items": counts})) == 10


def test_a_problem_does_not_repeat_a_long_value() -> None:
    (problem,) = SchemaCheck({"type": "integer"}).problems("x" * 100_000)

    assert len(problem) <= 301


def test_text_is_not_matched() -> None:
    assert SchemaCheck(ORDER).problems({"items": [], "pattern": "a" * 60 + "!"}) == []


def test_names_are_not_matched() -> None:
    schema: dict[str, Json] = {"patternProperties": {"^(a+)+$": False}, "additionalProperties": False}
    unevaluated: dict[str, Json] = {"patternProperties": {"^(a+)+$": False}, "unevaluatedProperties": False}

    assert SchemaCheck(schema).problems({"a" * 60 + "!": 1}) == []
    assert SchemaCheck(unevaluated).problems({"a" * 60 + "!": 1}) == []


def test_an_older_schema_is_read_by_its_own_rules() -> None:
    pair: dict[str, Json] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"text": {"type": "string"}},
        "items": [{"$ref": "#/definitions/text"}],
    }

    assert SchemaCheck(pair).problems(["a", 1]) == []
    assert SchemaCheck(pair).problems([1]) == ["[0]: 1 is not of type 'string'"]


def nested(levels: int) -> dict[str, Json]:
    schema: dict[str, Json] = json.loads('{"not":' * levels + "{}" + "}" * levels)
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "strin"}, "not valid: type"),
        ({"minLength": -1}, "not valid: minLength"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$ref": "#/allOf/x", "allOf": [{}]}, "leads nowhere"),
        ({"$ref": "#/required", "required": ["a"]}, "leads nowhere"),
        ({"$ref": "#name", "$anchor": "name"}, "same schema"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "same schema"),
        ({"$ref": "file:///etc/passwd"}, "same schema"),
        ({"properties": {"a": {"$dynamicRef": "other.json"}}}, "same schema"),
        ({"properties": {"a": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}}, "top"),
        ({"$defs": {"a": {"$id": "https://example.com/a"}}}, "top"),
        ({"description": "x" * 70_000}, "70018 bytes"),
        ({"allOf": [{}] * 1_000}, "1001 parts"),
        ({"allOf": [True] * 12_000}, "12001 parts"),
        (nested(40), "deeper than 32"),
        ({"default": object()}, "no JSON"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_a_reason(schema: dict[str, Json], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SchemaCheck(schema)


def test_no_schema_makes_the_server_ask_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        schemas: list[dict[str, Json]] = [
            {"$ref": url},
            {"$id": url, "$ref": "#/$defs/a", "$defs": {"a": {"$ref": f"{url}#/x"}}},
        ]
        for schema in schemas:
            with pytest.raises(ValueError, match="same schema"):
                SchemaCheck(schema)
        assert SchemaCheck({"$id": url, "$schema": url, "type": "string"}).problems("a") == []

        with pytest.raises(BlockingIOError):
            listener.accept()


def doubling(levels: int) -> dict[str, Json]:
    """Each part asks the next one twice."""
    parts: dict[str, Json] = {
        f"a{level}": {"allOf": [{"$ref": f"#/$defs/a{level + 1}"}, {"$ref": f"#/$defs/a{level + 1}"}]}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**parts, f"a{levels}": True}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#"}, {}),
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {}),
        ({"$ref": "#/properties", "properties": {"$schema": {}}}, {}),
        (doubling(60), 1),
        ({"anyOf": [{"type": "string"}] * 900}, {f"k{n}": "x" * 100 for n in range(1_000)}),
        ({"items": {"not": {"enum": list(range(3_000))}}}, list(range(10_000, 20_000))),
    ],
)
def test_a_schema_that_would_never_end_is_given_up(schema: dict[str, Json], value: Json) -> None:
    (problem,) = SchemaCheck(schema).problems(value)

    assert "cannot be checked" in problem or "too much to check" in problem


def test_a_large_honest_value_is_checked() -> None:
    point: Json = {"count": 1}
    numbers: Json = [{"n": n} for n in range(20_000)]

    assert SchemaCheck(ORDER).problems({"items": [point] * 5_000}) == []
    assert SchemaCheck({"uniqueItems": True}).problems(numbers) == []
    assert SchemaCheck({"uniqueItems": True}).problems([{"a": 1}, {"a": 1}]) != []
