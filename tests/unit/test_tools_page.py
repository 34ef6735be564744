from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from foundation.workers import JobCrashed, JobFailed, JobTimedOut, WorkerPool
from heavy_agents.tools.charset import charset_of, decode, media_type_of
from heavy_agents.tools.page import read

URL = "https://example.com/shop/list?page=1"


def silent(fraction: float, note: str) -> None:
    pass


def asked(html: str | bytes, *, charset: str | None = "utf-8", max_chars: int = 20_000) -> dict[str, Json]:
    body = html if isinstance(html, bytes) else html.encode()
    return {
        "body": base64.b64encode(body).decode(),
        "charset": charset,
        "url": URL,
        "maxChars": max_chars,
    }


def text(html: str | bytes, *, charset: str | None = "utf-8", max_chars: int = 20_000) -> str:
    return str(read(asked(html, charset=charset, max_chars=max_chars), silent)["text"])


def test_a_page_reads_like_a_text() -> None:
    html = """<!doctype html><html><head><title> The
      shop </title><style>p {}</style></head><body>
      <h1>Fruit</h1>
      <p>Fresh   &amp; <b>ripe</b>,
      every day.<br>Even Sundays.</p>
      <ul><li><p>apples</p></li><li>pears <i>(two)</i></li></ul>
      <table><tr><th>kind</th><th>price</th></tr><tr><td>apple</td><td>3&nbsp;€</td></tr></table>
      <pre>a
  b</pre>
      <div>end</div></body></html>"""

    assert read(asked(html), silent) == {
        "title": "The shop",
        "text": (
            "# Fruit\n\nFresh & ripe, every day.\nEven Sundays.\n\n- apples\n\n- pears (two)\n\n"
            "kind | price\napple | 3 €\n\na\n  b\n\nend"
        ),
        "truncated": False,
    }


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>evil()</script>",
        "<style>evil</style>",
        "<noscript>evil</noscript>",
        "<template><p>evil</p></template>",
        "<svg><text>evil</text></svg>",
        "<p hidden>evil</p>",
        '<div aria-hidden="true"><p>evil</p></div>',
        '<div style="color: red; DISPLAY : none"><p>evil</p></div>',
        '<span style="visibility:hidden">evil</span>',
        "<!-- evil -->",
        "<iframe>evil</iframe>",
        "<select><option>evil</option></select>",
    ],
)
def test_what_nobody_sees_is_not_read(hidden: str) -> None:
    assert text(f"<body>before {hidden} after") == "before after"


@pytest.mark.parametrize(
    ("link", "reads"),
    [
        ('<a href="/a?b=1&amp;c">here</a>!', "here (https://example.com/a?b=1&c)!"),
        ('<a href="//other.example/x"> <b>there</b> </a> too', "there (https://other.example/x) too"),
        ('<a href="https://example.com/x">https://example.com/x</a>', "https://example.com/x"),
        ('<a href="#top">up</a>', "up"),
        ('<a href="javascript:evil()">click</a>', "click"),
        ('<a href="mailto:a@example.com">write</a>', "write"),
        ('<a href="http://[broken/">odd</a>', "odd"),
        ('<a href="/x"><img src="y"></a>none', "none"),
        ("<a>nowhere</a>", "nowhere"),
        (f'<a href="/{"x" * 600}">long</a>', "long"),
    ],
)
def test_a_link_says_where_it_leads(link: str, reads: str) -> None:
    assert text(link) == reads


def test_links_are_seen_from_the_pages_own_base() -> None:
    assert text('<head><base href="/docs/"></head><a href="x">x</a>') == "x (https://example.com/docs/x)"


@given(st.text(max_size=300), st.integers(1, 100))
def test_a_text_is_never_longer_than_asked_for(content: str, max_chars: int) -> None:
    html = f"<p>{content}<p><a href=/x>{content}</a><pre>{content}".encode("utf-8", "replace")
    page = read(asked(html, max_chars=max_chars), silent)

    assert len(str(page["text"])) <= max_chars
    assert page["truncated"] or str(page["text"]) == text(html, max_chars=100_000)


def test_a_page_of_many_levels_is_read() -> None:
    assert text("<div>" * 3_000 + "deep") == "deep"


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("<p>Grüße €".encode("cp1252"), "cp1252"),
        ('<meta charset="windows-1251"><p>Привет'.encode("cp1251"), None),
        ("\ufeff<p>日本語".encode("utf-16-le"), "cp1252"),
        ("<p>日本語".encode("shift_jis"), "shift_jis"),
        ("<p>日本語".encode(), None),
    ],
)
def test_a_page_is_read_in_its_encoding(body: bytes, charset: str | None) -> None:
    assert text(body, charset=charset) in {"Grüße €", "Привет", "日本語"}


@pytest.mark.parametrize(
    ("header", "charset"),
    [
        ("text/html; charset=UTF-8", "utf-8"),
        ('text/html; charset="iso-8859-1"', "cp1252"),
        ("text/html; charset=us-ascii", "cp1252"),
        ("text/html; Charset=Shift_JIS", "shift_jis"),
        ("text/html; charset=punycode", None),
        ("text/html; charset=unicode_escape", None),
        ("text/html; charset=zip", None),
        ("text/html; charset=nonsense", None),
        ("text/html; charset=\0", None),
        ("text/html", None),
        ("", None),
    ],
)
def test_only_encodings_of_the_web_are_known(header: str, charset: str | None) -> None:
    assert charset_of(header) == charset


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"\n <!DOCTYPE html><p>", "text/html"),
        (b"\xef\xbb\xbf<html lang=en>", "text/html"),
        (b"just words", "text/plain"),
        (b"\x89PNG\r\n\0\0", "application/octet-stream"),
    ],
)
def test_without_a_header_the_beginning_tells_what_it_is(body: bytes, media_type: str) -> None:
    assert media_type_of("", body) == media_type


def test_wrong_bytes_are_replaced() -> None:
    assert decode(b"a\xffb", None) == "a\N{REPLACEMENT CHARACTER}b"


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(processes=1, memory_mb=512, allowed=("heavy_agents.tools.page:",))
    await pool.start()
    yield pool
    await pool.stop()


async def test_a_page_that_grows_without_end_ends_its_process_only(pool: WorkerPool) -> None:
    # Each paragraph repeats all open <b>: 3,000 of them become 4.5 million elements.
    growing = "".join(f"<b x={number}><p>" for number in range(6_000))

    with pytest.raises((JobFailed, JobCrashed, JobTimedOut)):
        await pool.run("heavy_agents.tools.page:read", asked(growing), timeout_s=5)


async def test_a_page_that_takes_for_ever_is_stopped(pool: WorkerPool) -> None:
    with pytest.raises(JobTimedOut):
        await pool.run("heavy_agents.tools.page:read", asked("<div>" * 400_000), timeout_s=1.5)
