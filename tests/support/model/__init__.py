"""A scripted model provider for tests: a real HTTP server that answers, and fails, as it is told."""

from tests.support.model.log import Asked, CallLog, read_log
from tests.support.model.process import ModelProcess
from tests.support.model.script import Call, Fault, Reply, Rule, When
from tests.support.model.server import ModelServer, serve_model

__all__ = [
    "Asked",
    "Call",
    "CallLog",
    "Fault",
    "ModelProcess",
    "ModelServer",
    "Reply",
    "Rule",
    "When",
    "read_log",
    "serve_model",
]
