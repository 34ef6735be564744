"""A file of SQL as its statements, each with the line it begins on.

Splits where the Supabase CLI splits, at semicolons outside quotes, comments, parentheses and SQL-standard
function bodies, so that its record of a migration and ours agree.

Source: PostgreSQL, section 4.1 "Lexical Structure".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Statement", "split"]

_TOKEN = re.compile(
    r"""
      (?P<line_comment>  --[^\n]* )
    | (?P<block_comment> /\* )
    | (?P<escape_string> (?<!\w)e'(?:[^'\\]|\\.)*' )
    | (?P<string>        '[^']*' )
    | (?P<name>          "[^"]*" )
    | (?P<dollar>        (?<![\w$])\$(?:[^\W\d]\w*)?\$ )
    | (?P<atomic>        \bbegin\s+atomic\b )
    | (?P<case>          \bcase\b )
    | (?P<end>           \bend\b )
    | (?P<open>          \( )
    | (?P<close>         \) )
    | (?P<semicolon>     ; )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` as it stands in the file, comments included, without the semicolon; it begins on `line`."""

    text: str
    line: int

    @property
    def body(self) -> str:
        """The text after the comments it begins with; empty when there is nothing else."""
        return self.text[self._lead() :]

    def line_of(self, position: int | None) -> int:
        """The file's line of a position Postgres reports (1-based); of the first word for None."""
        return self.line + self.text.count("\n", 0, self._lead() if position is None else position - 1)

    def _lead(self) -> int:
        found = _LEADING.match(self.text)
        return found.end() if found is not None else 0


def split(sql: str) -> list[Statement]:
    """The statements of `sql`; one that is only a comment counts, as it does for the Supabase CLI."""
    statements: list[Statement] = []
    begin = 0
    for end in (*_ends(sql), len(sql)):
        piece = sql[begin:end].rstrip(";")
        if text := piece.strip():
            lead = len(piece) - len(piece.lstrip())
            statements.append(Statement(text, 1 + sql.count("\n", 0, begin + lead)))
        begin = end
    return statements


def _ends(sql: str) -> Iterator[int]:
    """Positions just after each semicolon that ends a statement."""
    parentheses = blocks = 0
    for kind, end in _tokens(sql):
        match kind:
            case "open" | "close":
                parentheses = max(0, parentheses + (1 if kind == "open" else -1))
            case "atomic":
                blocks += 1
            case "case" | "end" if blocks:
                blocks += 1 if kind == "case" else -1
            case "semicolon" if not parentheses and not blocks:
                yield end
            case _:
                pass


def _tokens(sql: str) -> Iterator[tuple[str | None, int]]:
    """Kind and end of everything that can open, close or end something; what is quoted is passed over."""
    position = 0
    while (token := _TOKEN.search(sql, position)) is not None:
        position = token.end()
        if token.lastgroup == "block_comment":
            position = _comment_end(sql, position)
        elif token.lastgroup == "dollar":
            closing = sql.find(token.group(), position)
            position = len(sql) if closing < 0 else closing + len(token.group())
        yield token.lastgroup, position


def _comment_end(sql: str, position: int) -> int:
    """Where a block comment ends that was opened before `position`; they nest."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(sql, position)) is not None:
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position if depth == 0 else len(sql)
