"""HTTP/2 from clients, to instances that speak HTTP/1.1: what RFC 9113 says a request is, and what becomes of it."""

import asyncio
from pathlib import Path

import anyio
import httpx
import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame

from gateway.http1.read import PREFACE
from tests.fakes.http2 import h2_client
from tests.fakes.routed import HOST, Cluster, Sink, routed
from tests.fakes.secure import secure
from tests.fakes.upstream import Received, ok, upstream

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


async def echo(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    return ok(request.body)


class TestPriorKnowledge:
    async def test_a_request_is_answered(self) -> None:
        async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask("/path?x=1", x_own="value")
            assert (got.status, bytes(got.body), got.ended) == (200, b"hello", True)
            assert instance.received[0].line == "GET /path?x=1 HTTP/1.1"
            assert instance.received[0].headers["x-own"] == "value"
            assert instance.received[0].headers["host"] == HOST

    async def test_the_preface_may_come_in_pieces_of_any_size(self) -> None:
        async with upstream() as instance, routed() as gw:
            gw.cluster.instance(instance.port)
            for cut in range(1, len(PREFACE)):  # with all of it there the gateway speaks, and the library answers in between
                async with h2_client(gw.gateway.port, start=False) as client:
                    stream = client.h2.get_next_available_stream_id()
                    client.h2.send_headers(stream, client.fields(), end_stream=True)
                    data = client.h2.data_to_send()
                    client.raw(data[:cut])
                    await anyio.sleep(0.002)
                    client.raw(data[cut:])
                    assert (await client.answer(stream)).status == 200

    async def test_it_can_be_turned_off(self) -> None:
        async with routed(http2=False) as gw:
            client = await gw.client()
            await client.send(PREFACE)
            assert (await client.answer()).status == 505
            await client.close()

    async def test_a_preface_behind_a_request_is_refused(self) -> None:
        async with upstream() as instance, routed() as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            assert (await client.ask("GET")).status == 200
            await client.send(PREFACE)
            assert (await client.answer()).status == 400
            await client.close()

    async def test_httpx_speaks_it(self) -> None:
        async with (
            upstream(echo) as instance,
            routed() as gw,
            httpx.AsyncClient(http1=False, http2=True, trust_env=False, base_url=f"http://127.0.0.1:{gw.gateway.port}") as client,
        ):
            gw.cluster.instance(instance.port)
            for size in (0, 1, 1000, 1_000_000):
                answer = await client.post("/", headers={"Host": HOST}, content=b"x" * size)
                assert (answer.status_code, answer.http_version, len(answer.content)) == (200, "HTTP/2", size)

    async def test_curl_speaks_it(self) -> None:
        async with upstream() as instance, routed() as gw:
            gw.cluster.instance(instance.port)
            curl = await asyncio.create_subprocess_exec(
                "curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_version} %{response_code}", "-H", f"Host: {HOST}",
                f"http://127.0.0.1:{gw.gateway.port}/", stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await curl.communicate()
            assert out == b"hello 2 200"


class TestTls:
    async def test_curl_and_httpx_are_offered_it(self, tmp_path: Path) -> None:
        async with upstream(echo) as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            said = await web.curl("-w", "%{http_version}", "--http2", "-d", "abc", web.url("/"))
            assert said == "abc2"
            said = await web.curl("-w", "%{http_version}", "--http1.1", "-d", "abc", web.url("/"))
            assert said == "abc1.1"
            assert instance.received[0].headers["x-forwarded-proto"] == "https"
            url = f"https://127.0.0.1:{web.port}"
            async with httpx.AsyncClient(
                http2=True, verify=web.authority.trusting(("h2", "http/1.1")), trust_env=False, base_url=url
            ) as client:
                for size in (1, 1_000_000):
                    answer = await client.post("/", headers={"Host": HOST}, content=b"x" * size, extensions={"sni_hostname": HOST})
                    assert (answer.http_version, len(answer.content)) == ("HTTP/2", size)

    async def test_it_is_not_offered_when_it_is_off(self, tmp_path: Path) -> None:
        async with upstream() as instance, secure(tmp_path, tls_http2=False) as web:
            web.gw.cluster.instance(instance.port)
            assert await web.curl("-w", "%{http_version}", "--http2", web.url("/")) == "hello1.1"


class TestBodies:
    async def test_a_body_of_known_length_keeps_it(self) -> None:
        async with upstream(echo) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask("/", "POST", body=b"abc", content_length="3")
            assert got.body == b"abc"
            assert instance.received[0].headers["content-length"] == "3"

    async def test_a_body_of_unknown_length_is_sent_in_chunks(self) -> None:
        async with upstream(echo) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask("/", "POST", body=b"abc" * 50_000)
            assert len(got.body) == 150_000
            assert instance.received[0].headers["transfer-encoding"] == "chunked"

    @pytest.mark.parametrize(("told", "sent"), [(5, 3), (3, 5), (0, 1)])
    @pytest.mark.parametrize("trailers", [False, True])
    async def test_a_body_that_is_not_as_long_as_was_told_is_no_request(self, told: int, sent: int, trailers: bool) -> None:
        """Behind the gateway a body that is too short would take the next request for its rest."""
        async with upstream(echo) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            stream = client.begin("/", "POST", end=False, content_length=str(told))
            client.h2.send_data(stream, b"x" * sent, end_stream=not trailers)
            if trailers:
                client.h2.send_headers(stream, [(b"x-end", b"1")], end_stream=True)
            client.flush()
            got = await client.answer(stream)
            assert got.reset is not None or client.closed
            if not told:
                return
            assert not instance.received

    async def test_a_length_without_a_body_is_no_request(self) -> None:
        async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            assert (await client.answer(client.begin("/", "POST", content_length="5"))).reset == 1
            assert (await client.ask()).status == 200, "the connection goes on"
            assert len(instance.received) == 1

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    async def test_answers_without_a_body_have_none(self, method: str, status: str) -> None:
        async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            return f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()

        async with upstream(answer) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask("/", method)
            assert (got.status, bytes(got.body), got.ended) == (int(status[:3]), b"", True)

    async def test_head_keeps_the_length_that_a_get_would_have(self) -> None:
        async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"

        async with upstream(answer) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask("/", "HEAD")
            assert (got.headers[b"content-length"], got.ended) == (b"12345", True)

    async def test_interim_answers_and_trailers_come_through(self) -> None:
        async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"

        async with upstream(answer) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask()
            assert (got.interim, got.body, got.trailers) == ([103], b"abc", {b"x-sum": b"6"})

    async def test_a_client_that_expects_100_continue_gets_it(self) -> None:
        async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size = int((await reader.readline()), 16)
            return ok(await reader.readexactly(size)) if size else ok()

        async with upstream(answer, read_body=False) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            stream = client.begin("/", "POST", end=False, expect="100-continue")
            await client.until(lambda: client.streams[stream].interim == [100])
            await client.send(stream, b"now", end=True)
            assert (await client.answer(stream)).body == b"now"

    async def test_an_answer_before_the_end_of_the_request_ends_the_request(self) -> None:
        async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            return ok(b"enough", status="413 Content Too Large")

        async with upstream(answer, read_body=False) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            stream = client.begin("/", "POST", end=False)
            got = client.streams[stream]
            await client.until(lambda: got.reset is not None)
            assert (got.status, got.body, got.ended, got.reset) == (413, b"enough", True, 0)


class TestHeads:
    async def test_crumbs_of_cookies_are_one_cookie_for_the_instance(self) -> None:
        async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, [*client.fields(), (b"cookie", b"a=1"), (b"cookie", b"b=2")], end_stream=True)
            client.flush()
            await client.answer(stream)
            assert instance.received[0].headers["cookie"] == "a=1; b=2"

    @pytest.mark.parametrize(
        "fields",
        [
            [(b"X-Upper", b"1")],
            [(b"x y", b"1")],
            [(b"x,y", b"1")],
            [(b"", b"1")],
            [(b"x\r\ny", b"1")],
            [(b"x", b"a\r\nHost: evil")],
            [(b"x", b"a\nb")],
            [(b"x", b"a\0b")],
            [(b"x", b" a")],
            [(b"x", b"a ")],
            [(b"x", b"a"), (b"y", b"\tb")],
            [(b":late", b"1")],
            [(b"x", b"1"), (b":path", b"/")],
            [(b":path", b"/2")],
            [(b":status", b"200")],
            [(b"connection", b"close")],
            [(b"connection", b"x-own")],
            [(b"transfer-encoding", b"chunked")],
            [(b"upgrade", b"websocket")],
            [(b"keep-alive", b"5")],
            [(b"proxy-connection", b"close")],
            [(b"te", b"gzip")],
            [(b"content-length", b"+1")],
            [(b"content-length", b"-0")],
            [(b"content-length", b"0"), (b"content-length", b"0")],
            [(b"content-length", b"9" * 5000)],
        ],
        ids=lambda fields: str(fields)[:50],
    )
    async def test_fields_that_are_none_reset_their_stream_and_no_other(self, fields: list[tuple[bytes, bytes]]) -> None:
        await self.refused(fields)

    @pytest.mark.parametrize(
        ("pseudo", "value"),
        [
            (b":method", None),
            (b":method", b"GE T"),
            (b":method", b""),
            (b":scheme", None),
            (b":path", None),
            (b":path", b""),
            (b":path", b"x"),
            (b":path", b"/a b"),
            (b":path", b"/ HTTP/1.1\r\nHost: evil\r\n\r\n"),
            (b":path", b"http://evil/"),
            (b":path", b"*"),
        ],
    )
    async def test_a_start_that_is_none_resets_its_stream_and_no_other(self, pseudo: bytes, value: bytes | None) -> None:
        await self.refused([], {pseudo: value})

    async def refused(self, fields: list[tuple[bytes, bytes]], changed: dict[bytes, bytes | None] | None = None) -> None:
        async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            base = [(n, (changed or {}).get(n, v)) for n, v in client.fields()]
            block = [(n, v) for n, v in base if v is not None]
            frame = HeadersFrame(1, flags={"END_STREAM", "END_HEADERS"})
            frame.data = Encoder().encode([*block, *fields])
            client.h2.send_headers(1, client.fields(), end_stream=True)  # the library believes that this was sent
            client.h2.clear_outbound_data_buffer()
            client.h2.encoder = Encoder()
            client.raw(frame)
            assert (await client.answer(1)).reset == 1 or client.goaway
            if not client.goaway:
                frame = HeadersFrame(3, flags={"END_STREAM", "END_HEADERS"})
                client.h2.send_headers(3, client.fields(), end_stream=True)
                client.flush()
                assert (await client.answer(3)).status == 200
                assert len(instance.received) == 1

    @pytest.mark.parametrize(
        ("authority", "host", "status"),
        [(HOST, "evil", 400), (None, None, 400), ("a b", None, 400), ("user@" + HOST, None, 400), (HOST, HOST, 200), (None, HOST, 200)],
    )
    async def test_the_authority_is_the_host(self, authority: str | None, host: str | None, status: int) -> None:
        async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port, validate_outbound_headers=False) as client:
            gw.cluster.instance(instance.port)
            fields = [(n, v) for n, v in client.fields() if n != b":authority"]
            if authority:
                fields.insert(0, (b":authority", authority.encode()))
            if host:
                fields.append((b"host", host.encode()))
            client.h2.send_headers(1, fields, end_stream=True)
            client.flush()
            assert (await client.answer(1)).status == status

    async def test_too_many_fields_are_431(self) -> None:
        async with routed(max_headers=20) as gw, h2_client(gw.gateway.port) as client:
            got = await client.ask(**{f"x_{i}": "1" for i in range(30)})
            assert got.status == 431
            assert (await client.ask(host="nobody")).status == 404

    async def test_an_unknown_host_is_404_and_the_connection_goes_on(self) -> None:
        async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            assert (await client.ask(host="nobody.default.localhost")).status == 404
            assert (await client.ask()).status == 200


