"""The pieces of HTTP/2 that need no socket: header blocks, floods, fields, and a connection that says nothing any more."""

import asyncio
import random
from typing import Any

import pytest
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKDecodingError, OversizedHeaderListError

from gateway import answers, errors
from gateway.http2 import flood, heads
from gateway.http2.encode import Encoder as Ours
from gateway.http2.lean import LeanDecoder
from gateway.http2.protocol import Http2
from gateway.http2.upstream import ASK_AGAIN, PATIENCE, QUIET, InstanceConnection, InstanceStream

FIELDS = [
    (b":method", b"GET"),
    (b":path", b"/a"),
    (b"x-long", b"v" * 300),
    (b"authorization", b"secret"),
    (b"empty", b""),
    (b"x-126", b"w" * 127),
]


class TestEncoder:
    def test_the_librarys_decoder_reads_what_it_writes(self) -> None:
        ours, decoder = Ours(), Decoder()
        for _ in range(3):
            assert [tuple(field) for field in decoder.decode(ours.encode(FIELDS), raw=True)] == FIELDS

    def test_it_uses_no_table_and_says_so_once(self) -> None:
        ours, decoder = Ours(), Decoder()
        first, second = ours.encode(FIELDS), ours.encode(FIELDS)
        assert (first[:1], first[1:]) == (b"\x20", second)
        decoder.decode(first)
        assert not decoder.header_table.dynamic_entries

    def test_secrets_may_not_be_kept_by_a_proxy_behind(self) -> None:
        found = Decoder().decode(Ours().encode(FIELDS), raw=True)
        assert [field.indexable for field in found] == [True, True, True, False, True, True]


def test_frames_are_not_described_for_a_log_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[int] = []
    monkeypatch.setattr("hyperframe.frame.binascii.hexlify", lambda data: described.append(len(data)) or b"")
    client, server = Http2(client=True, max_head=1000), Http2(client=False, max_head=1000)
    client.send_headers(1, [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")])
    client.send_data(1, b"x" * 10_000)
    assert [event.data for event in server.receive_data(client.data_to_send()) if hasattr(event, "data")] == [b"x" * 10_000]
    assert described == []


class TestDecoder:
    def test_it_reads_what_the_librarys_reads(self) -> None:
        rand = random.Random(3)
        names = [b":method", b":path", b"x-a", b"x-b", b"cookie", b"content-type"]
        encoder, ours, theirs = Encoder(), LeanDecoder(), Decoder()
        for _ in range(2000):
            fields = [(rand.choice(names), rand.choice((b"GET", b"/", b"/b", b"1", rand.randbytes(5)))) for _ in range(rand.randrange(9))]
            block = encoder.encode(fields)
            assert [tuple(f) for f in ours.decode(block, raw=True)] == [tuple(f) for f in theirs.decode(block, raw=True)] == fields

    def test_random_blocks_are_refused_or_read_alike(self) -> None:
        rand = random.Random(4)
        for _ in range(5000):
            block = bytes(rand.choice((0x80, 0x82, 0x84, 0xBE, 0xFF, 0x20, 0x40, 0x01, 0x61)) for _ in range(rand.randrange(1, 9)))
            results = []
            for decoder in (LeanDecoder(), Decoder()):
                try:
                    results.append([tuple(field) for field in decoder.decode(block, raw=True)])
                except HPACKDecodingError:
                    results.append([])
            assert results[0] == results[1], block.hex()

    def test_a_list_over_the_limit_is_refused_wherever_it_grows(self) -> None:
        block = b"\x82" * 100
        for data in (block, block + b"\x40\x01a\x01b", b"\x40\x01a\x01b" + block):
            decoder = LeanDecoder()
            decoder.max_header_list_size = 2000
            with pytest.raises(OversizedHeaderListError):
                decoder.decode(data, raw=True)


class TestFloods:
    def test_a_thousand_at_once_are_allowed_and_a_hundred_a_second_for_ever(self) -> None:
        bucket = flood.Bucket(0.0)
        assert all(bucket.spend(flood.RESET, 0.0) for _ in range(1000))
        assert not bucket.spend(flood.RESET, 0.0)
        bucket = flood.Bucket(0.0)
        assert all(bucket.spend(flood.RESET, i / 100) for i in range(100_000))

    def test_work_that_was_done_is_given_back_but_not_hoarded(self) -> None:
        bucket = flood.Bucket(0.0)
        for _ in range(100_000):
            bucket.earn(flood.SENT)
        assert bucket.left == flood.POINTS


class TestAnswers:
    @pytest.mark.parametrize(
        ("why", "code"),
        [
            (errors.UnknownHost("no: 100% ü"), b"12"),
            (errors.Unreachable(), b"14"),
            (errors.LineFull(), b"14"),
            (errors.NotInTime(), b"14"),
            (errors.OutOfTime(), b"4"),
            (errors.BodyTooLarge(), b"8"),
            (errors.InternalError(), b"13"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_grpc_client_is_told_in_its_own_words(self, why: errors.Refusal, code: bytes) -> None:
        fields, body = heads.answer(answers.refusal(why), grpc=True)
        told = dict(fields)
        assert (told[b":status"], told[b"grpc-status"], body) == (b"200", code, b"")
        if code == b"12":
            assert told[b"grpc-message"] == b"no: 100%25 %C3%BC"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        self.out = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.out += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0


class Pool:
    def __init__(self) -> None:
        self.lost: list[InstanceConnection] = []

    def room(self) -> None: ...

    def gone(self, wire: InstanceConnection) -> None:
        self.lost.append(wire)


class TestSilence:
    """A connection whose other end has vanished without a word."""

    async def connected(self) -> tuple[InstanceConnection, Http2, Transport, Pool]:
        pool, transport = Pool(), Transport()
        wire = InstanceConnection(pool, asyncio.get_running_loop().time)
        wire.connection_made(transport)
        peer = Http2(client=False, max_head=65536)
        peer.receive_data(transport.out)
        wire.data_received(peer.data_to_send())
        await wire.greeted
        wire.begin(InstanceStream(wire), [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")], last=True)
        await asyncio.sleep(0)
        transport.out = b""
        return wire, peer, transport, pool

    async def sweep(self, wire: InstanceConnection, seconds: float) -> None:
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            wire.check(asyncio.get_running_loop().time(), 4.0)

    async def test_is_asked_and_given_up(self) -> None:
        wire, _, transport, pool = await self.connected()
        await self.sweep(wire, QUIET + 2)
        await asyncio.sleep(0)
        assert b"kfn-ping" in transport.out
        await self.sweep(wire, PATIENCE + 1)
        assert transport.closed
        assert pool.lost == [wire]

    async def test_that_answers_is_kept_and_asked_seldom(self) -> None:
        wire, peer, transport, _ = await self.connected()
        asked = 0
        for _ in range(int(ASK_AGAIN * 3)):
            await self.sweep(wire, 1)
            if b"kfn-ping" in transport.out:
                asked += 1
                peer.receive_data(transport.out)
                transport.out = b""
                wire.data_received(peer.data_to_send())
        assert 2 <= asked <= 4
        assert not transport.closed

    async def test_without_requests_is_an_unused_connection(self) -> None:
        wire, _, transport, _ = await self.connected()
        (stream,) = wire.streams.values()
        stream.close()
        await self.sweep(wire, 6)
        assert transport.closed
