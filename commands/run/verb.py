"""Running an agent on a server, following a run there, or cancelling one: the order of things.

Leaving never cancels: the run goes on where it is, and whoever left is told how to come back.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import Protocol

from commands.run.agents import Agent, agent_id_of, choose, names_of
from commands.run.door import Document, Door, open_door
from commands.run.follow import ENDINGS, Course, GivenUp, insist
from commands.run.patience import FIRST_CONTACT_S
from commands.run.plain import JsonLines, Plain, Quiet
from commands.run.refused import Refused
from commands.run.server import credential_of, url_of
from commands.run.transcript import Transcript
from commands.run.wanted import Wanted, check, key_of, order_of
from commands.run.words import Message, line_of, one_line, plural
from foundation.settings import load

__all__ = ["BADLY_ENDED", "LOST_SIGHT", "REFUSED", "SUCCEEDED", "run"]

SUCCEEDED, BADLY_ENDED, REFUSED, LOST_SIGHT = 0, 1, 2, 3


class Output(Protocol):
    """Where a run is shown."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def headline(self, line: str) -> None: ...
    def message(self, message: Message, *, taken_back: int) -> None: ...
    def answer(self, text: str, *, is_whole: bool, is_seen: bool) -> None: ...
    def ending(self, line: str, *, is_done: bool) -> None: ...
    def result(self, document: Document, line: str) -> None: ...
    def notice(self, line: str) -> None: ...


async def run(wanted: Wanted) -> int:
    """Do what is wanted; the exit code.

    Raises:
        Refused: it was asked wrongly, or the server will not do it.
        SettingsError: what was left out cannot be taken from this machine's settings.
    """
    check(wanted)
    url = url_of(wanted, load)
    async with open_door(url, credential_of(wanted, url, load)) as door:
        output = _output(wanted, url)
        try:
            if wanted.cancel is not None:
                return await _cancel(door, str(wanted.cancel), output)
            return await _see_through(wanted, url, door=door, output=output)
        except GivenUp as error:
            raise Refused(
                [f"{error} ({url}); is it running? `python {wanted.program}` starts one"]
            ) from error


async def _see_through(wanted: Wanted, url: str, *, door: Door, output: Output) -> int:
    before = await insist(lambda: door.ask("/api/credits"), tell=output.notice, limit_s=FIRST_CONTACT_S)
    course, name = await _course(wanted, door, output)
    output.open()
    try:
        output.headline(f"{name}, {plural(before['available'], 'credit')} available")
        ending = await _show(course, output)
        return await _conclude(course, ending, before=before, output=output, url=url)
    except GivenUp as error:
        output.close()
        _say([f"{error}; no longer asking", *_way_back(wanted, course)])
        return LOST_SIGHT
    except asyncio.CancelledError:
        output.close()
        _say(_way_back(wanted, course))
        raise
    except Refused as error:
        is_new = wanted.resume is None and course.run_id is not None
        raise Refused(
            [*error.lines, *(_way_back(wanted, course) if is_new else [])], error.document
        ) from error
    finally:
        output.close()


async def _course(wanted: Wanted, door: Door, output: Output) -> tuple[Course, str]:
    """The run to be read, and its name for a person."""
    if wanted.resume is not None:
        run_id, place = str(wanted.resume), Transcript(seq=wanted.after or 0)
        return Course(door, output.notice, run_id=run_id, transcript=place), f"run {run_id}"
    agent = await _agent(wanted.agent, door, output)
    body = order_of(wanted, agent.id)
    return Course(door, output.notice, body=body, key=key_of(wanted)), one_line(agent.name)


async def _agent(wanted: str | None, door: Door, output: Output) -> Agent:
    if wanted is not None and (agent_id := agent_id_of(wanted)) is not None:
        return Agent(agent_id, f"agent {agent_id}")
    listed = await insist(lambda: door.ask("/api/agents"), tell=output.notice)
    agents = [Agent.of(each) for each in listed["agents"]]
    if wanted is None:
        raise Refused([f"name an agent; you may run: {names_of(agents)}"])
    return choose(wanted, agents)


async def _show(course: Course, output: Output) -> Message | None:
    """Show every message; the last one, or None when there were none left."""
    async with aclosing(course.messages()) as messages:
        async for message in messages:
            taken_back = course.transcript.take(message)
            if message["type"] == "started" and course.body is not None:
                output.headline(f"run {message['runId']}")
            output.message(message, taken_back=taken_back)
            if message["type"] in ENDINGS:
                return message
    return None


async def _conclude(
    course: Course, ending: Message | None, *, before: Document, output: Output, url: str
) -> int:
    """The answer, what it cost and what is left."""
    if ending is None:
        ending = await insist(lambda: _ending_of(course), tell=output.notice)
    is_done, response = ending["type"] == "done", ending.get("response") or ""
    output.answer(response, is_whole=is_done, is_seen=course.transcript.has_said(response))
    left = await _available(course.door)
    told = "" if left is None else f", {plural(left, 'credit')} available ({before['available']:,} before)"
    output.ending(f"{line_of(ending, base_url=url)}{told}", is_done=is_done)
    return SUCCEEDED if is_done else BADLY_ENDED


async def _ending_of(course: Course) -> Message:
    """The last message of a run whose messages were all read before."""
    found = await course.door.ask(f"/api/runs/{course.run_id}")
    kind = "done" if found["status"] == "succeeded" else "error"
    return {**found, "type": kind}


async def _available(door: Door) -> int | None:
    """None when it cannot be told: how the run ended is known all the same."""
    try:
        account = await insist(lambda: door.ask("/api/credits"), tell=_say_nothing, limit_s=FIRST_CONTACT_S)
    except (Refused, GivenUp):
        return None
    return int(account["available"])


async def _cancel(door: Door, run_id: str, output: Output) -> int:
    """Safe to repeat."""
    path = f"/api/runs/{run_id}/cancel"
    found = await insist(lambda: door.ask(path, method="POST"), tell=output.notice, limit_s=FIRST_CONTACT_S)
    has_ended = found["status"] in {"succeeded", "failed", "cancelled"}
    output.result(
        found, f"run {run_id}: {found['status']}" if has_ended else f"run {run_id} is being cancelled"
    )
    return SUCCEEDED


def _way_back(wanted: Wanted, course: Course) -> list[str]:
    """What somebody who leaves has to know."""
    if course.run_id is None:
        return [
            f"Whether the run was accepted is not known; the same with --key {course.key} never starts two."
        ]
    server = f" --url {wanted.url}" if wanted.url is not None else ""
    command = f"python {wanted.program} run{server}"
    return [
        "The run goes on.",
        f"  follow it: {command} --resume {course.run_id} --after {course.transcript.seq}",
        f"  cancel it: {command} --cancel {course.run_id}",
    ]


def _output(wanted: Wanted, url: str) -> Output:
    if wanted.json:
        return JsonLines(url)
    if wanted.quiet:
        return Quiet(url)
    if sys.stdout.isatty():
        # Here: a pipe needs none of it.
        from commands.run.screen import Screen

        return Screen(url)
    return Plain(url)


def _say(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def _say_nothing(_line: str) -> None:
    """For what is asked beside the run."""
