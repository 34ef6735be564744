"""Jobs for tests of the process pool: well-behaved, failing, and hostile ones.

Each is `(arguments, report) -> result`, run inside a worker process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

# Not at run time: a worker process is light as long as its jobs are.
if TYPE_CHECKING:
    from foundation.errors import Json
    from foundation.workers import Report

    Arguments = dict[str, Json]

__all__ = [
    "crash",
    "eat_memory",
    "echo",
    "exit_abruptly",
    "fail",
    "hang",
    "hang_with_children",
    "leave_a_file",
    "print_much",
    "report_steps",
    "return_much",
    "return_no_json",
    "say",
    "take_memory",
    "where_am_i",
]


def echo(arguments: Arguments, report: Report) -> Json:
    return arguments


def where_am_i(arguments: Arguments, report: Report) -> Json:
    return {"pid": os.getpid(), "environment": dict(os.environ), "stdin": sys.stdin.read()}


def report_steps(arguments: Arguments, report: Report) -> Json:
    steps = int(str(arguments["steps"]))
    for step in range(steps):
        report((step + 1) / steps, f"step {step + 1}")
    return {"steps": steps}


def fail(arguments: Arguments, report: Report) -> Json:
    raise LookupError(str(arguments["text"]))


def return_no_json(arguments: Arguments, report: Report) -> object:
    return {"a set": {1, 2}}


def return_much(arguments: Arguments, report: Report) -> Json:
    return "x" * int(str(arguments["bytes"]))


def say(arguments: Arguments, report: Report) -> Json:
    sys.stdout.write(str(arguments["text"]) + "\n")
    subprocess.run(["/bin/echo", "a child speaks"], check=True)
    return None


def print_much(arguments: Arguments, report: Report) -> Json:
    line = "all work and no play makes a dull log\n" * 1_000
    for _ in range(int(str(arguments["bytes"])) // len(line)):
        sys.stdout.write(line)
    return {"printed": True}


def exit_abruptly(arguments: Arguments, report: Report) -> Json:
    os.write(2, b"last words\n")
    os._exit(203)


def crash(arguments: Arguments, report: Report) -> Json:
    return ctypes.string_at(0).decode()


def eat_memory(arguments: Arguments, report: Report) -> Json:
    eaten: list[bytearray] = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


def take_memory(arguments: Arguments, report: Report) -> Json:
    return len(bytearray(int(str(arguments["bytes"]))))


def hang(arguments: Arguments, report: Report) -> Json:
    report(0.0, str(os.getpid()))
    while True:
        time.sleep(1)


def hang_with_children(arguments: Arguments, report: Report) -> Json:
    """Starts one process in its own group and one that left it, and says who they are."""
    loyal = subprocess.Popen(["/bin/sleep", "300"])
    escaped = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True)
    report(0.0, f"{os.getpid()} {loyal.pid} {escaped.pid}")
    while True:
        time.sleep(1)


def leave_a_file(arguments: Arguments, report: Report) -> Json:
    """Leaves a temporary file and hangs."""
    import tempfile

    handle, path = tempfile.mkstemp()
    os.close(handle)
    report(0.0, str(Path(path)))
    while True:
        time.sleep(1)
