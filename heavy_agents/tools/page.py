"""The readable text of an HTML page, read in a process of its own.

A page of 40 kB can make any parser of HTML build a tree of gigabytes, or busy itself for minutes, and a
thread cannot be stopped. So this is a job for `foundation.workers`, which limits its memory and time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urldefrag, urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from foundation.errors import Json
from foundation.workers import Report
from heavy_agents.tools.charset import decode, has_mark
from heavy_agents.tools.prose import Prose

__all__ = ["read"]

MAX_TITLE_CHARS: Final = 300
MAX_LINK_CHARS: Final = 500

# fmt: off
UNREAD: Final = frozenset({
    "audio", "canvas", "datalist", "embed", "head", "iframe", "math", "noscript", "object", "script",
    "select", "style", "svg", "template", "textarea", "video",
})
PARAGRAPHS: Final = frozenset({
    "article", "blockquote", "dl", "fieldset", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p",
    "pre", "section", "table", "ul",
})
LINES: Final = frozenset({
    "address", "aside", "br", "caption", "dd", "details", "dialog", "div", "dt", "figcaption", "footer",
    "form", "header", "legend", "li", "main", "nav", "optgroup", "option", "summary", "tr",
})
# fmt: on
CELLS: Final = frozenset({"td", "th"})
MARKS: Final = {"li": "- "} | {f"h{level}": "#" * level + " " for level in range(1, 7)}
UNSEEN: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def read(arguments: Mapping[str, Json], report: Report) -> dict[str, Json]:
    """{title, text, truncated} of a page.

    Args:
        arguments: `body`, the page in base64; `charset`, as its header says, or null; `url`, where it was
            found; `maxChars`, how much text is wanted.
    """
    del report
    body, charset = base64.b64decode(str(arguments["body"])), arguments["charset"]
    tree = _parse(body, charset if isinstance(charset, str) else None)
    title = tree.css_first("head > title")
    reading = _Reading(_base(tree, str(arguments["url"])), Prose(int(str(arguments["maxChars"]))))
    if (root := tree.body) is not None:
        reading.read(root)
    return {
        "title": " ".join(title.text().split())[:MAX_TITLE_CHARS] if title is not None else "",
        "text": str(reading.prose),
        "truncated": reading.prose.is_cut,
    }


def _parse(body: bytes, charset: str | None) -> LexborHTMLParser:
    if charset is None or has_mark(body):
        # It looks for the mark, then into the page itself.
        return LexborHTMLParser(body, encoding=True, scripting=True)
    return LexborHTMLParser(decode(body, charset), scripting=True)


def _base(tree: LexborHTMLParser, url: str) -> str:
    base = tree.css_first("head > base[href]")
    return url if base is None else _joined(url, base.attributes.get("href")) or url


class _Reading:
    """One way through the tree, without recursion: it may be as deep as it likes."""

    def __init__(self, url: str, prose: Prose) -> None:
        self.prose = prose
        self._url = url
        self._quoted = 0  # how many <pre> around
        self._links: list[tuple[str, int]] = []  # where the open ones lead, and what was said before them

    def read(self, root: LexborNode) -> None:
        waiting = [(root, False)]
        while waiting and not self.prose.is_cut:
            node, is_done = waiting.pop()
            if is_done:
                self._leave(node.tag or "")
            elif node.is_text_node:
                self._say(node.text_content or "")
            elif node.is_element_node and _is_read(node):
                self._enter(node)
                waiting.append((node, True))
                child = node.last_child
                while child is not None:
                    waiting.append((child, False))
                    child = child.prev

    def _say(self, text: str) -> None:
        if self._quoted:
            self.prose.quote(text)
        else:
            self.prose.say(text)

    def _enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        self._part(tag)
        if tag in MARKS:
            self.prose.mark(MARKS[tag])
        elif tag == "pre":
            self._quoted += 1
        elif tag == "a":
            self._links.append((_joined(self._url, node.attributes.get("href")), self.prose.pieces))

    def _leave(self, tag: str) -> None:
        if tag == "a":
            self._end_link(*self._links.pop())
        elif tag == "pre":
            self._quoted -= 1
        elif tag in CELLS:
            self.prose.part(" | ")
        self._part(tag)

    def _part(self, tag: str) -> None:
        if tag in PARAGRAPHS:
            self.prose.part("\n\n")
        elif tag in LINES:
            self.prose.part("\n")

    def _end_link(self, url: str, before: int) -> None:
        said = self.prose.since(before)
        if url and said and said != url:
            self.prose.attach(f" ({url})")


def _is_read(node: LexborNode) -> bool:
    if node.tag in UNREAD:
        return False
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return False
    return UNSEEN.search(attributes.get("style") or "") is None


def _joined(base: str, href: str | None) -> str:
    """Where a link leads; empty for what is not on the web, on the same page, or endless."""
    if not href or len(href) > MAX_LINK_CHARS:
        return ""
    try:
        url = urljoin(base, href.strip())
        elsewhere = urldefrag(url).url != urldefrag(base).url
    except ValueError:
        return ""
    return url if elsewhere and url.startswith(("http://", "https://")) and len(url) <= MAX_LINK_CHARS else ""
