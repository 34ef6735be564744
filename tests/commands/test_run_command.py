"""`run` as a person or a script uses it: real servers, a scripted model, a network that breaks."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from tests.support.audit import audit
from tests.support.model import Rule
from tests.support.process import FORECASTER, ServerProcess, free_port, run_command, start_command, until
from tests.support.relay import relaying
from tests.support.series import forecast_body
from tests.support.stage import ANSWER, OPENING, PAGES, Stage, Talk

SUCCEEDED, BADLY_ENDED, REFUSED, LEFT = 0, 1, 2, 130

# Any: messages of the wire.
Message = dict[str, Any]


def settings_of(stage: Stage, server: ServerProcess) -> dict[str, str]:
    """With which a command finds it."""
    return {**stage.settings, "PORT": str(port_of(server))}


def port_of(server: ServerProcess) -> int:
    port = server.client.base_url.port
    assert port is not None
    return port


def lines_of(out: str) -> list[Message]:
    return [orjson.loads(line) for line in out.splitlines()]


def text_that_counts(messages: list[Message]) -> str:
    """What a reader of the messages is left with."""
    kept: list[Message] = []
    for message in messages:
        if message["type"] == "chunk":
            kept.append(message)
        if message["type"] == "retry":
            kept = [
                each
                for each in kept
                if each["step"] != message["step"] or each["seq"] <= message["discardAfter"]
            ]
    return "".join(each["content"] for each in kept)


async def only_run(stage: Stage) -> str:
    """The id of the one run that there is."""
    run_id: UUID = await stage.sql.fetchval("select id from switchyard.runs")
    assert await stage.sql.fetchval("select count(*) from switchyard.runs") == 1
    return str(run_id)


async def is_in_answer(stage: Stage) -> bool:
    found: bool = await stage.sql.fetchval(
        "select count(*) >= 3 from switchyard.events"
        " where type = 'chunk' and data ->> 'content' like '%word%'"
    )
    return found


async def check_told_once(messages: list[Message], stage: Stage, server: ServerProcess) -> None:
    """No gap, no word twice, what the log says, and one charge."""
    run_id = await only_run(stage)
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert messages == [message async for message in server.messages(run_id)]
    assert messages[-1]["response"] == ANSWER
    assert text_that_counts(messages) == OPENING + ANSWER
    receipt = await server.get(f"/api/runs/{run_id}/receipt")
    assert [entry["kind"] for entry in receipt["entries"]] == ["hold", "settle"]
    assert receipt["charged"] == messages[-1]["creditsUsed"]
    assert await audit(stage.sql, await stage.calls()) == []


async def test_in_a_pipe_the_answer_is_all_of_stdout_and_the_story_goes_beside_it(
    stage: Stage, server: ServerProcess
) -> None:
    talk = Talk("p0p")
    await stage.prepare([talk])
    settings = settings_of(stage, server)
    code, out, err = await run_command("run", "READER", talk.name, **settings)

    (charge,) = (await server.get("/api/runs"))["runs"]
    assert (code, out) == (SUCCEEDED, ANSWER + "\n")
    assert "\x1b" not in out + err
    told = err.splitlines()
    assert told[0] == "Reader, 10,000 credits available"
    assert told[1] == f"run {charge['runId']}"
    assert sum(line.startswith("tool_call http_fetch {") for line in told) == len(PAGES)
    assert sum(line.startswith("tool_result http_fetch {") for line in told) == len(PAGES)
    used = charge["creditsUsed"]
    assert told[-1].endswith(f"{used} credits used, {10_000 - used:,} credits available (10,000 before)")


async def test_quietly_there_is_the_answer_and_nothing_else(stage: Stage, server: ServerProcess) -> None:
    talk = Talk("p1p")
    await stage.prepare([talk])
    settings = settings_of(stage, server)
    code, out, err = await run_command("run", str(stage.agent_id), talk.name, "--quiet", **settings)

    assert (code, out, err) == (SUCCEEDED, ANSWER + "\n", "")


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "told to go"])
async def test_a_run_is_seen_to_its_end_while_its_server_dies_and_comes_back(
    own_stage: Stage, *, is_killed: bool
) -> None:
    talk = Talk("k0k")
    await own_stage.prepare([talk])
    settings = {**own_stage.settings, "PORT": str(free_port())}
    async with ServerProcess.running(**settings) as first:
        showing = asyncio.create_task(run_command("run", "reader", talk.name, "--json", **settings))
        await until(lambda: is_in_answer(own_stage), within_s=30)
        if is_killed:
            await first.kill()
        else:
            assert await first.terminate(within_s=15) == 0
    async with ServerProcess.running(**settings) as second:
        code, out, err = await showing

        assert code == SUCCEEDED, err
        messages = lines_of(out)
        assert [each["step"] for each in messages if each["type"] == "retry"] == ["turn-2"]
        assert "asking again in" in err
        await check_told_once(messages, own_stage, second)


async def test_a_network_that_cuts_every_connection_costs_no_word(
    stage: Stage, server: ServerProcess
) -> None:
    talk = Talk("c0c")
    await stage.prepare([talk])
    async with relaying(port_of(server)) as relay:
        relay.limit_bytes = 3_000

        code, out, err = await run_command(
            "run", "reader", talk.name, "--json", "--url", relay.url, **stage.settings
        )

        assert code == SUCCEEDED, err
        assert relay.resets >= 3
        await check_told_once(lines_of(out), stage, server)


async def test_an_answer_that_is_lost_makes_no_second_run(stage: Stage, server: ServerProcess) -> None:
    talk = Talk("l0l")
    await stage.prepare([talk])
    async with relaying(port_of(server)) as relay:
        relay.losing = b"POST /api/agent/execute"

        code, out, err = await run_command(
            "run", "reader", talk.name, "--json", "--url", relay.url, **stage.settings
        )

        assert (code, relay.resets) == (SUCCEEDED, 1), err
        await check_told_once(lines_of(out), stage, server)


async def test_whoever_leaves_is_told_how_to_come_back_and_sees_the_rest(
    stage: Stage, server: ServerProcess
) -> None:
    talk = Talk("i0i")
    await stage.prepare([talk])
    settings = settings_of(stage, server)
    leaving = await start_command("run", "reader", talk.name, "--json", **settings)
    await until(lambda: is_in_answer(stage), within_s=30)
    leaving.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(leaving.communicate(), 30)
    seen = lines_of(out.decode())
    goes_on, follow, cancel = err.decode().splitlines()

    assert leaving.returncode == LEFT
    assert goes_on == "The run goes on."
    assert cancel.endswith(f"run --cancel {seen[0]['runId']}")
    way_back = follow.split("railway_server.py ")[1].split()
    code, rest, _ = await run_command(*way_back, "--json", **settings)

    assert code == SUCCEEDED
    await check_told_once(seen + lines_of(rest), stage, server)


async def test_a_run_that_is_cancelled_ends_what_follows_it(stage: Stage, server: ServerProcess) -> None:
    slow: Rule = {"when": {"role": "user"}, "reply": {"text": ANSWER, "between_s": 1.0}}
    await stage.model.play(slow)
    settings = settings_of(stage, server)
    showing = asyncio.create_task(run_command("run", "reader", "go slowly", **settings))
    await until(lambda: is_in_answer(stage), within_s=30)
    run_id = await only_run(stage)

    cancelled = await run_command("run", "--cancel", run_id, **settings)
    code, out, err = await showing
    again = await run_command("run", "--cancel", run_id, **settings)
    ended = await run_command("run", "--resume", run_id, "--after", "1000000", **settings)

    assert cancelled[0] == SUCCEEDED
    assert (code, out) == (BADLY_ENDED, "")
    assert "what it had said so far: word0 word1" in err
    assert "cancelled: " in err.splitlines()[-1]
    assert again[1] == f"run {run_id}: cancelled\n"
    assert ended[0] == REFUSED
    assert ended[2].splitlines()[1].startswith("bad_cursor: ")


async def test_a_run_that_has_ended_is_shown_again_from_any_place(
    stage: Stage, server: ServerProcess
) -> None:
    talk = Talk("e0e")
    await stage.prepare([talk])
    settings = settings_of(stage, server)
    _, out, _ = await run_command("run", "reader", talk.name, "--json", "--key", "k", **settings)
    messages = lines_of(out)
    run_id, last = messages[0]["runId"], messages[-1]["seq"]

    whole = await run_command("run", "--resume", run_id, "--json", **settings)
    rest = await run_command("run", "--resume", run_id, "--after", "3", "--json", **settings)
    nothing = await run_command("run", "--resume", run_id, "--after", str(last), **settings)
    joined = await run_command("run", "reader", talk.name, "--json", "--key", "k", **settings)
    conflict = await run_command("run", "reader", "else", "--key", "k", **settings)

    assert lines_of(whole[1]) == lines_of(joined[1]) == messages
    assert lines_of(rest[1]) == messages[3:]
    assert (nothing[0], nothing[1]) == (SUCCEEDED, ANSWER + "\n")
    assert conflict[0] == REFUSED
    assert "key_conflict" in conflict[2]


async def test_a_forecast_takes_its_input_from_a_file_and_names_its_files(
    stage: Stage, server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "input.json"
    file.write_bytes(orjson.dumps(forecast_body()["input"]))
    settings = settings_of(stage, server)
    code, out, err = await run_command("run", "Forecaster", "--input", f"@{file}", **settings)

    assert code == SUCCEEDED, err
    assert out.startswith("The next value")
    assert [line for line in err.splitlines() if line.startswith("progress ")] != []
    (address,) = [line.rpartition(", ")[2] for line in err.splitlines() if "artifact forecast.csv" in line]
    table = await server.client.get(address)
    assert table.headers["content-type"].startswith("text/csv")


async def test_what_is_refused_is_told_in_words_and_starts_nothing(
    stage: Stage, server: ServerProcess
) -> None:
    settings = settings_of(stage, server)
    await stage.sql.execute("update public.credit_balances set credits_remaining = 0")
    tries = {
        "insufficient_credits: needs": ("Reader", "hello"),
        "agent_not_found: ": ("11111111-1111-4111-8111-111111111111", "hello"),
        "no agent is named “nobody”; there is: Forecaster, ": ("nobody", "hello"),
        "name an agent; you may run: Forecaster, ": (),
        "invalid_token: ": ("Reader", "hello", "--token", "a.b.c"),
        "  input.series: ": (FORECASTER, "--input", '{"horizon": 7}'),
        "run_not_found: ": ("--resume", "11111111-1111-4111-8111-111111111111"),
    }
    answers = await asyncio.gather(*(run_command("run", *line, **settings) for line in tries.values()))
    told = dict(zip(tries, answers, strict=True))

    for sentence, (code, out, err) in told.items():
        assert (code, out) == (REFUSED, "")
        assert any(line.startswith(sentence) for line in err.splitlines()), err
        assert "Traceback" not in err
    assert await stage.sql.fetchval("select count(*) from switchyard.runs") == 0


async def test_a_refusal_is_a_problem_document_for_a_program(stage: Stage, server: ServerProcess) -> None:
    settings = settings_of(stage, server)
    code, out, _ = await run_command("run", FORECASTER, "--json", **settings)

    assert code == REFUSED
    (problem,) = lines_of(out)
    assert problem["code"] == "invalid_body"
    assert problem["errors"][0]["field"] == "input.series"


async def test_a_server_that_is_not_there_is_said_so_soon(tmp_path: Path) -> None:
    settings = {"PORT": str(free_port()), "DATA_DIR": str(tmp_path)}

    code, out, err = await run_command("run", "anybody", "hello", **settings)

    assert (code, out) == (REFUSED, "")
    assert err.splitlines()[-1].startswith("no server answers there (http://127.0.0.1:")
    assert "Traceback" not in err


async def test_a_reader_that_has_enough_leaves_no_trace(stage: Stage, server: ServerProcess) -> None:
    talk = Talk("h0h")
    await stage.prepare([talk])
    settings = settings_of(stage, server)
    reading = await start_command("run", "reader", talk.name, "--json", **settings)
    assert reading.stdout is not None
    assert reading.stderr is not None
    first = await asyncio.wait_for(reading.stdout.readline(), 30)
    reading.stdout._transport.close()  # type: ignore[attr-defined]
    err = await asyncio.wait_for(reading.stderr.read(), 30)

    assert await reading.wait() == LEFT
    assert orjson.loads(first)["type"] == "started"
    assert b"Traceback" not in err
    assert b"Exception" not in err
