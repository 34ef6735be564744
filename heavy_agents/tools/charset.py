"""Which text some bytes from the web are: their kind and encoding by the header, a mark, or a guess."""

from __future__ import annotations

import codecs
import re
from email.message import Message
from typing import Final

__all__ = ["charset_of", "decode", "has_mark", "media_type_of"]

# Only these: Python's codecs also unpack, escape, and take quadratic time.
KNOWN: Final = re.compile(
    r"(utf-8|utf-16(-le|-be)?|iso8859-\d+|cp125\d|cp866|cp932|cp949|koi8-[ru]|mac-roman|gbk|gb2312|gb18030|big5"
    r"|euc_jp|shift_jis|iso2022_jp|euc_kr|tis-620)\Z"
)
# What the web calls so is Windows' own; every browser reads it like that.
AS_WINDOWS: Final = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030"}
MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
HTML_START: Final = re.compile(
    rb"\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype html|html)[\s>]", re.IGNORECASE | re.DOTALL
)
SNIFFED_BYTES: Final = 1024


def media_type_of(content_type: str, body: bytes) -> str:
    """`text/html` from `text/html; charset=…`; told from the beginning of `body` if there is no header."""
    named = content_type.partition(";")[0].strip().lower()
    if named:
        return named
    start = body[:SNIFFED_BYTES]
    if HTML_START.match(start.removeprefix(codecs.BOM_UTF8)):
        return "text/html"
    return "application/octet-stream" if b"\0" in start and not has_mark(start) else "text/plain"


def charset_of(content_type: str) -> str | None:
    """Python's name of the encoding in a `Content-Type`; None if there is none that is known here."""
    message = Message()
    message["content-type"] = content_type
    label = message.get_content_charset("")
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    name = AS_WINDOWS.get(name, name)
    return name if KNOWN.match(name) else None


def has_mark(body: bytes) -> bool:
    return body.startswith(tuple(MARKS))


def decode(body: bytes, charset: str | None) -> str:
    """The text in `body`; a byte order mark wins, without either it is UTF-8. Wrong bytes become U+FFFD."""
    for mark, marked in MARKS.items():
        if body.startswith(mark):
            return body[len(mark) :].decode(marked, "replace")
    return body.decode(charset or "utf-8", "replace")
