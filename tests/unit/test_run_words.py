"""What a message says in a line, and what of it never reaches a terminal."""

from __future__ import annotations

import pytest

from commands.run.words import Message, clean, duration, line_of, one_line, size

BASE = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ({"type": "started", "agentId": "a"}, None),
        ({"type": "chunk", "content": "hello"}, None),
        ({"type": "progress", "fraction": 0.456, "note": "fitting"}, "46% fitting"),
        ({"type": "progress", "fraction": 0.0}, "0%"),
        ({"type": "tool_call", "name": "now", "arguments": {"timezone": "UTC"}}, 'now {"timezone":"UTC"}'),
        ({"type": "tool_result", "name": "now", "ok": True, "result": "noon"}, "now noon"),
        (
            {"type": "tool_result", "name": "now", "ok": False, "error": "no such zone"},
            "now failed: no such zone",
        ),
        (
            {"type": "artifact", "name": "a.csv", "size": 1234, "url": "/api/runs/r/artifacts/a.csv"},
            f"a.csv, 1.2 kB, {BASE}/api/runs/r/artifacts/a.csv",
        ),
        (
            {"type": "done", "executionTime": 2400, "creditsUsed": 1},
            "succeeded in 2.4 s, 1 credit used",
        ),
        (
            {"type": "error", "code": "cancelled", "error": "the user asked", "creditsUsed": 0},
            "cancelled: the user asked, 0 credits used",
        ),
        ({"type": "overview", "runId": "r", "seq": 4, "pages": 3}, 'overview {"pages":3}'),
    ],
)
def test_a_message_is_told_in_a_line(message: Message, line: str | None) -> None:
    assert line_of(message, base_url=BASE) == line


def test_what_a_terminal_obeys_never_passes() -> None:
    hostile = "a\x1b[2Jb\x9b31mc\x07d\u202ee\x7ff\rg\tH\n"

    assert clean(hostile) == "a�[2Jb�31mc�d�e�f\ng\tH\n"


def test_an_escape_cut_in_two_pieces_does_not_pass_either() -> None:
    assert "\x1b" not in clean("before\x1b") + clean("[31mafter")


def test_a_long_value_is_cut_and_keeps_to_one_line() -> None:
    assert one_line({"a": "x\ny", "b": "z" * 500}, limit=20) == '{"a":"x\\ny","b":"zz…'
    assert one_line("two\n  lines\x1b[0m") == "two lines�[0m"


@pytest.mark.parametrize(
    ("took_ms", "told"), [(0, "0 ms"), (999, "999 ms"), (1_500, "1.5 s"), (192_000, "3 min 12 s")]
)
def test_a_duration_is_told_in_the_unit_it_needs(took_ms: int, told: str) -> None:
    assert duration(took_ms) == told


@pytest.mark.parametrize(
    ("size_bytes", "told"), [(1, "1 byte"), (999, "999 bytes"), (1_500, "1.5 kB"), (2_300_000, "2.3 MB")]
)
def test_a_size_is_told_in_the_unit_it_needs(size_bytes: int, told: str) -> None:
    assert size(size_bytes) == told
