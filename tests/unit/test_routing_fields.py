from __future__ import annotations

import pytest

import forecast
from foundation.errors import Json
from routing.execute import EXAMPLE
from routing.fields import MAX_ERRORS, unknown_fields
from routing.models import ExecuteBody


def test_unknown_names_are_told_up_to_a_number() -> None:
    found = unknown_fields({"agentId": "x", **{f"k{number}": 1 for number in range(1000)}}, ExecuteBody)

    assert len(found) == MAX_ERRORS
    assert found[0].field == "k0"


def test_an_unknown_name_inside_a_list_has_its_path() -> None:
    stranger: Json = {"role": "user", "content": "b", "name": "c"}

    (found,) = unknown_fields({"messages": [{"role": "user", "content": "a"}, stranger, 5]}, ExecuteBody)

    assert found.field == "messages[1].name"


def test_all_names_of_the_model_are_known() -> None:
    names = [field.alias or name for name, field in ExecuteBody.model_fields.items()]

    assert unknown_fields(dict.fromkeys(names), ExecuteBody) == []


def test_the_documented_example_is_a_body_and_an_input_that_are_taken() -> None:
    body = ExecuteBody.model_validate(EXAMPLE)

    assert forecast.parse(body.input).horizon == 7


def test_a_conversation_longer_than_the_limit_is_refused() -> None:
    messages = [{"role": "user", "content": "y" * 1_100_000}] * 2

    with pytest.raises(ValueError, match="hold more than 2000000 characters together"):
        ExecuteBody.model_validate({**EXAMPLE, "messages": messages})
