"""That a command of the Supabase CLI that means the project says so; without `--remote` it is local."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT, our_files

# As 3.1 has it. What is meant for a local database alone, such as `db reset`, is not here.
COMMAND: Final = re.compile(
    r"supabase (?:db (?:advisors|dump|lint|pull|push)|migration (?:down|fetch|list|repair|squash|up))\b"
    r"(?:[^`\n\\]|\\\n)*"
)
SAYS_WHERE: Final = re.compile(r"--(?:remote|db-url)\b")
KINDS: Final = frozenset({".md", ".py", ".sh", ".sql", ".toml", ".ts", ".yml", ".example", ""})
# What is tried, and what was.
OUTSIDE: Final = ("tests", "CHANGELOG.md")


def test_every_command_that_means_the_project_says_so() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {command}"
        for path in pages()
        for command in COMMAND.findall(path.read_text(encoding="utf-8"))
    }

    assert found
    assert sorted(each for each in found if not SAYS_WHERE.search(each)) == []


@pytest.mark.parametrize(
    ("text", "says_where"),
    [
        ("supabase db push", False),
        ("run `supabase db push` with --remote", False),
        ("supabase db push \\\n  --remote", True),
        ('supabase migration repair --status reverted 1 --remote="$DATABASE_URL"', True),
        ("supabase migration list --db-url x", True),
    ],
)
def test_a_command_ends_where_it_ends(text: str, says_where: bool) -> None:
    (command,) = COMMAND.findall(text)

    assert bool(SAYS_WHERE.search(command)) is says_where


def pages() -> list[Path]:
    return [
        path
        for path in our_files()
        if path.suffix in KINDS and path.relative_to(ROOT).parts[0] not in OUTSIDE
    ]
