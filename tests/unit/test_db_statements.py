from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.db.statements import split

WHOLE = [
    "select 'a;b', 'it''s; fine'",
    "select E'a\\';b'",
    'select 1 as "a;b"',
    "select $$ a; b $$",
    "select $body$ a; $$ b; $$ $body$",
    "select 1 -- a; b\n + 2",
    "select 1 /* a; /* b; */ c; */ + 2",
    "create rule r as on insert to t do also (insert into a values (1); insert into b values (2))",
    "create function f() returns int begin atomic select 1; select case when true then 2 else 3 end; end",
    "create function f() returns void language plpgsql as $$ begin perform 1; end; $$",
    "select $1 + 2",
    "select a$b$c from t",
]


@pytest.mark.parametrize("statement", WHOLE)
def test_a_semicolon_inside_something_ends_nothing(statement: str) -> None:
    assert [each.text for each in split(f"{statement};\nselect 2;")] == [statement, "select 2"]


@given(st.lists(st.sampled_from(WHOLE), max_size=8), st.sampled_from([";", ";\n", ";\n\n-- note\n", ";;\n"]))
def test_what_was_joined_is_split_again(statements: list[str], separator: str) -> None:
    found = [each.body for each in split(separator.join(statements) + ";")]

    assert found == statements


@given(st.text(alphabet="ab;'\"$-/*() \n\\eE", max_size=60))
def test_any_text_is_split_without_losing_a_character_that_counts(sql: str) -> None:
    def bare(text: str) -> str:
        return "".join(text.split()).replace(";", "")

    assert bare("".join(each.text for each in split(sql))) == bare(sql)


def test_comments_stay_with_the_statement_they_precede() -> None:
    [statement] = split("\n-- why\n/* and how */\nselect 1;\n")

    assert statement.text == "-- why\n/* and how */\nselect 1"
    assert statement.body == "select 1"
    assert statement.line == 2
    assert statement.line_of(None) == 4


def test_a_position_is_found_in_the_file() -> None:
    statements = split("select 1;\n\nselect\n  wrong;\n")

    assert statements[1].line_of(statements[1].text.index("wrong") + 1) == 4


def test_a_closing_comment_counts_but_has_no_body() -> None:
    statements = split("select 1;\n-- the end\n")

    assert [each.text for each in statements] == ["select 1", "-- the end"]
    assert statements[1].body == ""


@pytest.mark.parametrize("sql", ["", "  \n", ";", " ; ;\n"])
def test_nothing_is_no_statement(sql: str) -> None:
    assert split(sql) == []
