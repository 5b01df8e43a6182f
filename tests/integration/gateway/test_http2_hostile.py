"""What a hostile HTTP/2 peer can do to the gateway is bounded: floods are hung up on, what never ends is cut off, nobody else is harmed."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gateway.http1.read import PREFACE
from gateway.http2.protocol import STREAMS
from tests.fakes.http2 import H2Client, h2_client, h2_upstream
from tests.fakes.routed import HOST, Routed, routed
from tests.fakes.upstream import Received, ok, upstream

CALM = 11  # ENHANCE_YOUR_CALM


@asynccontextmanager
async def attacked(**settings: Any) -> AsyncIterator[tuple[Routed, H2Client]]:
    """A gateway with a function, one connection to attack on, and afterwards a look whether others are still served."""
    async with upstream() as instance, routed(**settings) as gw:
        gw.cluster.instance(instance.port)
        async with h2_client(gw.gateway.port) as client:
            assert (await client.ask()).status == 200
            yield gw, client
        assert (await gw.get()).status == 200
        async with h2_client(gw.gateway.port) as other:
            assert (await other.ask()).status == 200
        chain = gw.gateway.chain
        assert chain is not None
        await gw.until(lambda: not chain.connections and not chain.active)


async def flood(client: H2Client, frames: Callable[[int], bytes], most: int = 200_000) -> int:
    """Send frames in batches until the gateway hangs up; how many it took."""
    sent = 0
    while sent < most and not client.closed:
        client.writer.write(b"".join(frames(sent + i) for i in range(100)))
        sent += 100
        try:
            with anyio.fail_after(10):
                await client.writer.drain()
        except (ConnectionError, TimeoutError):
            break
        await asyncio.sleep(0)
    await client.until(lambda: client.closed)
    return sent


def head_block(client: H2Client, **fields: str) -> bytes:
    return Encoder().encode(client.fields(**fields), huffman=False)


def headers(id_: int, block: bytes, *flags: str) -> HeadersFrame:
    frame = HeadersFrame(id_, flags=flags)
    frame.data = block
    return frame


class TestFloods:
    async def test_of_streams_that_are_reset_at_once(self) -> None:
        async with attacked() as (gw, client):
            block = head_block(client)

            def rapid(i: int) -> bytes:
                id_ = 3 + 2 * i
                return headers(id_, block, "END_HEADERS", "END_STREAM").serialize() + RstStreamFrame(id_, error_code=8).serialize()

            assert await flood(client, rapid) < 20_000
            assert client.goaway == [] or client.goaway[-1][1] == CALM
            assert not gw.line().meter.concurrency

    async def test_a_thousand_cancelled_calls_are_no_flood(self) -> None:
        async with attacked() as (_, client):
            for _ in range(5):
                for _ in range(150):
                    client.h2.reset_stream(client.begin(), 8)
                client.flush()
                await anyio.sleep(0.01)
            assert (await client.ask()).status == 200

    async def test_of_streams_that_the_gateway_must_reset(self) -> None:
        """The same without a RST_STREAM of the client's own: each request is malformed."""
        async with attacked() as (_, client):
            block = Encoder().encode([(b":method", b"GET")], huffman=False)
            assert await flood(client, lambda i: headers(3 + 2 * i, block, "END_HEADERS", "END_STREAM").serialize()) < 20_000

    async def test_of_windows_that_overflow(self) -> None:
        """Another way to make the gateway reset streams: a window above 2^31."""
        async with attacked() as (_, client):
            block = head_block(client)

            def overflow(i: int) -> bytes:
                id_ = 3 + 2 * i
                window = WindowUpdateFrame(id_, window_increment=2**31 - 1).serialize()
                return headers(id_, block, "END_HEADERS").serialize() + window

            assert await flood(client, overflow) < 20_000

    @pytest.mark.parametrize(
        "frame",
        [
            PingFrame(0, b"12345678"),
            SettingsFrame(0, {SettingCodes.INITIAL_WINDOW_SIZE: 1}),
            SettingsFrame(0, {}),
            PriorityFrame(1, depends_on=0, stream_weight=5),
            WindowUpdateFrame(0, window_increment=1),
            b"\0\0\0\x77\0\0\0\0\0",
        ],
        ids=["pings", "settings", "empty settings", "priorities", "windows", "frames of no known kind"],
    )
    @pytest.mark.parametrize("reads", [True, False])
    async def test_of_frames_that_lead_to_nothing(self, frame: Any, reads: bool) -> None:
        data = frame if isinstance(frame, bytes) else frame.serialize()
        async with attacked() as (_, client):
            if not reads:
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                client.reader.feed_eof()
            assert await flood(client, lambda i: data) < 100_000

    async def test_of_empty_data(self) -> None:
        async with attacked() as (_, client):
            stream = client.begin("/", "POST", end=False)
            assert await flood(client, lambda i: DataFrame(stream, b"").serialize()) < 20_000

    async def test_of_tiny_windows(self) -> None:
        """Each byte of the answer asked for by itself: thirteen bytes in, ten out."""

        async def large(request: Received, reader: Any, writer: Any) -> bytes | None:
            return ok(b"x" * 1_000_000)

        async with upstream(large) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            client.acknowledge = False
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            stream = client.begin()
            assert await flood(client, lambda i: WindowUpdateFrame(stream, window_increment=1).serialize()) < 50_000
            assert len(client.streams[stream].body) < 50_000

    async def test_of_streams_beyond_the_limit(self) -> None:
        """They are refused one by one, and may be sent again; the others go on."""
        async with routed() as gw, h2_client(gw.gateway.port) as client:
            block = head_block(client)
            client.raw(*(headers(1 + 2 * i, block, "END_HEADERS", "END_STREAM") for i in range(STREAMS + 50)))
            client.h2.state_machine.state = client.h2.state_machine.state.CLIENT_OPEN
            resets: list[int] = []

            def seen(frame: Any) -> Any:
                resets.append(frame.error_code)
                return [], []

            client.h2._frame_dispatch_table[RstStreamFrame] = seen
            await client.until(lambda: len(resets) == 50)
            assert set(resets) == {7}
            assert len(gw.line().waiting) == STREAMS
            assert not client.closed


