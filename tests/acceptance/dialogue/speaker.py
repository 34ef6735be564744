"""Plays a dialogue with the package `websockets`: the dialogue on stdin, what is heard in lines of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.typing import Subprotocol

__all__: list[str] = []


def main() -> None:
    # Any: the dialogue, see `tests.acceptance.dialogue.play`.
    dialogue: dict[str, Any] = json.load(sys.stdin)
    protocols = [Subprotocol(each) for each in dialogue["protocols"]] or None
    with connect(dialogue["url"], subprotocols=protocols, proxy=None) as connection:
        report(opened=connection.subprotocol or "")
        run_id = ""
        try:
            for verb, argument in dialogue["steps"]:
                if verb == "until":
                    run_id = hear_until(connection, argument) or run_id
                elif verb == "say":
                    words = argument if isinstance(argument, str) else json.dumps(argument)
                    connection.send(words.replace("$runId", run_id))
                elif verb == "ping":
                    assert connection.ping(argument).wait(timeout=10)
                    report(pong=argument)
                elif verb == "close":
                    connection.close(argument)
            hear_until(connection, None)
        except ConnectionClosed as ended:
            close = ended.rcvd
            report(closed=1006 if close is None else close.code, reason="" if close is None else close.reason)


def hear_until(connection: Connection, type_: str | None) -> str:
    """The id of the run that has started meanwhile, or nothing."""
    run_id = ""
    while True:
        message = json.loads(connection.recv())
        report(heard=message)
        if message["type"] == "agent_execution_started":
            run_id = message["runId"]
        if message["type"] == type_:
            return run_id


def report(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