class TestLines:
    async def test_fifty_streams_on_one_connection_wait_for_the_first_instance(self) -> None:
        sink = Sink()
        async with upstream() as instance, routed(sink=sink) as gw, h2_client(gw.gateway.port) as client:
            streams = [client.begin(f"/{i}") for i in range(50)]
            await gw.until(lambda: len(gw.line().waiting) == 50)
            assert sink.pokes
            gw.cluster.instance(instance.port)
            for stream in streams:
                assert (await client.answer(stream)).status == 200
            assert sorted(int(r.line.split()[1][1:]) for r in instance.received) == list(range(50))

    async def test_the_limit_of_an_instance_holds_for_streams(self) -> None:
        async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await anyio.sleep(0.005)
            return ok()

        cluster = Cluster()
        cluster.route()
        cluster.revision(container_concurrency=3)
        async with upstream(slow) as instance, routed(cluster) as gw, h2_client(gw.gateway.port) as client:
            cluster.instance(instance.port)
            streams = [client.begin() for _ in range(60)]
            for stream in streams:
                assert (await client.answer(stream)).status == 200
            assert instance.concurrent == 3

    async def test_a_stream_that_its_client_resets_frees_its_place(self) -> None:
        async with routed() as gw, h2_client(gw.gateway.port) as client:
            streams = [client.begin() for _ in range(5)]
            await gw.until(lambda: len(gw.line().waiting) == 5)
            for stream in streams[:4]:
                client.h2.reset_stream(stream, 8)
            client.flush()
            await gw.until(lambda: len(gw.line().waiting) == 1)

    async def test_a_connection_that_goes_frees_all_places(self) -> None:
        async with routed() as gw:
            async with h2_client(gw.gateway.port) as client:
                for _ in range(5):
                    client.begin()
                await gw.until(lambda: len(gw.line().waiting) == 5)
            await gw.until(lambda: not gw.line().waiting and not gw.gateway.chain.connections)  # type: ignore[union-attr]

    async def test_an_answer_that_breaks_off_resets_its_stream(self) -> None:
        async def half(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await writer.drain()
            await anyio.sleep(0.02)
            writer.transport.abort()
            return None

        async with upstream(half) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            got = await client.ask()
            assert (got.status, got.ended, got.reset) == (200, False, 2)


class TestStopping:
    async def test_what_runs_is_finished_and_the_client_is_told(self) -> None:
        go = asyncio.Event()

        async def later(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await go.wait()
            return ok()

        async with upstream(later) as instance, routed(drain=20) as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            stream = client.begin()
            await gw.until(lambda: len(instance.received) == 1)
            gw.gateway.stop()
            await client.until(lambda: len(client.goaway) == 1)
            assert client.goaway[0] == (2**31 - 1, 0)
            go.set()
            assert (await client.answer(stream)).status == 200
            await client.until(lambda: client.closed)

    async def test_an_idle_connection_is_closed_at_once(self) -> None:
        async with routed(drain=20) as gw, h2_client(gw.gateway.port) as client:
            await client.until(lambda: 0 in client.streams)
            gw.gateway.stop()
            await client.until(lambda: client.closed)
            assert client.goaway[0] == (2**31 - 1, 0)

    async def test_an_unused_connection_is_closed_after_a_while(self) -> None:
        async with routed(keep_alive=0.05) as gw, h2_client(gw.gateway.port) as client:
            await client.until(lambda: client.closed)
            assert client.goaway == [(0, 0)]
