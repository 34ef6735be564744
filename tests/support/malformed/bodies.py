"""Bodies that are no JSON, or JSON that a field cannot be: syntax, fields, letters, numbers."""

from __future__ import annotations

import json as plain_json
from collections.abc import Callable
from random import Random
from typing import Final

import orjson

from tests.support.malformed.case import BODY, UNREADABLE, Given, Malformed
from tests.support.malformed.doors import MARK, Door, Path, changed, door_of, named, with_literal

__all__ = ["json", "no_json", "numbers", "unicode", "wrong_letters"]

STRUCTURE: Final = frozenset(b'{}[]":,')
AFTER: Final = (b"}", b"x", b"{}", b",", b"]", b"\x00", b" null", b"//", b"\xff", b'"', b"\n1")
OTHER_ALPHABETS: Final = ("utf-16", "utf-16-le", "utf-32", "utf-7", "cp037")
BOM: Final = b"\xef\xbb\xbf"
NO_NUMBERS: Final = (
    "01", "+1", "1.", ".5", "1e", "1e+", "0x10", "0b1", "1_000", "NaN", "Infinity", "-Infinity", "-", "--1",
    "1e999", "-1e9999", "1,000,", "1f", "1L", "1.2.3", "1 2", "\u0661", "\u00bd", "\u221e", "0x", "1e1e1",
    "nan",
)  # fmt: skip
# Not text in UTF-8: cut short, too long, a surrogate, beyond the last letter, never used.
BROKEN_LETTERS: Final = (
    b"\xff", b"\xfe", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xe0\x80\xaf",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\x80",
)  # fmt: skip
# Halves of a pair, alone or in the wrong order; an escape that is none.
HALVES: Final = (
    b"\\ud800",
    b"\\udfff",
    b"\\udc00\\ud800",
    b"\\ud83d",
    b"\\uD83Dx",
    b"\\u12",
    b"\\uzzzz",
    b"\0",
    b"\n",
)
ODD_LETTERS: Final = (
    "\u202e", "\u200b", "\ufeff", "\U0001f469\u200d\U0001f469", "e\u0301" * 9, "\ufdfd", "\uffff", "\ud7ff",
    "\U0010ffff",
    "\x7f", "\u0085", "\u2028", "\x1b[31m", "ﬀ", "İ",
)  # fmt: skip


def json(dice: Random, given: Given) -> Malformed:
    door = door_of(dice, given)
    if dice.random() < 0.5:
        name, text = no_json(dice, orjson.dumps(door.good))
        return Malformed(f"{door.path}: {name}", door.asked(text), UNREADABLE)
    kind = dice.choice(["no object", "wrong", "wrong", "wrong", "missing", "strange"])
    if kind == "no object":
        top = dice.choice([b"[]", b"1", b'"text"', b"null", b"true", b"[{}]", b"-0.5", b'""'])
        return Malformed(f"{door.path}: {top!r}", door.asked(top), BODY, "")
    if kind == "missing" and door.needed:
        path = dice.choice(door.needed)
        body = changed(door.good, path, None, is_removed=True)
        return Malformed(f"{door.path} without {named(path)}", door.asked(body), BODY, named(path))
    if kind == "strange":
        name = "".join(dice.choices("abcdefgh_XYZ", k=dice.randint(2, 40)))
        body = changed(door.good, (name,), dice.choice([1, None, {}, []]))
        return Malformed(f"{door.path} with {name}", door.asked(body), BODY, name)
    path = dice.choice(list(door.wrong))
    value = dice.choice(door.wrong[path])
    return _wrong(door, path, value)


def _wrong(door: Door, path: Path, value: object) -> Malformed:
    text = with_literal(changed(door.good, path, MARK), plain_json.dumps(value).encode())
    return Malformed(f"{door.path} with {named(path)}={value!r:.60}", door.asked(text), BODY, named(path))


