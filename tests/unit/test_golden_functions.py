"""What an agent's functions are: every case of the table that both languages read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from heavy_agents.edge.api_request import ApiRequest, request_of
from heavy_agents.edge.functions import fire, read_functions

# Any: JSON documents of the table.
Document = dict[str, Any]

TABLE: Document = orjson.loads((Path(__file__).parents[1] / "golden" / "functions.json").read_bytes())


@pytest.mark.parametrize("case", TABLE["firing"], ids=lambda case: case["name"])
def test_functions_fire_as_the_table_says(case: Document) -> None:
    fired = fire(read_functions(case["functions"]), case["message"])

    assert {"called": [each.name for each in fired.called], "reply": fired.reply} == case["expected"]


@pytest.mark.parametrize("case", TABLE["requests"], ids=lambda case: case["name"])
def test_an_api_call_sends_what_the_table_says(case: Document) -> None:
    request = request_of(case["config"])

    assert told(request) == case["expected"]


def told(request: ApiRequest | None) -> Document | None:
    if request is None:
        return None
    body = None if request.body is None else request.body.decode()
    return {"method": request.method, "headers": dict(request.headers), "body": body}
