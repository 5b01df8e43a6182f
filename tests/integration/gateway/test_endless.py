"""What never ends is cut off: heads, trailers, chunk extensions and interim answers, from clients and from instances."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
import pytest

from tests.fakes.routed import HOST, routed
from tests.fakes.upstream import ok, upstream

POST = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MORE = 64 * 1024


async def flood(writer: asyncio.StreamWriter, start: bytes, endless: bytes) -> int:
    """Send until the other side has had enough; how much it took."""
    sent = 0
    try:
        writer.write(start)
        for _ in range(400):
            writer.write(endless * (MORE // len(endless)))
            sent += MORE
            with anyio.fail_after(5):
                await writer.drain()
    except OSError:
        pass
    return sent


class TestInstances:
    @pytest.mark.parametrize(
        ("start", "endless"),
        [
            (OK, b"X-A: " + b"a" * 1000 + b"\r\n"),
            (OK + b"X-A: ", b"a"),
            (b"HTTP/1.1 200 ", b"a"),
            (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            (CHUNKED + b"0\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
            (CHUNKED + b"0\r\nX-A: ", b"a"),
            (CHUNKED + b"1;", b"a"),
        ],
    )
    async def test_are_not_listened_to_for_ever(self, start: bytes, endless: bytes) -> None:
        took: list[int] = []

        async def answer(request: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
            took.append(await flood(writer, start, endless))
            writer.transport.abort()
            return None

        async with upstream(answer) as evil, routed() as gw:
            gw.cluster.instance(evil.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port)
            writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            with anyio.fail_after(30):
                said = b"".join([chunk async for chunk in _chunks(reader)])
                while not took:
                    await anyio.sleep(0.01)
            await shut(writer)
            assert took[0] < 8 << 20  # the kernel's buffers, and no more
            assert len(said) < 1 << 20

    @pytest.mark.parametrize("status", [b"000", b"099"])
    async def test_a_status_that_is_none_is_502(self, status: bytes) -> None:
        async def answer(*_: object) -> bytes:
            return b"HTTP/1.1 " + status + b" Hm\r\nContent-Length: 0\r\n\r\n"

        async with upstream(answer) as evil, routed() as gw:
            gw.cluster.instance(evil.port)
            assert (await gw.get()).status == 502

    async def test_a_large_head_that_ends_is_passed_on(self) -> None:
        async def answer(*_: object) -> bytes:
            return ok(extra="".join(f"X-{i}: {'a' * 1000}\r\n" for i in range(40)))

        async with upstream(answer) as up, routed() as gw:
            gw.cluster.instance(up.port)
            for _ in range(3):
                assert (await gw.get()).status == 200


class TestClients:
    @pytest.mark.parametrize("start", [b"0\r\n", b"0\r\nX-A: ", b"1;", b"3\r\nabc\r\n0\r\n"])
    async def test_are_not_listened_to_for_ever(self, start: bytes) -> None:
        async with upstream() as up, routed() as gw:
            gw.cluster.instance(up.port)
            line = b"X-A: " + b"a" * 1000 + b"\r\n"
            for endless in (line, b"a") if start.startswith((b"0\r\nX", b"1;")) else (line,):
                reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port)
                await flood(writer, POST + start, endless)  # read and thrown away for a moment, so that the answer arrives
                with anyio.fail_after(30):
                    said = await reader.read(12)
                assert said in (b"HTTP/1.1 431", b"HTTP/1.1 400")
                await shut(writer)

    async def test_a_body_of_small_chunks_is_no_trailer(self) -> None:
        async with upstream() as up, routed() as gw:
            gw.cluster.instance(up.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port)
            writer.write(POST)
            for _ in itertools.repeat(None, 40):
                writer.write(b"1;x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\na\r\n" * 100)
                await writer.drain()
            writer.write(b"0\r\nX-Sum: 1\r\n\r\n")
            with anyio.fail_after(30):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await shut(writer)


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await reader.read(65536):
        yield chunk


class TestConnections:
    async def test_more_than_the_gateway_takes_are_told_and_those_before_go_on(self) -> None:
        async with upstream() as up, routed(connections=3) as gw:
            gw.cluster.instance(up.port)
            kept = [await asyncio.open_connection("127.0.0.1", gw.gateway.port) for _ in range(3)]
            await anyio.sleep(0.05)
            reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port)
            with anyio.fail_after(30):
                assert (await reader.readline()).startswith(b"HTTP/1.1 503")
            await shut(writer)
            for _, other in kept[:2]:
                await shut(other)
            await gw.until(lambda: len(gw.gateway.chain.connections) < 3)  # type: ignore[union-attr]
            assert (await gw.get()).status == 200
            reader, writer = kept[2]
            writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            with anyio.fail_after(30):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await shut(writer)