def no_json(dice: Random, good: bytes) -> tuple[str, bytes]:
    """What was done to a good text, and what it is now: no JSON any more."""
    match dice.randrange(6):
        case 0:
            end = dice.randrange(len(good))
            return f"cut at {end}", good[:end]
        case 1:
            more = dice.choice(AFTER)
            return f"{more!r} after it", good + more
        case 2:
            at = dice.choice([at for at, letter in enumerate(good) if letter in STRUCTURE])
            return f"without byte {at}", good[:at] + good[at + 1 :]
        case 3:
            alphabet = dice.choice(OTHER_ALPHABETS)
            return alphabet, b"\xff" + good.decode().encode(alphabet)
        case 4:
            number = dice.randrange(len(DIALECTS))
            return f"dialect {number}", DIALECTS[number](good)
        case _:
            return "garbage", b"\xff" + dice.randbytes(dice.randint(1, 300))


DIALECTS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda good: good.replace(b'"', b"'"),
    lambda good: good[:-1] + b",}",
    lambda good: b"/* x */" + good,
    lambda good: good + b"\n# x",
    lambda good: BOM + good,
    lambda good: b"callback(" + good + b")",
    lambda good: good[:-1] + b',"x":True}',
    lambda good: good[:-1] + b',"x":undefined}',
    lambda good: good[:-1] + b',"x":"a\nb"}',
    lambda good: good[:-1] + b',"x":"\\x41"}',
    lambda good: good[:-1] + b",x:1}",
    lambda good: good * 2,
    lambda good: good.replace(b":", b"=>"),
    lambda good: good[:-1] + b',"x":"\\u12"}',
    lambda good: good[:0],
    lambda good: good[:0] + b" \t\r\n ",
)


def unicode(dice: Random, given: Given) -> Malformed:
    door = door_of(dice, given)
    path = dice.choice([each for each in door.wrong if each[-1] not in {"temperature", "max_tokens"}])
    match dice.randrange(6):
        case 0:
            strange = changed(door.good, ("inner",), {f"{dice.choice(ODD_LETTERS)}\0": 1})
            return Malformed("a NUL in a name", door.asked(strange), BODY, "inner")
        case 1:
            odd = dice.choice(ODD_LETTERS) + dice.choice(ODD_LETTERS)
            body = changed(door.good, (odd,), odd)
            return Malformed(f"a field called {odd!r}", door.asked(body), BODY, odd)
        case _:
            name, literal, wants = wrong_letters(dice)
            text = with_literal(changed(door.good, path, MARK), literal)
            return Malformed(f"{name} in {named(path)}", door.asked(text), wants, named(path))


def wrong_letters(dice: Random) -> tuple[str, bytes, frozenset[str]]:
    """What is wrong with a text, the text as JSON writes it, and the codes of a refusal."""
    before, after = b"x" * dice.randint(0, 30), dice.choice([b"", b"y", "\u00fc".encode()])
    kind = dice.randrange(3)
    if kind == 0:
        return "a NUL", b'"' + before + b"\\u0000" + after + b'"', BODY
    letters = dice.choice(BROKEN_LETTERS if kind == 1 else HALVES)
    return repr(letters), b'"' + before + letters + after + b'"', UNREADABLE


def numbers(dice: Random, given: Given) -> Malformed:
    door = door_of(dice, given)
    path = dice.choice(list(door.wrong))
    match dice.randrange(4):
        case 0 | 1:
            literal = dice.choice(NO_NUMBERS)
            text = with_literal(changed(door.good, path, MARK), literal.encode())
            return Malformed(f"{literal} as {named(path)}", door.asked(text), UNREADABLE)
        case 2:
            sign, digits = dice.choice(["", "-"]), "9" * dice.randint(20, 3_000)
            text = with_literal(changed(door.good, ("strange",), MARK), (sign + digits).encode())
            return Malformed(f"{len(digits)} digits", door.asked(text), BODY | UNREADABLE, "strange")
        case _:
            numeric = {
                each: [value for value in values if isinstance(value, int | float)]
                for each, values in door.wrong.items()
            }
            path = dice.choice([each for each, values in numeric.items() if values])
            return _wrong(door, path, dice.choice(numeric[path]))
