"""How the API describes itself, so that clients can be generated and the description be tested.

A route says what it is by `operation`: its id, what it answers and which errors of `foundation.errors` it may
answer instead. All else follows: the shape, the example and the headers of each problem come from the error
itself (`problems`, `samples`), and what every answer carries from `headers`. `app` adds what belongs to no
single route. The description is compared with the server's behaviour in `tests/http/test_openapi*.py`.
"""

from __future__ import annotations

from routing.openapi.app import DescribedApp
from routing.openapi.operation import Answer, json_body, operation
from routing.openapi.problems import OF_BODIES, OF_CALLERS, OF_PATHS
from routing.openapi.security import API_KEY, BACKEND, METRICS, SERVICE, TOKEN, USER
from routing.openapi.text import ABOUT

__all__ = [
    "ABOUT",
    "API_KEY",
    "BACKEND",
    "METRICS",
    "OF_BODIES",
    "OF_CALLERS",
    "OF_PATHS",
    "SERVICE",
    "TOKEN",
    "USER",
    "Answer",
    "DescribedApp",
    "json_body",
    "operation",
]
