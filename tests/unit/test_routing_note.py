"""How loudly a refusal is logged: what is our own fault at `error`, because that line is its report."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from foundation.errors import DatabaseUnavailable, HeavyError, InternalError, NotFound
from routing.problems import problem_of


@pytest.mark.parametrize(
    ("error", "levels"),
    [
        (InternalError("something went wrong on our side"), ["error"]),
        (DatabaseUnavailable("the database does not answer"), ["warning"]),
        (NotFound("there is nothing at this path"), []),
    ],
)
def test_a_refusal_is_as_loud_as_it_is_ours(error: HeavyError, levels: list[str]) -> None:
    with capture_logs() as lines:
        problem_of({"type": "http"}, error)

    assert [line["log_level"] for line in lines] == levels
