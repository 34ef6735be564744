"""What the command line asks for, checked before a server is: mistakes in it cost no round trip."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import orjson

from commands.run.refused import Refused
from commands.run.words import one_line

__all__ = ["Wanted", "check", "key_of", "order_of", "read_value"]

MAX_KEY_CHARS: Final = 255
# Any: a JSON object of the caller's own.
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options as they were given; `program` is how this command line was called."""

    program: str
    agent: str | None = None
    message: str | None = None
    input: str | None = None
    conversation: UUID | None = None
    key: str | None = None
    resume: UUID | None = None
    after: int | None = None
    cancel: UUID | None = None
    url: str | None = None
    token: str | None = None
    quiet: bool = False
    json: bool = False


def check(wanted: Wanted) -> None:
    """
    Raises:
        Refused: options that do not go together.
    """
    starts = [wanted.agent, wanted.message, wanted.input, wanted.conversation, wanted.key]
    is_new = any(each is not None for each in starts)
    if wanted.resume is not None and wanted.cancel is not None:
        raise Refused(["--resume and --cancel are two things; give one of them"])
    if is_new and (wanted.resume is not None or wanted.cancel is not None):
        raise Refused(["--resume and --cancel name a run that exists; leave out what begins a new one"])
    if wanted.after is not None and wanted.resume is None:
        raise Refused(["--after says where to --resume a run; give both"])
    if wanted.quiet and wanted.json:
        raise Refused(["--quiet and --json are two shapes of the output; give one of them"])
    if wanted.key is not None and not _is_key(wanted.key):
        raise Refused([f"--key wants 1 to {MAX_KEY_CHARS} printable ASCII characters"])
    if wanted.input == "@-" and wanted.message == "-":
        raise Refused(["only one of the message and --input can be read from standard input"])


def order_of(wanted: Wanted, agent_id: str) -> JsonObject:
    """The body of the submit.

    Raises:
        Refused: the input is no JSON object, or a file cannot be read.
    """
    text = read_value("@-") if wanted.message == "-" else wanted.message
    body: JsonObject = {
        "agentId": agent_id,
        "messages": [] if text is None else [{"role": "user", "content": text}],
        "input": {} if wanted.input is None else _json_object(read_value(wanted.input)),
    }
    return body if wanted.conversation is None else {**body, "conversationId": str(wanted.conversation)}


def key_of(wanted: Wanted) -> str:
    """The key under which the submit is repeated."""
    return wanted.key or f"run-{uuid4()}"


def read_value(value: str) -> str:
    """`value` itself, or what is in the file of `@file`; `@-` is standard input.

    Raises:
        Refused: the file cannot be read.
    """
    if not value.startswith("@"):
        return value
    try:
        if value == "@-":
            return sys.stdin.buffer.read().decode()
        return Path(value[1:]).expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused([f"{one_line(value[1:])} is not UTF-8 text"]) from error
    except OSError as error:
        raise Refused([f"{one_line(value[1:])} cannot be read: {error.strerror}"]) from error


def _json_object(text: str) -> JsonObject:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused([f"--input is no JSON: {error}"]) from error
    if not isinstance(value, dict):
        raise Refused(['--input wants a JSON object, {"name": value}'])
    return value


def _is_key(key: str) -> bool:
    return 0 < len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable() and key.strip() != ""