class TestHeads:
    async def test_that_never_end_are_cut_off_by_size(self) -> None:
        async with attacked() as (_, client):
            client.raw(headers(3, head_block(client)))
            endless = ContinuationFrame(3)
            endless.data = b"\0\x01a\x7e" + b"b" * 126  # an incomplete field; no END_HEADERS
            assert await flood(client, lambda i: endless.serialize()) < 2000

    async def test_that_never_end_are_cut_off_by_number_of_frames(self) -> None:
        async with attacked() as (_, client):
            client.raw(headers(3, head_block(client)))
            assert await flood(client, lambda i: ContinuationFrame(3).serialize()) < 20_000

    @pytest.mark.parametrize("piece", [b"\0\0", b"\0\0\x20\x01\0", None])
    async def test_that_dawdle_are_cut_off_by_time(self, piece: bytes | None) -> None:
        async with attacked(read_head=0.05) as (_, client):
            client.raw(piece or headers(3, head_block(client)))
            await client.until(lambda: client.closed)

    async def test_that_dawdle_before_the_preface_is_over_are_cut_off_by_time(self) -> None:
        async with routed(read_head=0.05) as gw:
            client = await gw.client()
            await client.send(PREFACE[:20])
            with anyio.fail_after(20):
                await client.reader.read()
            await client.close()

    async def test_that_unpack_to_much_more_than_they_are_end_the_connection(self) -> None:
        """An HPACK bomb: one large field in the table, named a thousand times for a byte each."""
        async with attacked() as (_, client):
            bomb = b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000 + b"\xbe" * 1000
            client.raw(headers(3, head_block(client) + bomb, "END_HEADERS", "END_STREAM"))
            await client.until(lambda: client.closed)
            assert client.goaway[-1][1] == CALM

    async def test_with_thousands_of_small_fields_are_refused(self) -> None:
        async with attacked() as (_, client):
            client.h2.send_headers(3, client.fields(), end_stream=True)  # the library believes that this was sent
            client.h2.clear_outbound_data_buffer()
            client.raw(headers(3, head_block(client) + b"\x82" * 1500, "END_HEADERS", "END_STREAM"))
            assert (await client.answer(3)).status == 431
            assert (await client.ask()).status == 200


