"""Railway's own command line: asked for JSON, told to change things, never left to ask back.

Its stdin and stdout are never a terminal here, because it asks questions only at one. A secret goes in by
stdin: the arguments of a process can be read by everybody on the machine.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["LEAST_MAJOR", "Railway", "Stopped"]

PROGRAM = "railway"
LEAST_MAJOR = 5
GET_IT = "npm install -g @railway/cli"
LIMIT_S = 600


class Stopped(Exception):
    """It cannot go on; the text says at which step and why."""


class Railway:
    """
    Attributes:
        secrets: what must not be printed, whatever the command line says.
    """

    def __init__(self) -> None:
        self.secrets: set[str] = set()

    def check(self) -> str:
        """Who is logged in.

        Raises:
            Stopped: it is not there, too old, or nobody is.
        """
        if shutil.which(PROGRAM) is None:
            raise Stopped(f"Railway's command line is not installed. Get it: {GET_IT}")
        version = self._run(["--version"]).stdout
        found = re.search(r"(\d+)\.\d+\.\d+", version)
        if found is None or int(found[1]) < LEAST_MAJOR:
            said = version.strip() or "of no known version"
            raise Stopped(f"Railway's command line is {said}; {LEAST_MAJOR} is needed. Get it: {GET_IT}")
        answer = self._run(["whoami", "--json"])
        if answer.returncode != 0:
            raise Stopped(
                "nobody is logged in to Railway. Run `railway login`, or set RAILWAY_API_TOKEN (a"
                f" RAILWAY_TOKEN is of one project and may make none). It said: {self.masked(answer.stderr)}"
            )
        return str(_parsed(answer.stdout).get("email") or "somebody")

    # Any: JSON of another program.
    def ask(self, *arguments: str) -> Any:
        """
        Raises:
            Stopped: it did not work.
        """
        answer, told = self.try_to_ask(*arguments)
        if answer is None:
            raise Stopped(f"`railway {' '.join(arguments)}` failed: {told}")
        return answer

    # Any: as above.
    def try_to_ask(self, *arguments: str) -> tuple[Any, str]:
        """The answer, or None and what it said."""
        answer = self._run(arguments)
        if answer.returncode != 0:
            return None, self.masked(answer.stderr)
        return _parsed(answer.stdout), ""

    def change(self, what: str, arguments: Sequence[str], *, said: str = "") -> None:
        """Do it.

        Raises:
            Stopped: it did not work.
        """
        answer = self._run(arguments, said=said)
        if answer.returncode != 0:
            told = self.masked(answer.stderr or answer.stdout) or f"exit code {answer.returncode}"
            raise Stopped(f"stopped at “{what}”: {told}\nWhat was done stays; run it again to go on.")

    def masked(self, text: str) -> str:
        shown = text.strip()
        for secret in sorted(self.secrets, key=len, reverse=True):
            shown = shown.replace(secret, "(a secret)")
        return shown

    def _run(self, arguments: Sequence[str], *, said: str = "") -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, *arguments]
        try:
            # Without a shell, and what is run is ours: arguments stay arguments.
            return subprocess.run(  # nosec B603
                command, input=said, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Stopped(f"`railway {arguments[0]}` did not end within {LIMIT_S} s") from error


# Any: as above.
def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Stopped("Railway's command line was asked for JSON and answered something else") from error
