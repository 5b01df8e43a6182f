"""The small HTTP client on real sockets: kept connections, every way a body can end, and every way an answer can fail to come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from kfn import http1
from tests.fakes.sink import Got, Say, sink


@asynccontextmanager
async def raw(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives connection n the nth answer to its first request, then closes it."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(answers[min(len(seen), len(answers)) - 1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def client(**options: float) -> AsyncIterator[http1.Client]:
    one = http1.Client(**options)  # type: ignore[arg-type]
    try:
        yield one
    finally:
        await one.aclose()


async def test_connections_are_kept_and_shared_by_requests_one_after_the_other() -> None:
    async with sink() as server, client() as http:
        for n in range(5):
            answer = await http.request("POST", f"{server.url}/p?q={n}", headers=[("x", "y")], body=b"hi")
            assert answer.status == 204
        assert server.open == 1
        assert [(got.path, got.body, got.headers["x"]) for got in server.got][4] == ("/p?q=4", b"hi", "y")


async def test_requests_at_once_have_a_connection_each() -> None:
    async with sink() as server, client() as http:
        gate = anyio.Event()

        async def hold(got: Got) -> Say:
            await gate.wait()
            return Say(200, body=got.body)

        server.answer = hold
        bodies: list[bytes] = []

        async def one(n: int) -> None:
            bodies.append((await http.request("POST", server.url, body=b"%d" % n)).body)

        async with anyio.create_task_group() as tasks:
            for n in range(10):
                tasks.start_soon(one, n)
            await server.wait(10)
            assert server.open == 10
            gate.set()
        assert sorted(bodies) == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi"),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    ],
    ids=["length", "chunked", "until-close", "http-1.0", "no-content", "continue", "early-hints"],
)
async def test_every_way_a_body_ends(answer: bytes, body: bytes) -> None:
    async with raw(answer) as (url, _), client() as http:
        got = await http.request("GET", url)
        assert (got.status in (200, 204), got.body, got.header(b"link")) == (True, body, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi",
    ],
    ids=["nothing", "half-a-head", "not-http", "half-a-body", "half-a-chunk"],
)
async def test_an_answer_that_breaks_off_is_no_answer(answer: bytes) -> None:
    async with raw(answer) as (url, _), client() as http:
        with pytest.raises(http1.Disconnected):
            await http.request("GET", url)


async def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    async with raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi") as (url, seen), client() as http:
        for _ in range(3):
            assert (await http.request("POST", url, body=b"")).body == b"hi"
        assert len(seen) == 3


async def test_an_answer_that_does_not_come_in_time() -> None:
    async with sink() as server, client() as http:

        async def never(got: Got) -> Say:
            await anyio.sleep(60)
            return Say()

        server.answer = never
        with pytest.raises(http1.TimedOut, match=r"within 0.05 s"):
            await http.request("POST", server.url, timeout=0.05)
        server.answer = server._fine
        assert (await http.request("POST", server.url)).status == 204, "the late answer is not taken for this one's"


async def test_an_answer_larger_than_allowed() -> None:
    async with raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"x" * 100) as (url, _), client(max_body=50) as http:
        with pytest.raises(http1.TooLarge):
            await http.request("GET", url)


async def test_nobody_listens() -> None:
    async with client() as http:
        with pytest.raises(http1.ConnectFailed, match=r"127\.0\.0\.1:1: "):
            await http.request("GET", "http://127.0.0.1:1/")


async def test_via_connects_elsewhere_and_keeps_the_name_as_host() -> None:
    async with sink() as server, client() as http:
        await http.request("POST", "http://embed.default.svc.cluster.local/x", via=("127.0.0.1", server.port))
        assert (server.got[0].headers["host"], server.got[0].path) == ("embed.default.svc.cluster.local", "/x")


@pytest.mark.parametrize("url", ["", "/path", "ftp://x/", "http://", "http://x:y/", "http://x/a b", "http://x/\r\nevil: 1"])
async def test_what_is_no_url(url: str) -> None:
    async with client() as http:
        with pytest.raises(http1.InvalidUrl):
            await http.request("GET", url)


async def test_a_header_cannot_smuggle_another() -> None:
    async with client() as http:
        with pytest.raises(http1.HttpError, match="line break"):
            await http.request("GET", "http://127.0.0.1:1/", headers=[("x", "a\r\nevil: 1")])
