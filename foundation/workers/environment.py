"""What a job's process may know of our environment: where programs and files are, and no secret.

Pure: the caller brings the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["child_environment"]

ROOT = Path(__file__).resolve().parents[2]

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")

# The pool is the parallelism: a library that starts a thread a core would only take them from the others.
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "STAN_NUM_THREADS",
)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a job's process, made from ours."""
    return {
        **{name: environ[name] for name in PASSED_ON if name in environ},
        **dict.fromkeys(ONE_THREAD, "1"),
        # What the server was given to find code besides its own: the files of an author's kinds.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH")])),
        "PYTHONFAULTHANDLER": "1",  # a segmentation fault leaves its stack in the log
        "MPLBACKEND": "Agg",
        "MALLOC_ARENA_MAX": "2",
    }
