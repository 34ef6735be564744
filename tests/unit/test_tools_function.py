from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field

from foundation.errors import Json
from heavy_agents.credits import Usage
from heavy_agents.tools import BadArguments, Call, Tool, function_tool


def a_call(key: str = "run:1") -> Call:
    return Call(key=key, spend=lambda _: None)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Place:
    title: str
    floor: int = 0


async def book(
    json: str,
    nights: Annotated[int, Field(ge=1, le=30)],
    *,
    colour: Colour = Colour.RED,
    price: float | None = None,
    call: Call,
) -> Json:
    """Book a room.

    It is held for
    an hour.

    Args:
        json: who the room is for
        nights (int): how many nights,
            at least one
        colour, price: what matters: the colour

    Returns:
        nights: not a parameter
    """
    call.spend(Usage(tool_calls=1))
    return {"for": json, "nights": nights, "colour": colour.value, "price": price, "key": call.key}


def test_hints_and_docstring_make_the_description_and_a_plain_schema() -> None:
    tool: Tool = function_tool(book)

    assert tool.name == "book"
    assert tool.description == "Book a room.\n\nIt is held for an hour."
    assert tool.parameters == {
        "type": "object",
        "additionalProperties": False,
        "$defs": {"Colour": {"enum": ["red", "blue"], "type": "string"}},
        "properties": {
            "json": {"type": "string", "description": "who the room is for"},
            "nights": {
                "type": "integer",
                "minimum": 1,
                "maximum": 30,
                "description": "how many nights, at least one",
            },
            "colour": {
                "$ref": "#/$defs/Colour",
                "default": "red",
                "description": "what matters: the colour",
            },
            "price": {
                "anyOf": [{"type": "number"}, {"type": "null"}],
                "default": None,
                "description": "what matters: the colour",
            },
        },
        "required": ["json", "nights"],
    }


async def test_the_function_gets_its_arguments_and_the_call() -> None:
    spent: list[Usage] = []

    result = await function_tool(book).call(
        {"json": "Ada", "nights": 2, "colour": "blue"}, Call(key="run:7", spend=spent.append)
    )

    assert result == {"for": "Ada", "nights": 2, "colour": "blue", "price": None, "key": "run:7"}
    assert spent == [Usage(tool_calls=1)]


async def test_every_wrong_argument_is_named() -> None:
    wrong: dict[str, Json] = {"nights": "5", "colour": "green", "call": {}, "other": 1}

    with pytest.raises(BadArguments) as refused:
        await function_tool(book).call(wrong, a_call())

    mistakes = refused.value.message.split("; ")
    assert mistakes[0] == "json: is missing"
    assert mistakes[1].startswith("nights: Input should be a valid integer")
    assert mistakes[2].startswith("colour: Input should be 'red' or 'blue'")
    assert any(each.startswith("call: there is no such argument") for each in mistakes)
    assert refused.value.message.endswith("there are: json, nights, colour, price")


@pytest.mark.parametrize("nights", ["5", 5.5, True, None, [5], 0, 31])
async def test_nothing_is_converted(nights: Json) -> None:
    with pytest.raises(BadArguments, match="nights"):
        await function_tool(book).call({"json": "Ada", "nights": nights}, a_call())


async def test_a_thousand_mistakes_are_not_all_told() -> None:
    def count(numbers: list[int]) -> int:
        return len(numbers)

    numbers: list[Json] = ["x"] * 1_000
    with pytest.raises(BadArguments) as refused:
        await function_tool(count).call({"numbers": numbers}, a_call())

    assert "numbers[0]: " in refused.value.message
    assert refused.value.message.endswith("and 980 more")


async def test_what_json_cannot_say_is_read_from_its_text() -> None:
    def wait(day: date, how: Literal["a", "b"], pair: tuple[int, int]) -> Json:
        return [day.isoformat(), how, sum(pair)]

    result = await function_tool(wait).call({"day": "2024-02-29", "how": "a", "pair": [1, 2]}, a_call())

    assert result == ["2024-02-29", "a", 3]


async def test_a_plain_function_runs_beside_the_event_loop() -> None:
    def where() -> int:
        return threading.get_ident()

    assert await function_tool(where).call({}, a_call()) != threading.get_ident()


async def test_an_async_function_runs_on_the_event_loop() -> None:
    async def where() -> bool:
        return asyncio.get_running_loop().is_running()

    assert await function_tool(where).call({}, a_call()) is True


async def test_a_result_becomes_json() -> None:
    def place() -> Place:
        return Place("cellar", -1)

    assert await function_tool(place).call({}, a_call()) == {"title": "cellar", "floor": -1}


def test_a_parameter_called_title_keeps_its_place_in_the_schema() -> None:
    def write(title: str, places: list[Literal["title"]] | None = None) -> None:
        """Write."""

    properties = function_tool(write).parameters["properties"]

    assert isinstance(properties, dict)
    assert properties["title"] == {"type": "string"}


def test_a_parameter_without_a_type_or_a_name_is_refused() -> None:
    def untyped(a):  # type: ignore[no-untyped-def]  # what is refused
        pass

    def many(*all_of_them: int) -> None:
        pass

    with pytest.raises(TypeError, match="the parameter a needs a type"):
        function_tool(untyped)
    with pytest.raises(TypeError, match="given by name"):
        function_tool(many)
