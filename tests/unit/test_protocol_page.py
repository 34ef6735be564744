"""That the page about the wire says what the code does: its events, its errors, the words of a socket."""

from __future__ import annotations

import re
from pathlib import Path

from foundation import errors
from foundation.errors import HeavyError
from foundation.settings import Settings
from routing.outcomes import OTHERWISE, STATUS_BY_CODE
from routing.readers import MAX_A_USER
from routing.socket.farewell import RESTARTING, farewell
from routing.socket.inbound import MODELS
from routing.socket.protocol import MESSAGE_BYTES, TOO_SLOW, SocketProtocol
from routing.socket.subscriptions import MAX_A_SOCKET
from routing.stream import Tempo
from routing.wire import MESSAGES

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:1] == "|"
]
TOO_BIG = 1009  # the protocol's own
CODE = re.compile(r"`([a-z_]+)`")


def test_every_event_is_listed_with_its_names_and_fields() -> None:
    listed = {
        log.strip("`"): (stream.strip("`"), socket.strip("`"), tuple(re.findall(r"`(\w+)`", fields)))
        for log, stream, socket, fields in (row for row in ROWS if len(row) == 4 and row[0][:1] == "`")
    }

    assert listed == dict(MESSAGES)


def test_every_error_is_listed_with_its_status() -> None:
    listed = [
        (int(row[0]), *CODE.findall(row[1]))
        for row in ROWS
        if len(row) == 3 and row[0].isdecimal() and row[1][:1] == "`"
    ]

    assert listed == sorted(listed, key=lambda row: row[0])
    assert sorted(listed) == sorted({(each.status, each.code) for each in leaves()})


def test_every_code_a_run_may_end_with_is_listed_with_its_status() -> None:
    listed = {code: int(status) for code, status in re.findall(r"`([a-z_]+)` \((\d{3})\)", PAGE)}

    assert listed == {code: STATUS_BY_CODE.get(code, OTHERWISE) for code in listed}
    assert {"agent_error", "poison", "cancelled", "credit_exhausted"} <= listed.keys()


def test_every_message_a_client_may_send_is_listed() -> None:
    listed = {match[1] for row in ROWS if (match := re.match(r"`(\w+) \{", row[0])) and len(row) == 2}

    assert MODELS.keys() <= listed


def test_every_close_code_is_listed() -> None:
    listed = {int(row[0]) for row in ROWS if len(row) == 2 and row[0].isdecimal()}
    statuses = {each.status for each in leaves()}

    ours = {farewell(type("Refused", (HeavyError,), {"status": each})("no")).code for each in statuses}

    assert ours | {RESTARTING, TOO_SLOW, TOO_BIG} == listed


def test_the_times_and_limits_of_what_lasts_are_those_that_are_told() -> None:
    sockets = Settings.model_fields["sockets_per_user"].default
    told = [
        f"A comment breaks every silence of {Tempo().ping_s:g} s",
        f"After {Tempo().life_s / 60:g} minutes",
        f"a message over {MESSAGE_BYTES // 1024} kB",
        f"`SOCKETS_PER_USER` sockets open ({sockets}) and {MAX_A_USER} streams",
        f"a socket may follow {MAX_A_SOCKET} runs",
        f"The server pings every {SocketProtocol.ping_s:g} s",
    ]

    assert [sentence for sentence in told if sentence not in PAGE] == []


def leaves() -> set[type[HeavyError]]:
    public = (getattr(errors, name) for name in errors.__all__)
    return {each for each in public if isinstance(each, type) and issubclass(each, HeavyError)}
