"""Every row of the corpus of requests: what must be refused is, with its status, the connection closed, and no instance fooled by a byte
of it; what is unusual but right arrives as what it means. Each row is sent at once, byte by byte, and behind a valid request."""

import asyncio
import socket
from collections.abc import Callable

import anyio
import pytest

from tests.conformance.gateway.corpus import H, Refused, Taken, get
from tests.conformance.gateway.corpus.chunks import CHUNKS
from tests.conformance.gateway.corpus.fields import FIELDS
from tests.conformance.gateway.corpus.framing import FRAMING
from tests.conformance.gateway.corpus.lines import REQUEST_LINES
from tests.conformance.gateway.corpus.unusual import TAKEN
from tests.fakes.routed import Routed, routed
from tests.fakes.strict import Serving, answers, serving

REFUSED = [*FRAMING, *CHUNKS, *REQUEST_LINES, *FIELDS]
SMUGGLED = get(first=b"GET /smuggled HTTP/1.1")
FIRST = get(first=b"GET /first HTTP/1.1")
LONG = 2000  # a longer one is cut into pieces, not into bytes
SECONDS = 30


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))] if len(data) < LONG else [data[at : at + 999] for at in range(0, len(data), 999)]


def behind_another(data: bytes) -> list[bytes]:
    return [FIRST + data]


WAYS: list[Callable[[bytes], list[bytes]]] = [whole, byte_by_byte, behind_another]


async def said(gw: Routed, pieces: list[bytes]) -> bytes:
    """What the gateway answers to these pieces and a request behind them, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port, limit=1 << 20)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with anyio.fail_after(SECONDS):
            for piece in pieces:
                writer.write(piece)
                await anyio.sleep(0)
            writer.write(SMUGGLED)
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


async def settled(gw: Routed) -> None:
    chain = gw.gateway.chain
    assert chain is not None
    await gw.until(lambda: not chain.active and not chain.connections)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_is_refused(case: Refused) -> None:
    async with serving() as instance, routed(read_head=10, linger=0.1) as gw:
        gw.cluster.instance(instance.port)
        for way in WAYS:
            del instance.seen[:]
            got = answers(await said(gw, way(case.data)))
            if way is behind_another:
                assert (got[0].status, got[0].body) == (200, b"hello")
                got = got[1:]
            assert len(got) == 1, f"one answer to it and nothing behind it: {got}"
            assert got[0].status == case.status or (way is not whole and got[0].status == case.also), got[0].body
            assert got[0].headers[b"connection"] == b"close"
            await settled(gw)
            nothing_came_of_it(case, instance, way)


def nothing_came_of_it(case: Refused, instance: Serving, way: Callable[[bytes], list[bytes]]) -> None:
    assert instance.refused == [], "what the gateway wrote is not what h11 reads"
    assert b"/smuggled" not in instance.raw
    seen = [s for s in instance.seen if s.target != b"/first"]
    if case.body and (way is byte_by_byte or len(case.data) > LONG):  # its head had been passed on when its body went wrong
        assert not any(s.whole for s in seen), "the instance took a bad request for a whole one"
    else:
        assert seen == [], "the instance saw something of it"


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.name)
async def test_is_taken(case: Taken) -> None:
    async with serving() as instance, routed(read_head=10) as gw:
        gw.cluster.instance(instance.port)
        for way in WAYS:
            del instance.seen[:]
            before = [b"/first"] if way is behind_another else []
            got = answers(await answered(gw, instance, way(case.data), len(before) + 1))
            expected = [*before, case.target] if case.closes else [*before, case.target, b"/last"]
            assert [s.target for s in instance.seen] == expected
            assert [(g.status, g.body) for g in got] == [(200, b"hello")] * len(expected)
            assert instance.refused == []
            seen = instance.seen[len(before)]
            assert (seen.method, seen.body, len(seen.all(b"host"))) == (case.method, case.content, 1)
            assert not {n for n, _ in seen.headers} & {b"te", b"keep-alive", b"http2-settings"}
            assert {n for n, _ in seen.trailers} <= {b"x-a", b"x-c"}


async def answered(gw: Routed, instance: Serving, pieces: list[bytes], requests: int) -> bytes:
    """What the gateway answers to these pieces, and to one more request once they have arrived."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port, limit=1 << 20)
    try:
        with anyio.fail_after(SECONDS):
            for piece in pieces:
                writer.write(piece)
                await anyio.sleep(0)
            await gw.until(lambda: sum(s.whole for s in instance.seen) == requests)
            writer.write(b"GET /last HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
            return await reader.read()
    finally:
        writer.transport.abort()
