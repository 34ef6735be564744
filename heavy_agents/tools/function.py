"""A Python function as a tool: its hints are the schema, its docstring is what the model reads.

Arguments are taken strictly: nothing is converted that JSON can say, and an unknown name is a mistake. What
JSON cannot say, such as a date, is read from its text.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema, to_jsonable_python

from foundation.errors import Json
from heavy_agents.tools.docstring import read_docstring
from heavy_agents.tools.tool import BadArguments, Call

__all__ = ["FunctionTool", "function_tool"]

MOST_MISTAKES: Final = 20
MAX_NAME_CHARS: Final = 80


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """Made by `function_tool`."""

    name: str
    description: str
    parameters: dict[str, Json]
    _function: Callable[..., object]
    _arguments: type[BaseModel]
    _call_name: str | None  # the parameter that gets the `Call`

    async def call(self, arguments: dict[str, Json], call: Call) -> Json:
        named = self._read(arguments)
        if self._call_name is not None:
            named[self._call_name] = call
        result: Json = to_jsonable_python(await self._run(named))
        return result

    def _read(self, arguments: dict[str, Json]) -> dict[str, object]:
        try:
            # As JSON, so that strictness means what it means there: a date is a text, a tuple a list.
            read = self._arguments.model_validate_json(orjson.dumps(arguments), strict=True)
        except ValidationError as error:
            raise BadArguments(self._mistakes(error)) from None
        # Those left out keep the function's own defaults.
        fields = type(read).model_fields
        return {str(fields[own].alias): getattr(read, own) for own in read.model_fields_set}

    async def _run(self, named: dict[str, object]) -> object:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**named)
        result = await asyncio.to_thread(self._function, **named)
        return await result if isinstance(result, Awaitable) else result

    def _mistakes(self, error: ValidationError) -> str:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [self._mistake(each) for each in found[:MOST_MISTAKES]]
        if len(found) > MOST_MISTAKES:
            lines.append(f"and {len(found) - MOST_MISTAKES} more")
        return "; ".join(lines)

    def _mistake(self, error: ErrorDetails) -> str:
        steps = (
            f"[{step}]" if isinstance(step, int) else f".{step[:MAX_NAME_CHARS]}" for step in error["loc"]
        )
        path = "".join(steps).removeprefix(".")
        match error["type"]:
            case "extra_forbidden" if len(error["loc"]) == 1:
                names = ", ".join(str(field.alias) for field in self._arguments.model_fields.values())
                return f"{path}: there is no such argument; there are: {names or 'none'}"
            case "missing":
                return f"{path}: is missing"
            case _:
                return f"{path}: {error['msg']}"


def function_tool(function: Callable[..., object]) -> FunctionTool:
    """A tool under the function's own name.

    The text of the docstring is the description, its `Args:` describe the parameters. A parameter annotated
    `Call` is handed in and the model does not know of it. A function that is not async runs in a thread.

    Raises:
        TypeError: a parameter has no annotation, or cannot be given by name.
    """
    name = getattr(function, "__name__", type(function).__name__)
    docstring = read_docstring(inspect.getdoc(function))
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    call_name = next((each.name for each in parameters if hints.get(each.name) is Call), None)
    fields = {
        # Names of our own: a parameter may be called like a method of the model.
        f"argument_{place}": (
            _hint(hints, parameter, of=name),
            _field(parameter, docstring.parameters.get(parameter.name)),
        )
        for place, parameter in enumerate(parameters)
        if parameter.name != call_name
    }
    # Any: the fields of a model made at run time have no types to check.
    made: dict[str, Any] = dict(fields)
    arguments = create_model("Arguments", __config__=ConfigDict(extra="forbid", strict=True), **made)
    schema = arguments.model_json_schema(schema_generator=_Plain)
    return FunctionTool(name, docstring.text, schema, function, arguments, call_name)


def _hint(hints: dict[str, Any], parameter: inspect.Parameter, *, of: str) -> object:
    if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
        raise TypeError(f"{of}: a tool's parameters are given by name, and {parameter.name} cannot be")
    if parameter.name not in hints:
        raise TypeError(f"{of}: the parameter {parameter.name} needs a type")
    return hints[parameter.name]


def _field(parameter: inspect.Parameter, says: str | None) -> FieldInfo:
    default = ... if parameter.default is parameter.empty else parameter.default
    made: FieldInfo = Field(default, alias=parameter.name, description=says)
    return made


class _Plain(GenerateJsonSchema):
    """Without titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def generate(
        self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation"
    ) -> JsonSchemaValue:
        made = _untitled(super().generate(schema, mode))
        if "$defs" in made:
            made["$defs"] = {name: _untitled(each) for name, each in made["$defs"].items()}
        return made


def _untitled(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {name: each for name, each in schema.items() if name != "title"}
