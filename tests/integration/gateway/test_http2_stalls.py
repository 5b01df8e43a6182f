"""A client of HTTP/2 that stops in the middle is bounded as one of HTTP/1.1 is: in what it sends, and in what it takes."""

import anyio
import pytest
from hyperframe.frame import GoAwayFrame

from tests.fakes.http2 import Request, h2_client, h2_upstream
from tests.fakes.routed import routed
from tests.fakes.upstream import upstream


async def large(request: Request) -> None:
    request.head()
    await request.data(b"x" * 1_000_000, end=True)


async def fits(request: Request) -> None:
    """More than a client's first window, and little enough that the exchange ends before the client has it."""
    request.head()
    await request.data(b"x" * 100_000, end=True)


@pytest.mark.parametrize("answers", [large, fits])
async def test_a_stream_whose_window_never_opens_is_reset_and_others_go_on(answers: object) -> None:
    async with h2_upstream(answers) as instance, routed(write_stall=1.5) as gw, h2_client(gw.gateway.port) as client:  # type: ignore[arg-type]
        gw.cluster.instance(instance.port, name="h2c")
        client.h2.increment_flow_control_window(1_000_000)
        client.acknowledge = False
        stream = client.begin()
        got = await client.answer(stream)
        assert (len(got.body), got.ended, got.reset) == (65535, False, 8)
        assert (await client.ask(host="nobody")).status == 404
        chain = gw.gateway.chain
        assert chain is not None
        await gw.until(lambda: not chain.active)


async def test_pings_do_not_keep_an_answer_alive_that_nobody_takes() -> None:
    async with h2_upstream(fits) as instance, routed(write_stall=1.5) as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port, name="h2c")
        client.acknowledge = False
        stream = client.begin()
        with anyio.fail_after(20):
            while client.streams[stream].reset is None:
                client.h2.ping(b"12345678")
                client.flush()
                await anyio.sleep(0.2)


async def test_a_client_that_takes_a_little_at_a_time_gets_all_of_it() -> None:
    async with h2_upstream(fits) as instance, routed(write_stall=1.5, keep_alive=1.0) as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port, name="h2c")
        client.acknowledge = False
        stream = client.begin()
        got = client.streams[stream]
        await client.until(lambda: len(got.body) == 65535)
        while got.reset is None and not got.ended and not client.closed:
            client.h2.increment_flow_control_window(7000, stream)
            client.h2.increment_flow_control_window(7000)
            client.flush()
            await anyio.sleep(0.7)
        assert (len(got.body), got.ended) == (100_000, True)


@pytest.mark.parametrize("some", [b"", b"some"])
async def test_a_body_that_stops_coming_is_refused(some: bytes) -> None:
    async with upstream() as instance, routed(read_body=1.5) as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port)
        stream = client.begin("/", "POST", end=False)
        await client.send(stream, some)
        got = await client.answer(stream)
        assert got.status == 408
        assert (await client.ask()).status == 200
        await gw.until(lambda: not gw.line().meter.concurrency)


async def test_a_grpc_call_may_be_silent_on_both_sides() -> None:
    """Its servers send their head with the first message; the revision's time limits bound it."""
    async with h2_upstream() as instance, routed(read_body=1.0) as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port, name="h2c")
        stream = client.begin("/", "POST", end=False, content_type="application/grpc")
        await anyio.sleep(3.5)
        client.h2.end_stream(stream)
        client.flush()
        got = await client.answer(stream)
        assert (got.status, bytes(got.body)) == (200, b"hello")


async def test_a_client_that_does_not_read_its_socket_is_cut_off_also_after_its_goaway() -> None:
    async with h2_upstream(large) as instance, routed(write_stall=1.5, linger=0.2) as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port, name="h2c")
        client.h2.update_settings({4: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65535)
        client.flush()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(40):
            client.begin()
        client.h2.close_connection()
        client.flush()
        chain = gw.gateway.chain
        assert chain is not None
        await gw.until(lambda: bool(chain.active))
        await gw.until(lambda: not chain.active and not chain.connections)


async def test_a_slow_client_gets_the_end_of_its_last_answer() -> None:
    """The connection is done with, and its last bytes are still in the gateway."""

    async def answer(request: Request) -> None:
        request.head()
        await request.data(b"x" * 30_000, end=True)

    async with h2_upstream(answer) as instance, routed(linger=0.2) as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port, name="h2c")
        client.h2.update_settings({4: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65535)
        assert (await client.ask()).status == 200
        chain = gw.gateway.chain
        assert chain is not None
        (connection,) = chain.connections
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not connection.transport.get_write_buffer_size():
            asked = len(instance.received)
            stream = client.begin()
            await gw.until(lambda asked=asked: len(instance.received) > asked and not connection.busy)
        client.raw(GoAwayFrame(0))
        await gw.until(connection.transport.is_closing)
        await anyio.sleep(2.5)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = await client.answer(stream)
        assert (len(got.body), got.ended) == (30_000, True)
