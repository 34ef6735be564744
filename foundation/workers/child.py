"""What runs inside a job's process: a keeper that ends everything, and a worker that does the jobs.

    server ──── lifeline, requests (fd 0) ──► keeper ── fork ──► worker ──► whatever a job starts
           ◄─── answers (fd 1) ──────────────────────────────────┘│
           ◄─── output of jobs (fd 2) ────────────────────────────┘

The keeper waits for one of two things: the lifeline closes (the server wants an end, or is gone, however it
went), or the worker dies. Then it kills the worker's process group and every orphan it adopted, removes
their scratch folder and exits with the worker's status. Should the keeper itself be killed, the kernel kills
the worker.

This file is run by its path in a fresh interpreter, so that it imports neither the server nor its libraries:
a child costs 10 MB until its first job. Linux only: prctl, pidfd, /proc.

A frame is a four-byte big-endian length and that many bytes of JSON. To the worker: `{target, arguments}`, or
`{target}` alone to import it. From it: any number of `{progress: [fraction, note]}`, then one of `{result}`,
`{error: {type, message, trace}}` and `{exhausted: true}` (out of memory; the worker ends itself).
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

__all__ = ["HEADER", "RESULT_LIMIT_BYTES", "Report", "frame"]

HEADER = struct.Struct(">I")
RESULT_LIMIT_BYTES = 32 * 1024 * 1024
TRACE_LIMIT = 8_000

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LIFELINE = 0
# Room in the address space, above the memory limit, for code and mapped files.
MAPPED_BYTES = 4 * 1024**3

Report = Callable[[float, str], None]
Job = Callable[[object, Report], object]


def main(memory_mb: int) -> NoReturn:
    os.setsid()
    # What an ended job leaves behind would fill the disk: nobody else knows its temporary files.
    scratch = tempfile.mkdtemp(prefix="switchyard-job-")
    _control(PR_SET_CHILD_SUBREAPER, 1)
    keeper = os.getpid()
    worker = os.fork()
    if worker == 0:
        _work(keeper, scratch=scratch, memory_mb=memory_mb)
    # Both sides do it, so that it is done before either goes on.
    with suppress(OSError):
        os.setpgid(worker, worker)
    _wait_for_an_end(worker)
    status = _end_everything(worker)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(status if status >= 0 else 128 - status)


def frame(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


def _wait_for_an_end(worker: int) -> None:
    poll = select.poll()
    poll.register(LIFELINE, 0)  # a hang-up is reported without asking; data is the worker's business
    poll.register(os.pidfd_open(worker), select.POLLIN)
    poll.poll()


def _end_everything(worker: int) -> int:
    """Kill the worker's group, then what escaped from it; the worker's exit code, negative for a signal."""
    with suppress(ProcessLookupError):
        os.killpg(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    # Orphans come to the nearest subreaper, which is this process; killing one may bring its own children.
    while orphans := _children():
        for orphan in orphans:
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        os.waitpid(-1, 0)
    return os.waitstatus_to_exitcode(status)


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except FileNotFoundError:  # a kernel built without CONFIG_PROC_CHILDREN: the group has to do
        return []


def _work(keeper: int, *, scratch: str, memory_mb: int) -> NoReturn:
    os.setpgid(0, 0)
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:  # it died before the line above
        os._exit(1)
    _limit(memory_mb)
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # A job may print what it likes: its output goes to the capture, its input is empty.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    while (request := _read(requests)) is not None:
        answer, go_on = _answer(request, answers)
        _flush_output()
        answers.write(answer)
        answers.flush()
        if not go_on:
            break
    os._exit(0)


def _limit(memory_mb: int) -> None:
    """Bound the memory of this process and of each one it starts; let the server go first in everything.

    RLIMIT_DATA counts what is written to (heap, private maps), so code and reserved address space of large
    libraries do not eat the limit; RLIMIT_AS above it bounds shared maps, which RLIMIT_DATA does not see.
    """
    limit_bytes = memory_mb * 1024 * 1024
    _set_limit(resource.RLIMIT_DATA, limit_bytes)
    _set_limit(resource.RLIMIT_AS, limit_bytes + MAPPED_BYTES)
    _set_limit(resource.RLIMIT_CORE, 0)
    os.nice(10)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _set_limit(which: int, wanted: int) -> None:
    _, hard = resource.getrlimit(which)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (limit, limit))


def _read(requests: BinaryIO) -> dict[str, object] | None:
    """The next request; None when the server hung up."""
    header = requests.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    body = requests.read(HEADER.unpack(header)[0])
    request: dict[str, object] = json.loads(body)
    return request


def _answer(request: dict[str, object], answers: BinaryIO) -> tuple[bytes, bool]:
    """The last frame of a job, and whether this process is fit for another."""

    def report(fraction: float, note: str) -> None:
        answers.write(_pack({"progress": [float(fraction), str(note)]}))
        answers.flush()

    try:
        job = _resolve(str(request["target"]))
        if "arguments" not in request:
            return _pack({"result": None}), True
        answer = _pack_result(job(request["arguments"], report))
    except MemoryError:
        return _pack({"exhausted": True}), False
    # Whatever a job raises, even SystemExit, is its answer.
    except BaseException as error:
        return _pack({"error": _describe(error)}), True
    return answer, True


def _pack_result(result: object) -> bytes:
    answer = _pack({"result": result})
    if len(answer) > RESULT_LIMIT_BYTES:
        raise ValueError(f"the result has {len(answer)} bytes, more than the {RESULT_LIMIT_BYTES} taken")
    return answer


def _pack(message: object) -> bytes:
    """One frame.

    Raises:
        TypeError, ValueError: `message` is not JSON; NaN and infinities are not.
    """
    # Not orjson: it reserves eight times a long text and, out of memory, ends in a segmentation fault.
    return frame(json.dumps(message, ensure_ascii=False, allow_nan=False).encode())


def _resolve(target: str) -> Job:
    module, _, function = target.partition(":")
    job: Job = getattr(importlib.import_module(module), function)
    return job


def _describe(error: BaseException) -> dict[str, str]:
    trace = "".join(traceback.format_exception(error))[-TRACE_LIMIT:]
    return {"type": type(error).__name__, "message": _clean(str(error)[:TRACE_LIMIT]), "trace": _clean(trace)}


def _clean(text: str) -> str:
    """Without lone surrogates, which JSON in UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()


def _flush_output() -> None:
    # A job may have closed or replaced them.
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(Exception):
        sys.stderr.flush()


def _control(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    main(int(sys.argv[1]))
