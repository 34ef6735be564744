from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.types import Send

from foundation.errors import InvalidRequest
from foundation.outbound import AnswerTooLarge, BlockedAddress, Outbound, OutboundFailed, OutboundTimeout
from tests.support.certificate import certificate_for
from tests.support.web import Web, serve_web


class Names:
    """A name server that gives the next of its answers each time, and counts the questions."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.questions: list[str] = []

    async def resolve(self, host: str) -> Sequence[str]:
        self.questions.append(host)
        if not self._answers.get(host):
            raise OSError("no such name")
        return self._answers[host].pop(0)


@asynccontextmanager
async def going_out(names: Names | None = None, *, trusted: Path | None = None) -> AsyncIterator[Outbound]:
    context = ssl.create_default_context(cafile=trusted) if trusted is not None else None
    outbound = Outbound(resolver=names, ssl_context=context)
    await outbound.start()
    try:
        yield outbound
    finally:
        await outbound.stop()


@pytest.fixture(scope="module")
async def outbound() -> AsyncIterator[Outbound]:
    async with going_out() as outbound:
        yield outbound


async def test_an_answer_comes_back_whole(web: Web, outbound: Outbound) -> None:
    web.reply("/plain", b"hello", status=201, headers={"X-Kind": "test"})

    fetched = await outbound.fetch(f"{web.url}/plain?a=1", allow_private=True)

    assert (fetched.status, fetched.body, fetched.headers["x-kind"]) == (201, b"hello", "test")
    assert fetched.url == f"{web.url}/plain?a=1"
    assert web.asked_for("/plain")[0].path == "/plain?a=1"


async def test_a_body_and_headers_are_sent(web: Web, outbound: Outbound) -> None:
    web.reply("/post")

    await outbound.fetch(
        f"{web.url}/post", method="POST", headers={"X-Own": "1"}, body=b"payload", allow_private=True
    )

    asked = web.asked_for("/post")[0]
    assert (asked.method, asked.body, asked.headers["x-own"]) == ("POST", b"payload", "1")
    assert asked.headers["host"] == f"127.0.0.1:{web.port}"
    assert asked.headers["user-agent"] == "switchyard"


async def test_an_error_status_is_an_answer(web: Web, outbound: Outbound) -> None:
    web.reply("/teapot", b"short", status=418)

    assert (await outbound.fetch(f"{web.url}/teapot", allow_private=True)).status == 418


async def test_the_server_is_not_led_to_its_own_network(web: Web, outbound: Outbound) -> None:
    for url in (web.url, f"http://localhost:{web.port}", "http://127.0.0.1:8080/", "http://[::1]:8080/"):
        with pytest.raises(BlockedAddress):
            await outbound.fetch(f"{url}/private")

    assert web.asked_for("/private") == []


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["169.254.169.254"], ["::ffff:10.0.0.1"], ["fd00::1"]],
)
async def test_a_name_that_leads_to_a_private_network_is_refused(answers: list[str]) -> None:
    names = Names(rebind_example=[answers])

    async with going_out(names) as outbound:
        with pytest.raises(BlockedAddress):
            await outbound.fetch("http://rebind.example:8080/")


async def test_the_operators_name_does_not_lead_to_metadata_either() -> None:
    async with going_out(Names(auth_example=[["169.254.169.254"]])) as outbound:
        with pytest.raises(BlockedAddress):
            await outbound.fetch("http://auth.example/", allow_private=True)


async def test_a_name_is_looked_up_once_and_that_address_is_connected(web: Web) -> None:
    web.reply("/once", b"here")
    names = Names(auth_internal=[["127.0.0.1"], ["169.254.169.254"]])

    async with going_out(names) as outbound:
        fetched = await outbound.fetch(f"http://auth.internal:{web.port}/once", allow_private=True)

    assert fetched.body == b"here"
    assert names.questions == ["auth.internal"]
    assert web.asked_for("/once")[0].headers["host"] == f"auth.internal:{web.port}"


async def test_the_next_address_is_tried_when_one_is_dead(web: Web) -> None:
    web.reply("/second", b"here")
    # Nothing listens on the port at the first address.
    names = Names(auth_internal=[["127.0.0.2", "127.0.0.1"]])

    async with going_out(names) as outbound:
        fetched = await outbound.fetch(f"http://auth.internal:{web.port}/second", allow_private=True)

    assert fetched.body == b"here"


async def test_an_open_connection_is_not_lent_to_a_stranger(web: Web) -> None:
    web.reply("/kept", b"here")
    names = Names(app_example=[["127.0.0.1"], ["127.0.0.1"]])

    async with going_out(names) as outbound:
        await outbound.fetch(f"http://app.example:{web.port}/kept", allow_private=True)
        with pytest.raises(BlockedAddress):
            await outbound.fetch(f"http://app.example:{web.port}/kept")


async def test_an_unknown_name_is_a_failure() -> None:
    async with going_out(Names()) as outbound:
        with pytest.raises(OutboundFailed, match="looked up"):
            await outbound.fetch("https://nowhere.example/")


async def test_a_redirect_is_followed(web: Web, outbound: Outbound) -> None:
    web.reply("/from", status=302, headers={"location": "/to"})
    web.reply("/to", b"arrived")

    fetched = await outbound.fetch(f"{web.url}/from", allow_private=True)

    assert (fetched.body, fetched.url) == (b"arrived", f"{web.url}/to")


async def test_a_redirect_to_another_private_place_is_refused(web: Web, outbound: Outbound) -> None:
    async with serve_web() as other:
        for location in (f"{other.url}/secret", "http://169.254.169.254/", f"http://localhost:{web.port}/to"):
            web.reply("/away", status=307, headers={"location": location})
            with pytest.raises(BlockedAddress):
                await outbound.fetch(f"{web.url}/away", allow_private=True)

        assert other.asked == []


async def test_a_redirect_the_caller_refuses_is_not_looked_up(web: Web) -> None:
    names = Names(**{"127.0.0.1": [["127.0.0.1"]]})
    web.reply("/open", status=302, headers={"Location": "http://elsewhere.example/"})

    async with going_out(names) as outbound:
        with pytest.raises(BlockedAddress):
            await outbound.fetch(f"{web.url}/open", allow_private=True, may_follow=lambda _: False)

    assert names.questions == ["127.0.0.1"]


async def test_redirects_end_after_five(web: Web, outbound: Outbound) -> None:
    for number in range(6):
        web.reply(f"/hop{number}", b"end", status=302, headers={"location": f"/hop{number + 1}"})
    web.reply("/hop6", b"end")

    assert (await outbound.fetch(f"{web.url}/hop1", allow_private=True)).body == b"end"
    with pytest.raises(OutboundFailed, match="more than 5"):
        await outbound.fetch(f"{web.url}/hop0", allow_private=True)


async def test_a_redirect_without_an_address_is_an_answer(web: Web, outbound: Outbound) -> None:
    web.reply("/nowhere", status=302)

    assert (await outbound.fetch(f"{web.url}/nowhere", allow_private=True)).status == 302


async def test_no_cookie_is_kept_between_requests(web: Web, outbound: Outbound) -> None:
    web.reply("/cookie", headers={"set-cookie": "a=b"})

    for _ in range(2):
        await outbound.fetch(f"{web.url}/cookie", allow_private=True)

    assert all("cookie" not in asked.headers for asked in web.asked_for("/cookie"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_answer_is_unpacked(web: Web, outbound: Outbound, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    web.reply("/packed", pack(b"hello" * 1000), headers={"content-encoding": encoding})

    assert (await outbound.fetch(f"{web.url}/packed", allow_private=True)).body == b"hello" * 1000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_bomb_is_too_large(web: Web, outbound: Outbound, encoding: str) -> None:
    bomb = gzip.compress(bytes(50_000_000)) if "gzip" in encoding else zlib.compress(bytes(50_000_000))
    web.reply(
        "/bomb", gzip.compress(bomb) if "," in encoding else bomb, headers={"content-encoding": encoding}
    )

    with pytest.raises(AnswerTooLarge):
        await outbound.fetch(f"{web.url}/bomb", allow_private=True, max_bytes=100_000)


async def test_the_size_limit_is_exact(web: Web, outbound: Outbound) -> None:
    web.reply("/sized", bytes(1000))

    assert len((await outbound.fetch(f"{web.url}/sized", allow_private=True, max_bytes=1000)).body) == 1000
    with pytest.raises(AnswerTooLarge):
        await outbound.fetch(f"{web.url}/sized", allow_private=True, max_bytes=999)


async def test_an_endless_answer_is_too_large(web: Web, outbound: Outbound) -> None:
    async def endless(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})

    web.answers["/endless"] = endless

    with pytest.raises(AnswerTooLarge):
        await outbound.fetch(f"{web.url}/endless", allow_private=True, max_bytes=100_000)


async def test_one_time_limit_holds_for_a_slow_body(web: Web, outbound: Outbound) -> None:
    async def drip(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.02)

    web.answers["/drip"] = drip

    with pytest.raises(OutboundTimeout):
        await outbound.fetch(f"{web.url}/drip", allow_private=True, timeout_s=0.2)


async def test_one_time_limit_holds_for_silence(outbound: Outbound) -> None:
    left = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await left.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    with pytest.raises(OutboundTimeout):
        await outbound.fetch(f"http://127.0.0.1:{port}/", allow_private=True, timeout_s=0.2)

    left.set()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_nonsense_is_a_failure(outbound: Outbound, answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    with pytest.raises(OutboundFailed) as failure:
        await outbound.fetch(f"http://127.0.0.1:{port}/?key=secret", allow_private=True)

    assert "secret" not in failure.value.detail
    server.close()
    await server.wait_closed()


async def test_a_closed_port_is_a_failure(outbound: Outbound) -> None:
    with pytest.raises(OutboundFailed):
        await outbound.fetch("http://127.0.0.1:1/", allow_private=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "internal"},
        {"Transfer-Encoding": "chunked"},
        {"proxy-authorization": "x"},
        {"x": "a\r\nb: c"},
    ],
)
async def test_some_headers_are_not_the_callers_to_set(outbound: Outbound, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        await outbound.fetch("https://example.com/", headers=headers)


@pytest.mark.parametrize("headers", [{"x": "snow ☃"}, {"x y": "1"}, {"": "1"}])
async def test_a_malformed_header_is_refused(web: Web, outbound: Outbound, headers: dict[str, str]) -> None:
    with pytest.raises((InvalidRequest, OutboundFailed)):
        await outbound.fetch(f"{web.url}/headers", headers=headers, allow_private=True)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET / HTTP/1.1\r\nX:"])
async def test_other_methods_are_refused(outbound: Outbound, method: str) -> None:
    with pytest.raises(InvalidRequest):
        await outbound.fetch("https://example.com/", method=method)


async def test_the_environments_proxy_is_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.reply("/direct", b"here")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async with going_out() as outbound:
        assert (await outbound.fetch(f"{web.url}/direct", allow_private=True)).body == b"here"


async def test_the_certificate_must_be_the_names(tmp_path: Path) -> None:
    certificate, key = certificate_for("shop.example", tmp_path, address="127.0.0.9")
    names = Names(shop_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])

    async with (
        serve_web(certificate=certificate, key=key) as web,
        going_out(names, trusted=certificate) as outbound,
    ):
        web.reply("/", b"open")
        fetched = await outbound.fetch(f"https://shop.example:{web.port}/", allow_private=True)
        with pytest.raises(OutboundFailed):
            await outbound.fetch(f"https://other.example:{web.port}/", allow_private=True)

    assert fetched.body == b"open"
    assert web.asked[0].headers["host"] == f"shop.example:{web.port}"


async def test_nothing_is_fetched_before_the_start_and_after_the_end() -> None:
    outbound = Outbound(resolver=Names())
    with pytest.raises(OutboundFailed):
        await outbound.fetch("https://example.com/")

    await outbound.start()
    await outbound.stop()
    await outbound.stop()

    with pytest.raises(OutboundFailed):
        await outbound.fetch("https://example.com/")


async def test_a_fetch_under_way_ends_with_the_client(web: Web) -> None:
    left = asyncio.Event()

    async def hang(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await left.wait()

    web.answers["/hang"] = hang
    async with going_out() as outbound:
        fetch = asyncio.create_task(outbound.fetch(f"{web.url}/hang", allow_private=True))
        await web.until_asked("/hang")
        await outbound.stop()

        with pytest.raises(OutboundFailed):
            async with asyncio.timeout(5):
                await fetch
    left.set()


async def test_the_machines_own_lookup_works(web: Web) -> None:
    web.reply("/own", b"here")

    async with going_out() as outbound:
        fetched = await outbound.fetch(f"http://localhost:{web.port}/own", allow_private=True)

    assert fetched.body == b"here"