class TestMisuse:
    @pytest.mark.parametrize(
        "frames",
        [
            [headers(2, b"\x82\x86\x84", "END_HEADERS", "END_STREAM")],
            [b"\0\0\1\1\4\0\0\0\0\x82"],
            [b"\0\0\1\0\0\0\0\0\0x"],
            [DataFrame(99, b"x")],
            [WindowUpdateFrame(99, window_increment=1)],
            [b"\0\0\4\x08\0\0\0\0\0\0\0\0\0"],
            [WindowUpdateFrame(0, window_increment=2**31 - 1)],
            [b"\0\0\3\3\0\0\0\0\1\0\0\0"],
            [ContinuationFrame(1)],
            [b"\x01\x00\x01\x00\0\0\0\0\1" + b"x" * 65537],
            [b"\0\0\5\4\0\0\0\0\0\0\0\0\0\0"],
            [SettingsFrame(0, {SettingCodes.ENABLE_PUSH: 7})],
            [b"\0\0\6\4\0\0\0\0\0\0\4\xff\xff\xff\xff"],
            [b"\0\0\7\6\0\0\0\0\0" + b"x" * 7],
            [b"\0\0\6\1\x2c\0\0\0\3\xff\0\0\0\3\x82"],
            [headers(3, b"\xff\xff\xff\xff\xff", "END_HEADERS", "END_STREAM")],
            [headers(3, b"\x80", "END_HEADERS", "END_STREAM")],
            [b"\0\0\x05\5\4\0\0\0\1\0\0\0\2\x82"],
            [headers(3, b"\x82"), DataFrame(3, b"x")],
            [GoAwayFrame(0, last_stream_id=0), headers(2, b"\x82\x86\x84", "END_HEADERS")],
        ],
        ids=range(20),
    )
    async def test_of_frames_ends_the_connection(self, frames: list[Any]) -> None:
        async with attacked() as (_, client):
            client.raw(*frames)
            await client.until(lambda: client.closed)

    async def test_of_a_stream_number_twice_ends_the_connection(self) -> None:
        async with attacked() as (_, client):
            client.raw(headers(1, head_block(client), "END_HEADERS", "END_STREAM"))
            await client.until(lambda: client.closed)

    async def test_more_data_than_the_window_ends_the_connection(self) -> None:
        async with routed() as gw, h2_client(gw.gateway.port) as client:
            stream = client.begin("/", "POST", end=False)
            await gw.until(lambda: len(gw.line().waiting) == 1)
            client.raw(*(DataFrame(stream, b"x" * 16384) for _ in range(40)))
            await client.until(lambda: client.closed)
            assert [code for _, code in client.goaway] in ([3], [])  # the reset of an unread connection may overtake it
            await gw.until(lambda: not gw.line().waiting)

    async def test_random_bytes_harm_nobody(self) -> None:
        rand = random.Random(7)
        async with attacked() as (gw, _):
            for _ in range(300):
                frames = []
                for _ in range(rand.randrange(1, 12)):
                    body = rand.randbytes(rand.choice((0, 1, 4, 5, 8, 9, 30)))
                    head = struct.pack(">I", len(body))[1:] + bytes((rand.randrange(0, 11), rand.randrange(256)))
                    frames.append(head + struct.pack(">I", rand.choice((0, 1, 1, 2, 3, 5, 2**31 - 1))) + body)
                async with h2_client(gw.gateway.port) as fuzzer:
                    if rand.random() < 0.7:
                        fuzzer.raw(headers(1, head_block(fuzzer), "END_HEADERS"))
                    fuzzer.raw(*frames)
                    await anyio.sleep(0.001)

    async def test_random_frames_from_an_instance_harm_nobody(self) -> None:
        rand = random.Random(8)

        async def answer(request: Any) -> None:
            body = rand.randbytes(rand.choice((0, 1, 4, 5, 8, 9, 30)))
            head = struct.pack(">I", len(body))[1:] + bytes((rand.randrange(0, 11), rand.randrange(256)))
            request.peer.writer.write(head + struct.pack(">I", rand.choice((0, request.id, request.id, 2))) + body)
            await anyio.sleep(0.001)
            request.peer.writer.transport.abort()

        async with h2_upstream(answer) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            for _ in range(200):
                client = await gw.client()
                await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                with anyio.fail_after(20):
                    assert (await client.reader.read()).startswith(b"HTTP/1.1 ")
                await client.close()
            assert gw.gateway.chain is not None
            await gw.until(lambda: not gw.gateway.chain.active)  # type: ignore[union-attr]
