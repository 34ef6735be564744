"""A log line is one JSON object on stdout, whoever wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = """
import asyncio, logging, sys, warnings
import structlog
from foundation.telemetry import bind, configure
log = structlog.get_logger("room")
"""


def lines_of(program: str) -> list[dict[str, object]]:
    """What `program` logs, in a process of its own because logging is configured once a process."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == b""
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_a_line_says_when_how_bad_who_and_what() -> None:
    [line] = lines_of('configure("info"); log.info("run_ended", seconds=1.5)')

    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "run_ended", "level": "info", "logger": "room", "seconds": 1.5}


def test_a_line_below_the_level_is_not_written() -> None:
    lines = lines_of('configure("warning"); log.info("quiet"); logging.info("quiet"); log.error("loud")')

    assert [line["event"] for line in lines] == ["loud"]


def test_configuring_again_changes_loggers_that_are_in_use() -> None:
    lines = lines_of('configure("error"); log.info("a"); configure("info"); log.info("b"); logging.info("c")')

    assert [line["event"] for line in lines] == ["b", "c"]


def test_a_line_inside_a_recorded_trace_names_it_and_no_other_does() -> None:
    lines = lines_of("""
configure("info")
with bind(trace_id="t1"):
    log.info("inside")
with bind(request_id="q1", trace_id=None):
    log.info("unrecorded")
""")

    assert [line.get("trace_id") for line in lines] == ["t1", None]


def test_the_request_and_the_run_are_in_every_line_inside_and_none_outside() -> None:
    lines = lines_of("""
configure("info")
async def main():
    with bind(request_id="q1", run_id="r1"):
        task = asyncio.create_task(work())
        with bind(run_id="r2"):
            log.info("inner")
        await task
    log.info("outside")
async def work():
    logging.getLogger("library").warning("in a task")
asyncio.run(main())
""")

    names = [(line["event"], line.get("request_id"), line.get("run_id")) for line in lines]
    assert names == [("inner", "q1", "r2"), ("in a task", "q1", "r1"), ("outside", None, None)]


def test_lines_of_libraries_take_the_same_way() -> None:
    lines = lines_of("""
logging.basicConfig()
server = logging.getLogger("uvicorn.access")
server.addHandler(logging.StreamHandler())
server.propagate = False
configure("info")
server.info('%s - "GET /ws?token=%s" %d', "1.2.3.4", "canary", 101)
logging.getLogger("odd").log(35, "between")
logging.getLogger("broken").warning("%d", "no number")
logging.getLogger("httpx").info("talkative")
warnings.warn("old", DeprecationWarning)
""")

    assert [line["logger"] for line in lines] == ["uvicorn.access", "odd", "broken", "py.warnings"]
    assert lines[0]["event"] == '1.2.3.4 - "GET /ws?token=[redacted]" 101'


def test_what_http_libraries_are_told_is_not_quoted_even_when_debugging() -> None:
    lines = lines_of("""
configure("debug")
logging.getLogger("httpcore2.http11").debug("return_value=%r", [(b"www-authenticate", b"canary")])
logging.getLogger("httpx2").info("HTTP Request: GET https://a.example/?q=canary")
logging.getLogger("httpcore2.connection").warning("cannot connect")
logging.getLogger("library").debug("other")
""")

    assert [line["event"] for line in lines] == ["cannot connect", "other"]


def test_an_exception_is_one_line_without_its_secrets() -> None:
    lines = lines_of("""
configure("info", secrets=["own-canary-value"])
try:
    raise RuntimeError("postgresql://u:canary@h/d", {"password": "canary"}, "own-canary-value")
except RuntimeError:
    log.exception("failed", headers={"authorization": "canary"})
    logging.getLogger("library").exception("failed too")
""")

    assert len(lines) == 2
    assert "RuntimeError" in str(lines[0]["exception"])
    assert "RuntimeError" in str(lines[1]["exception"])
    assert "canary@" not in str(lines)
    assert "'canary'" not in str(lines)
    assert "own-canary-value" not in str(lines)


@pytest.mark.parametrize(
    "value", ["'\\ud800'", "2**70", "object()", "{1: {2}}", "b'x'", "float('nan')", "deep"]
)
def test_any_value_makes_a_line(value: str) -> None:
    lines = lines_of(f"""
configure("info")
deep = []
for _ in range(2000): deep = [deep]
log.info("odd", value={value})
""")

    assert [line["event"] for line in lines] == ["odd"]


def test_a_closed_stdout_does_not_fail_the_caller() -> None:
    assert lines_of('configure("info"); sys.stdout.close(); log.info("lost"); sys.stdout = None') == []
