"""Reading a run's events as a browser's `EventSource` would, and when each of them came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse

from scripts.verify.web import Document, Site, Unreachable, asking, whole

__all__ = ["SSE", "Event", "Reader", "Reading", "read_events"]

SSE = "text/event-stream"
# A comment breaks every silence of 15 s; two of them missing is a lost connection.
SILENT_AT_MOST_S = 35.0
ENDS = ("done", "error")
# The server's way to end a stream before its run has ended: come back to where it was.
SENT_AWAY = "reconnect"
PAUSE_S = 1.0


@dataclass(frozen=True)
class Event:
    """
    number: its `id`, as it was sent; None without one
    at_s: when it was here, by the monotonic clock
    """

    number: int | None
    message: Document
    at_s: float

    @property
    def is_end(self) -> bool:
        return self.message.get("type") in ENDS

    @property
    def is_farewell(self) -> bool:
        return self.number is None and self.message.get("type") == SENT_AWAY


@dataclass
class Reading:
    """
    status: of the answer; 0 until there is one
    trouble: why it was not read to its end, in a few words
    is_sent_away: whether the server has asked to come back
    """

    status: int = 0
    media_type: str = ""
    events: list[Event] = field(default_factory=list)
    trouble: str = ""
    is_sent_away: bool = False

    @property
    def latest(self) -> int:
        return self.events[-1].number or 0 if self.events else 0


def read_events(
    site: Site, path: str, *, headers: Mapping[str, str], deadline_s: float, reading: Reading | None = None
) -> Reading:
    """Everything up to the end of the stream; `reading`, if given, is filled as it comes."""
    found = reading if reading is not None else Reading()
    found.is_sent_away = False
    timeout_s = max(1.0, min(SILENT_AT_MOST_S, deadline_s - time.monotonic()))
    try:
        wanted = {"Accept": SSE, **headers}
        with asking(site, "GET", path, headers=wanted, timeout_s=timeout_s) as response:
            found.status = response.status
            found.media_type = response.getheader("Content-Type", "")
            if not found.media_type.startswith(SSE):
                found.trouble = whole(response, deadline_s=deadline_s).said()
                return found
            for event in events_of(response):
                if event.is_farewell:
                    found.is_sent_away = True
                    break
                found.events.append(event)
                if time.monotonic() > deadline_s:
                    found.trouble = "the stream did not end in time"
                    break
    except Unreachable as error:
        found.trouble = str(error)
    return found


def events_of(response: HTTPResponse) -> Iterator[Event]:
    """WHATWG HTML, section 9.2.6; what breaks off in the middle of an event is no event."""
    number: int | None = None
    data: list[str] = []
    while line := response.readline():
        text = line.decode("utf-8", errors="replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            number = int(value) if value.isdigit() else None
        elif name == "data":
            data.append(value)
        elif not text:
            if data:
                yield Event(number, message_of("\n".join(data)), time.monotonic())
            number, data = None, []


def message_of(text: str) -> Document:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Reader(threading.Thread):
    """The events of one run, read beside everything else, as they happen; sent away, it comes back."""

    def __init__(self, site: Site, path: str, *, headers: Mapping[str, str], deadline_s: float) -> None:
        super().__init__(daemon=True)
        self.reading = Reading()
        self._site, self._path = site, path
        self._headers, self._deadline_s = headers, deadline_s

    def run(self) -> None:
        self._read(self._headers)
        while self.reading.is_sent_away and time.monotonic() < self._deadline_s:
            time.sleep(PAUSE_S)
            self._read({**self._headers, "Last-Event-ID": str(self.reading.latest)})

    def _read(self, headers: Mapping[str, str]) -> None:
        read_events(
            self._site, self._path, headers=headers, deadline_s=self._deadline_s, reading=self.reading
        )
