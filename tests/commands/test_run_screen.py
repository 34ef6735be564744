"""`run` and `doctor` at a real terminal: what is drawn, what stays, and what never gets through."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.support.model import Rule
from tests.support.process import ServerProcess, free_port, until
from tests.support.stage import ANSWER, OPENING, Stage, Talk
from tests.support.terminal import CODES, Terminal, shown

# What rich draws with: colours, lines cleared, the cursor moved up, to the left and hidden.
DRAWING = re.compile(r"\x1b\[(?:[0-9;]*m|2K|1A|1G|\?25[lh])")


def settings_of(stage: Stage, server: ServerProcess) -> dict[str, str]:
    """With which a command finds it."""
    return {**stage.settings, "PORT": str(server.client.base_url.port)}


async def has_written(stage: Stage) -> bool:
    found: bool = await stage.sql.fetchval(
        "select count(*) >= 8 from switchyard.events"
        " where type = 'chunk' and data ->> 'content' like '%word%'"
    )
    return found


async def test_a_run_ends_with_its_text_its_tools_and_what_it_cost(
    stage: Stage, server: ServerProcess
) -> None:
    talk = Talk("s0s")
    await stage.prepare([talk])
    settings = settings_of(stage, server)
    code, sent = await (await Terminal.begin("run", "reader", talk.name, **settings)).end()

    rows = [row.strip() for row in shown(sent) if row]
    assert code == 0
    assert set(CODES.findall(sent)) == set(DRAWING.findall(sent))
    assert sent.rfind("\x1b[?25h") > sent.rfind("\x1b[?25l")
    assert OPENING in rows
    assert sum(row.startswith("→ http_fetch {") for row in rows) == 2
    assert sum(row.startswith("← http_fetch {") for row in rows) == 2
    assert " ".join(rows).count(ANSWER) == 1
    assert re.fullmatch(r"✓ succeeded in .* credits used, .* credits available \(10,000 before\)", rows[-1])
    assert [row for row in rows if row.endswith(" s") and not row.startswith("✓")] == []


async def test_text_of_a_step_that_is_begun_again_is_said_not_to_count(own_stage: Stage) -> None:
    talk = Talk("s1s")
    await own_stage.prepare([talk])
    settings = {**own_stage.settings, "PORT": str(free_port())}
    async with ServerProcess.running(**settings) as first:
        terminal = await Terminal.begin("run", "reader", talk.name, **settings)
        await until(lambda: has_written(own_stage), within_s=30)
        await first.kill()
    async with ServerProcess.running(**settings):
        code, sent = await terminal.end()

    text = " ".join(row.strip() for row in shown(sent) if row)
    told = re.search(r"↺ turn-2 is begun again: the \d+ characters it had written do not count", text)
    assert code == 0
    assert told is not None
    assert "; asking again in " in text[: told.start()]
    assert "word0 word1" in text[: told.start()]
    assert text[told.end() :].count(ANSWER) == 1


async def test_nothing_a_model_says_is_obeyed_by_the_terminal(stage: Stage, server: ServerProcess) -> None:
    hostile = "before\x1b]0;owned\x07\x1b[2J\x1b[8mhidden\x9b5A\x08\x08after \u202egnorw"
    rule: Rule = {
        "when": {"role": "user"},
        "reply": {"text": hostile, "tool_calls": [{"name": "\x1b[2Jtool", "arguments": '{"a": "\x1b[31m"}'}]},
    }
    await stage.model.play(rule, {"reply": {"text": hostile}})
    name = "Rea\x1b[2Jder"
    await stage.sql.execute("update public.agents set name = $1 where name = 'Reader'", name)
    settings = settings_of(stage, server)
    code, sent = await (await Terminal.begin("run", name, "hello", **settings)).end()

    assert code == 0
    assert set(CODES.findall(sent)) == set(DRAWING.findall(sent))
    assert not set(sent) & {"\x07", "\x08", "\x9b", "\u202e"}
    assert "\x1b]" not in sent
    assert "hidden" in sent


async def test_leaving_gives_the_terminal_back_as_it_was(stage: Stage, server: ServerProcess) -> None:
    await stage.model.play({"reply": {"text": ANSWER, "between_s": 1.0}})
    terminal = await Terminal.begin("run", "reader", "slowly", **settings_of(stage, server))
    await until(lambda: has_begun(stage), within_s=30)
    terminal.process.send_signal(signal.SIGINT)
    code, sent = await terminal.end()

    text = "\n".join(shown(sent))
    assert code == 130
    assert sent.rfind("\x1b[?25h") > sent.rfind("\x1b[?25l")
    assert "The run goes on.\n  follow it: python railway_server.py run --resume " in text
    assert "Traceback" not in text


async def has_begun(stage: Stage) -> bool:
    found: bool = await stage.sql.fetchval("select count(*) > 0 from switchyard.events where type = 'chunk'")
    return found


async def test_the_doctor_draws_a_table_with_what_to_do(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path), "PORT": "0", "REDIS_URL": f"redis://127.0.0.1:{free_port()}"}

    code, sent = await (await Terminal.begin("doctor", **settings)).end()

    rows = [row.strip() for row in shown(sent) if row]
    assert code == 1
    assert any(row.startswith("✓  settings") for row in rows)
    assert any(row.startswith("✗  Redis") for row in rows)
    assert any(row.startswith("→ check host and port in REDIS_URL") for row in rows)
    assert rows[-1] == "1 wrong"
