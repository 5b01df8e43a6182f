"""The function server speaks HTTP/1.1 as its clients may expect, seen from a raw socket."""

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.function_process import FunctionProcess, Wire, function

SOURCE = """
import asyncio
import kfn

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    path = scope["path"]
    if path == "/early":
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})
        return
    if path == "/close":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"bye"})
        return
    if path == "/short":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"abc"})
        return
    if path == "/inject":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b\\r\\nset-cookie: c")]})
        await send({"type": "http.response.body", "body": b"abc"})
        return
    size, pieces = 0, []
    while True:
        message = await receive()
        pieces.append(message["body"])
        size += len(message["body"])
        if not message["more_body"]:
            break
    if path == "/size":
        body = str(size).encode()
    elif path == "/headers":
        body = repr(scope["headers"]).encode()
    elif path == "/slow":
        await asyncio.sleep(0.05)
        body = scope["query_string"]
    else:
        body = b"".join(pieces)
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(3):
            await send({"type": "http.response.body", "body": b"part%d" % n, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    folder: Path = tmp_path_factory.mktemp("http")
    with function(folder, SOURCE) as running:
        yield running


@pytest.fixture
def wire(server: FunctionProcess) -> Iterator[Wire]:
    with server.connect() as opened:
        yield opened


class TestKeepAlive:
    def test_a_connection_serves_one_request_after_the_other(self, wire: Wire) -> None:
        assert wire.request("/", method="POST", body=b"one").body == b"one"
        assert wire.request("/", method="POST", body=b"two").body == b"two"

    def test_pipelined_requests_are_answered_in_order(self, wire: Wire) -> None:
        wire.send(b"".join(b"GET /slow?%d HTTP/1.1\r\nhost: f\r\n\r\n" % n for n in range(5)))
        assert [wire.reply().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]

    def test_a_long_pipeline_with_bodies_is_answered_whole(self, wire: Wire) -> None:
        wire.send(b"".join(b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 4\r\n\r\n%04d" % n for n in range(500)))
        assert [int(wire.reply().body) for _ in range(500)] == list(range(500))

    def test_connection_close_of_the_client_is_honoured(self, wire: Wire) -> None:
        assert wire.request("/", "connection: close").headers["connection"] == "close"
        assert wire.closed()

    def test_connection_close_of_the_handler_is_honoured(self, wire: Wire) -> None:
        assert wire.request("/close").body == b"bye"
        assert wire.closed()

    def test_http_1_0_closes_unless_it_is_asked_to_stay(self, server: FunctionProcess) -> None:
        with server.connect() as wire:
            wire.send(b"GET /size HTTP/1.0\r\n\r\n")
            assert wire.reply().body == b"0"
            assert wire.closed()
        with server.connect() as wire:
            wire.send(b"GET /size HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            assert wire.reply().headers["connection"] == "keep-alive"
            wire.send(b"GET /size HTTP/1.0\r\n\r\n")
            assert wire.reply().status == 200

    def test_a_stream_to_http_1_0_ends_with_the_connection(self, wire: Wire) -> None:
        wire.send(b"GET /stream HTTP/1.0\r\n\r\n")
        reply = wire.reply()
        assert reply.body == b"part0part1part2"
        assert "transfer-encoding" not in reply.headers


class TestBodies:
    def test_a_chunked_body_is_understood(self, wire: Wire) -> None:
        wire.send(b"POST / HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\n")
        assert wire.reply().body == b"abcdefg"
        assert wire.request("/size").status == 200

    def test_trailers_do_not_pass_for_headers(self, wire: Wire) -> None:
        wire.send(b"POST /headers HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-admin: 1\r\n\r\n")
        assert b"x-admin" not in wire.reply().body

    def test_trailers_without_end_are_refused(self, wire: Wire) -> None:
        wire.send(b"POST /size HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: ")
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                wire.send(b"a" * 65536)

    def test_a_body_that_arrives_byte_by_byte_is_understood(self, wire: Wire) -> None:
        for byte in b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 5\r\n\r\nhello":
            wire.send(bytes((byte,)))
        assert wire.reply().body == b"hello"

    def test_a_large_body_is_streamed_through(self, wire: Wire) -> None:
        assert wire.request("/size", method="POST", body=b"x" * 20_000_000).body == b"20000000"

    def test_a_stream_is_sent_chunked(self, wire: Wire) -> None:
        reply = wire.request("/stream")
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.body == b"part0part1part2"
        assert wire.request("/size").body == b"0"

    def test_continue_is_sent_when_the_handler_reads(self, wire: Wire) -> None:
        wire.send(b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        assert wire.reply().status == 100
        wire.send(b"hello")
        assert wire.reply().body == b"hello"

    def test_an_answer_before_the_expected_body_closes_without_continue(self, wire: Wire) -> None:
        wire.send(b"POST /early HTTP/1.1\r\nhost: f\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (403, "close")

    def test_a_body_that_the_handler_does_not_read_is_dropped(self, wire: Wire) -> None:
        assert wire.request("/early", method="POST", body=b"x" * 1_000_000).status == 403
        assert wire.request("/size", method="POST", body=b"abc").body == b"3"

    def test_head_has_the_headers_and_no_body(self, wire: Wire) -> None:
        reply = wire.request("/size", method="HEAD")
        assert reply.headers["content-length"] == "1"
        wire.request("/stream", method="HEAD")
        assert wire.request("/size").body == b"0"

    def test_a_response_cut_short_is_not_taken_for_whole(self, wire: Wire) -> None:
        wire.send(b"GET /short HTTP/1.1\r\nhost: f\r\n\r\n")
        with pytest.raises(ConnectionError):
            wire.reply()

    def test_a_header_cannot_smuggle_another(self, wire: Wire) -> None:
        reply = wire.request("/inject")
        assert reply.status == 500
        assert "set-cookie" not in reply.headers


class TestBadRequests:
    @pytest.mark.parametrize(
        "head",
        [
            b"NONSENSE\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: f\r\nbad header: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost : f\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
            b"GET /\xc3\xbc HTTP/1.1\r\nhost: f\r\n\r\n",
            b"GET / HTTP/9.9\r\nhost: f\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,
        ],
    )
    def test_what_is_not_http_is_answered_400(self, wire: Wire, head: bytes) -> None:
        wire.send(head)
        reply = wire.reply()
        assert reply.status == 400
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]
        assert wire.closed()

    def test_a_head_over_64_kib_is_answered_431(self, wire: Wire) -> None:
        wire.send(b"GET / HTTP/1.1\r\nhost: f\r\nx: " + b"a" * 70_000 + b"\r\n\r\n")
        assert wire.reply().status == 431

    def test_a_head_that_never_ends_is_answered_431(self, wire: Wire) -> None:
        wire.send(b"GET / HTTP/1.1\r\nhost: f\r\nx: ")
        for _ in range(100):
            wire.send(b"a" * 8000)
            time.sleep(0.001)  # noqa: TID251 - pieces that arrive apart
            if wire.sock in _readable(wire):
                break
        assert wire.reply().status == 431

    def test_a_head_just_below_the_limit_is_served(self, wire: Wire) -> None:
        assert wire.request("/size", f"x: {'a' * 60_000}").status == 200

    def test_a_good_request_before_a_bad_one_is_answered_first(self, wire: Wire) -> None:
        wire.send(b"GET /slow?good HTTP/1.1\r\nhost: f\r\n\r\nNONSENSE\r\n\r\n")
        assert wire.reply().body == b"good"
        assert wire.reply().status == 400

    def test_a_broken_chunk_ends_the_connection(self, wire: Wire) -> None:
        wire.send(b"POST / HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        assert wire.closed()

    def test_a_target_in_absolute_form_is_understood(self, wire: Wire) -> None:
        wire.send(b"GET http://example.com/slow?x HTTP/1.1\r\nhost: f\r\n\r\n")
        assert wire.reply().body == b"x"

    def test_an_upgrade_that_is_not_known_is_answered_as_http_1_1(self, wire: Wire) -> None:
        wire.send(b"GET /size HTTP/1.1\r\nhost: f\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        reply = wire.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (200, b"0", "close")


def _readable(wire: Wire) -> list[object]:
    import select

    return list(select.select([wire.sock], [], [], 0)[0])


class TestAnything:
    def test_mangled_requests_never_upset_it(self, server: FunctionProcess) -> None:
        good = [
            b"GET /a HTTP/1.1\r\nhost: f\r\n\r\n",
            b"POST /b HTTP/1.1\r\nhost: f\r\ncontent-length: 3\r\n\r\nabc",
            b"POST /c HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"POST /d HTTP/1.1\r\nhost: f\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi",
            b"GET /e HTTP/1.1\r\nhost: f\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            b"HEAD /f HTTP/1.0\r\n\r\n",
        ]
        chance = random.Random(20261121)
        for _ in range(500):
            data = bytearray(b"".join(chance.choices(good, k=chance.randint(1, 5))))
            for _ in range(chance.randint(0, 4)):
                at = chance.randrange(len(data))
                data[at : at + chance.randint(0, 3)] = bytes(chance.choices(b"\r\n :0aF;\x00\xff", k=chance.randint(0, 3)))
            with server.connect() as wire, contextlib.suppress(OSError):
                middle = chance.randrange(len(data) + 1)
                wire.send(bytes(data[:middle]))
                wire.send(bytes(data[middle:]))
                if chance.random() < 0.3:
                    wire.sock.settimeout(0.01)
                    wire.sock.recv(65536)
        assert server.get("/size").body == b"0"
        failures = [line for line in server.log.splitlines() if '"level":"error"' in line and "Traceback" in line]
        assert [line for line in failures if "BadResponse" not in line] == []  # those are the ones that other tests provoke
