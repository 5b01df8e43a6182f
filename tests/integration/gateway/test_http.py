"""HTTP/1.1 on both sides: framing, interim and early responses, upgrades, time limits, and what is cut off."""

import asyncio

import anyio
import pytest

from tests.fakes.routed import HOST, Cluster, Routed, routed
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream


async def _raw(gw: Routed, data: bytes) -> bytes:
    """Send bytes on a connection of their own; what comes back until it is closed."""
    client = await gw.client()
    await client.send(data)
    with anyio.fail_after(15):
        answer = await client.reader.read()
    await client.close()
    return answer


def _timed(**limits: int) -> Cluster:
    cluster = Cluster()
    cluster.route()
    cluster.revision(**limits)
    return cluster


async def test_a_chunked_request_with_trailers_arrives_whole() -> None:
    async def echo(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(request.body)

    async with upstream(echo) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n".encode())
        await anyio.sleep(0.01)
        await client.send(b"2\r\nde\r\n0\r\nX-Sum: 5\r\nHost: other\r\n\r\n")
        assert (await client.answer()).body == b"abcde"
        assert (await client.ask("GET")).status == 200
        await client.close()
        assert instance.connections == 1


async def test_the_last_request_of_a_connection_is_read_to_its_end() -> None:
    async def echo(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(request.body)

    async with upstream(echo) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabc".encode())
        await gw.until(lambda: instance.connections == 1)
        await client.send(b"def")
        answer = await client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"abcdef", "close")
        assert await client.reader.read() == b""
        await client.close()


async def test_trailers_of_an_answer_are_passed_on() -> None:
    async def trailing(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"

    async with upstream(trailing) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        for _ in range(2):
            answer = await gw.get()
            assert (answer.body, answer.trailers) == (b"abc", {"x-sum": "6"})
        assert instance.connections == 1


@pytest.mark.parametrize(
    ("raw", "method", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD", b"", id="head-with-length"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", id="no-content"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "GET", b"", id="not-modified"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", b"", id="empty"),
        pytest.param(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET", b"", id="empty-chunked"),
    ],
)
async def test_answers_without_a_body_leave_both_connections_usable(raw: bytes, method: str, body: bytes) -> None:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return raw

    async with upstream(answer) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for _ in range(3):
            assert (await client.ask(method)).body == body
        await client.close()
        assert instance.connections == 1


async def test_an_answer_that_ends_by_closing_is_framed_for_the_client() -> None:
    async def closing(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nabc")
        await writer.drain()
        return None

    async with upstream(closing) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for _ in range(2):
            answer = await client.ask("GET")
            assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"abc")
        await client.close()
        old = await _raw(gw, f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        assert b"chunked" not in old
        assert old.endswith(b"\r\n\r\nabc")


async def test_a_client_that_expects_100_continue_gets_it_from_the_instance() -> None:
    async def continues(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        assert request.headers["expect"] == "100-continue"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(request.headers["content-length"]))
        return ok(body)

    async with upstream(continues, read_body=False) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n".encode())
        with anyio.fail_after(30):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.answer()).body == b"abc"
        await client.close()


async def test_an_answer_before_the_request_has_ended_reaches_the_client() -> None:
    async def early(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(b"too much", status="413 Content Too Large")

    async with upstream(early, read_body=False) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\nsome".encode())
        assert (await client.answer()).status == 413
        with anyio.fail_after(30):
            assert await client.reader.read() == b""
        await client.close()
        assert gw.line().meter.concurrency == 0


async def test_an_upgrade_becomes_a_tunnel_with_half_close() -> None:
    async def switch(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        assert (request.headers["connection"].lower(), request.headers["upgrade"]) == ("upgrade", "echo")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome ")
        while data := await reader.read(1000):
            writer.write(data.upper())
        writer.write(b" bye")
        return None

    async with upstream(switch) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ".encode())
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(14) == b"welcome EARLY "
        await client.send(b"more")
        assert await client.reader.readexactly(4) == b"MORE"
        assert gw.line().meter.concurrency == 1
        client.writer.write_eof()
        assert await client.reader.read() == b" bye"
        await client.close()
        await gw.until(lambda: gw.line().meter.concurrency == 0)


async def test_an_upgrade_that_the_instance_declines_is_an_ordinary_request() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        answer = await client.ask("GET", Connection="Upgrade", Upgrade="websocket")
        assert (answer.status, answer.body) == (200, b"hello")
        assert (await client.ask("GET", "/next")).status == 200
        await client.close()


async def test_an_upgrade_with_a_body_or_to_h2c_goes_on_as_http_1_1() -> None:
    async def echo(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        assert "upgrade" not in request.headers
        return ok(request.body)

    async with upstream(echo) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        assert (
            await client.ask("POST", body=b"abc", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="x")
        ).body == b"abc"
        assert (await client.ask("POST", body=b"defg", Connection="Upgrade", Upgrade="websocket")).body == b"defg"
        assert (await client.ask("GET", Connection="Upgrade", Upgrade="h2c")).status == 200
        assert (await client.ask("GET")).status == 200
        await client.close()


async def test_requests_behind_a_declined_upgrade_are_answered() -> None:
    async def path(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(request.line.split()[1].encode())

    async with upstream(path) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        for host, status in ((HOST, 200), ("unknown.example", 404)):
            client = await gw.client()
            asks = f"GET /up HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            await client.send(f"{asks}GET /next HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert (await client.answer()).status == status
            assert (await client.answer()).body == b"/next"
            await client.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def path(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(request.line.split()[1].encode() + request.body)

    async with upstream(path) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(b"".join(b"POST /%d HTTP/1.1\r\nHost: %b\r\nContent-Length: 1\r\n\r\n+" % (n, HOST.encode()) for n in range(30)))
        assert [(await client.answer()).text for _ in range(30)] == [f"/{n}+" for n in range(30)]
        await client.close()


async def test_garbage_behind_a_good_request_is_refused_after_its_answer() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        for good in (f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n", f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nabc"):
            answer = await _raw(gw, f"{good}nonsense\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"HTTP/1.1 400 Bad Request" in answer
        assert len(instance.received) == 2


async def test_bytes_behind_the_last_request_are_ignored() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        post = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nabc"
        answer = await _raw(gw, f"{post}GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\nGET /ignored HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert [r.line for r in instance.received] == ["POST / HTTP/1.1", "GET / HTTP/1.1"]


async def test_the_memory_of_pipelined_bodies_is_given_back_when_the_client_leaves() -> None:
    async with routed() as gw:
        client = await gw.client()
        await client.send(b"".join(b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 3\r\n\r\nabc" % HOST.encode() for _ in range(3)))
        chain = gw.gateway.chain
        assert chain is not None
        await gw.until(lambda: chain.shared.held == 9)
        await client.close()
        await gw.until(lambda: chain.shared.held == 0)


async def test_a_pipelined_request_that_is_refused_is_answered_in_its_turn() -> None:
    async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await anyio.sleep(0.02)
        return ok(b"first")

    async with upstream(slow) as instance, routed(max_body=2) as gw:
        gw.cluster.instance(instance.port)
        get = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        answer = await _raw(gw, f"{get}POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".encode())
        assert answer.index(b"first") < answer.index(b"HTTP/1.1 413 ")


async def test_an_instance_that_closes_before_it_answers_is_502_and_is_not_asked_twice() -> None:
    async def vanish(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return None

    async with upstream(vanish) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        answer = await gw.get()
        assert answer.status == 502
        assert "closed the connection before it answered" in answer.text
        assert len(instance.received) == 1


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 101 Sw\r\n\r\n"])
async def test_an_instance_that_does_not_speak_http_is_502(raw: bytes) -> None:
    async def wrong(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return raw

    async with upstream(wrong) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        assert (await gw.get()).status == 502


async def test_an_answer_that_breaks_off_is_not_ended_as_if_it_were_whole() -> None:
    async def half(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        return None

    async with upstream(half) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        try:
            got = await client.reader.read()
        except ConnectionResetError:
            got = b""
        assert b"0\r\n\r\n" not in got
        await client.close()


async def test_bytes_behind_an_answer_never_become_the_next_answer() -> None:
    async def double(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(b"mine") + ok(b"stray")

    async with upstream(double) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for _ in range(3):
            assert (await client.ask("GET")).body == b"mine"
        await client.close()
        assert instance.connections == 3


async def test_a_slow_reader_stops_the_instance_and_loses_nothing() -> None:
    size = 20_000_000
    written = 0

    async def large(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000
        return b""

    async with upstream(large) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await client.reader.readuntil(b"\r\n\r\n")
        await anyio.sleep(0.3)
        assert written < size
        assert len(await client.reader.readexactly(size)) == size
        await client.close()


async def test_a_body_over_the_limit_is_413() -> None:
    async with upstream() as instance, routed(max_body=10) as gw:
        gw.cluster.instance(instance.port)
        sized = await _raw(gw, f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 11\r\n\r\n12345678901".encode())
        chunked = await _raw(gw, f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n".encode())
        for answer in (sized, chunked):
            assert answer.startswith(b"HTTP/1.1 413 Content Too Large")
            assert answer.endswith(b"The request's body is over 10 bytes.\n")
        assert gw.line().meter.concurrency == 0


async def test_no_answer_in_time_is_504() -> None:
    async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await anyio.sleep(60)
        return None

    for limits in ({"timeout_seconds": 1}, {"response_start_timeout_seconds": 1}, {"idle_timeout_seconds": 1}):
        async with upstream(slow) as instance, routed(_timed(**limits), tick=0.02) as gw:
            gw.cluster.instance(instance.port)
            answer = await gw.get()
            assert answer.status == 504
            assert "request timeout" in answer.text


async def test_an_answer_that_has_begun_is_ended_cleanly_at_the_timeout() -> None:
    async def begun(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await anyio.sleep(60)
        return None

    async with upstream(begun) as instance, routed(_timed(timeout_seconds=1), tick=0.02) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        answer = await client.ask("GET")
        assert (answer.status, answer.body) == (200, b"onerequest timeout")
        await client.close()


async def test_a_network_probe_is_answered_by_the_gateway() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        answer = await gw.get(K_Network_Probe="probe", K_Network_Hash="abc")
        assert (answer.status, answer.headers["k-network-hash"]) == (200, "abc")
        assert instance.received == []


async def test_a_dawdling_head_is_408_and_an_idle_connection_is_closed() -> None:
    async with routed(read_head=0.1, keep_alive=0.3) as gw:
        answer = await _raw(gw, b"GET / HTTP/1.1\r\nHo")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert await _raw(gw, b"") == b""


async def test_at_stop_requests_under_way_are_finished_and_nothing_new_is_accepted() -> None:
    go = asyncio.Event()

    async def wait(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await go.wait()
        return ok()

    async with upstream(wait) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        asking = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(instance.received))
        gw.gateway.stop()
        await gw.until(lambda: not gw.gateway.ready)
        with pytest.raises(ConnectionRefusedError):
            await gw.client()
        go.set()
        answer = await asking
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_changes_of_the_table_fail_no_request() -> None:
    async with upstream() as one, upstream() as two, routed() as gw:
        gw.cluster.instance(one.port)
        gw.cluster.instance(two.port)
        statuses: list[int] = []

        async def ask() -> None:
            client = await gw.client()
            statuses.extend([(await client.ask("GET")).status for _ in range(150)])
            await client.close()

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask)
            for round_ in range(60):
                gw.cluster.route()
                gw.cluster.revision(timeout_seconds=100 + round_)
                gw.cluster.instance(one.port, terminating=round_ % 3 == 0)
                gw.cluster.route(name=f"other-{round_}")
                await anyio.sleep(0.003)
        assert statuses == [200] * 600


async def test_a_cancelled_gateway_finishes_what_is_under_way_and_refuses_what_waits() -> None:
    async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await anyio.sleep(0.1)
        return ok()

    async with upstream(slow) as instance:
        async with routed(_timed(container_concurrency=1), drain=20.0) as gw:
            gw.cluster.instance(instance.port)
            under_way = asyncio.create_task(gw.get())
            await gw.until(lambda: bool(instance.received))
            waiting = asyncio.create_task(gw.get())
            await gw.until(lambda: len(gw.line().waiting) == 1)
        assert (await under_way).status == 200
        refused = await waiting
        assert (refused.status, refused.text) == (503, "The gateway is shutting down.\n")
