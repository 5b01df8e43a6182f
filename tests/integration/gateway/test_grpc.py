"""gRPC through the gateway, with grpcio on both sides: HTTP/2 from the client, h2c to the instance."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from tests.fakes.routed import HOST, Cluster, Routed, Sink, routed

MIB = 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", 64 * MIB), ("grpc.max_send_message_length", 64 * MIB)]


def unary(request: bytes, context: Any) -> bytes:
    context.send_initial_metadata([("x-first", "1"), ("x-some-bin", b"\0\xff")])
    context.set_trailing_metadata([("x-last", "2"), ("x-got", dict(context.invocation_metadata()).get("x-own", ""))])
    return request[::-1]


def collect(requests: Iterator[bytes], context: Any) -> bytes:
    total = count = 0
    for request in requests:
        count, total = count + 1, total + len(request)
    return b"%d %d" % (count, total)


def spread(request: bytes, context: Any) -> Iterator[bytes]:
    count, size = (int(part) for part in request.split())
    for i in range(count):
        yield b"%08d" % i + b"x" * (size - 8)


def ping_pong(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for request in requests:
        yield request[::-1]


def fail(request: bytes, context: Any) -> bytes:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: ü and 100%")
    raise AssertionError


class Server:
    """A gRPC server of bytes, in threads of its own."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.left = threading.Event()
        self.calls = 0
        self._server = grpc.server(ThreadPoolExecutor(max_workers=60), options=OPTIONS)
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.counted(unary)),
            "Collect": grpc.stream_unary_rpc_method_handler(collect),
            "Spread": grpc.unary_stream_rpc_method_handler(spread),
            "PingPong": grpc.stream_stream_rpc_method_handler(ping_pong),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "Trickle": grpc.unary_stream_rpc_method_handler(self.trickle),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def counted(self, call: Callable[[bytes, Any], bytes]) -> Callable[[bytes, Any], bytes]:
        def counting(request: bytes, context: Any) -> bytes:
            self.calls += 1
            return call(request, context)

        return counting

    def hang(self, request: bytes, context: Any) -> bytes:
        context.add_callback(self.left.set)
        self.waiting.set()
        self.left.wait(30)
        return b""

    def trickle(self, request: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(self.left.set)
        yield b"first"
        self.waiting.set()
        self.left.wait(30)

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        """Calls under way are not answered."""
        self._server.stop(0)

    def stop(self) -> None:
        self.left.set()
        self._server.stop(0).wait()


class Echo:
    """A stub; its calls block, and are made in threads."""

    def __init__(self, channel: Any) -> None:
        self.unary = channel.unary_unary("/test.Echo/Unary")
        self.collect = channel.stream_unary("/test.Echo/Collect")
        self.spread = channel.unary_stream("/test.Echo/Spread")
        self.ping_pong = channel.stream_stream("/test.Echo/PingPong")
        self.fail = channel.unary_unary("/test.Echo/Fail")
        self.hang = channel.unary_unary("/test.Echo/Hang")
        self.trickle = channel.unary_stream("/test.Echo/Trickle")


@asynccontextmanager
async def channel(gw: Routed) -> AsyncIterator[Echo]:
    options = [*OPTIONS, ("grpc.default_authority", HOST), ("grpc.enable_http_proxy", 0)]
    made = grpc.insecure_channel(f"127.0.0.1:{gw.gateway.port}", options=options)
    try:
        yield Echo(made)
    finally:
        await asyncio.to_thread(made.close)


@asynccontextmanager
async def called(*, started: bool = True, cluster: Cluster | None = None, sink: Sink | None = None, **settings: Any) -> AsyncIterator[Any]:
    """A gRPC server behind a gateway, and a stub for it."""
    server = Server()
    if started:
        server.start()
    try:
        async with routed(cluster, sink, **settings) as gw, channel(gw) as echo:
            if started:
                gw.cluster.instance(server.port, name="h2c")
            yield gw, echo, server
    finally:
        await asyncio.to_thread(server.stop)


class TestCalls:
    async def test_a_unary_call_with_metadata_both_ways(self) -> None:
        async with called() as (_, echo, _):
            answer, call = await asyncio.to_thread(echo.unary.with_call, b"hello", timeout=20, metadata=[("x-own", "mine")])
            assert answer == b"olleh"
            first = dict(call.initial_metadata())
            assert (first["x-first"], first["x-some-bin"]) == ("1", b"\0\xff")
            last = dict(call.trailing_metadata())
            assert (last["x-last"], last["x-got"]) == ("2", "mine")

    @pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 65_536, MIB, 20 * MIB])
    async def test_messages_of_every_size(self, size: int) -> None:
        async with called() as (_, echo, _):
            assert await asyncio.to_thread(echo.unary, b"x" * size, timeout=60) == b"x" * size

    async def test_a_stream_of_requests(self) -> None:
        async with called() as (_, echo, _):
            assert await asyncio.to_thread(echo.collect, iter([b"x" * 1000] * 3000), timeout=60) == b"3000 3000000"

    async def test_a_stream_of_responses(self) -> None:
        async with called() as (_, echo, _):
            got = await asyncio.to_thread(lambda: list(echo.spread(b"3000 1000", timeout=60)))
            assert [int(message[:8]) for message in got] == list(range(3000))

    async def test_ping_pong_of_a_thousand_messages(self) -> None:
        async with called() as (_, echo, _):

            def play() -> int:
                """The next ball is served only when the last came back."""
                back = threading.Semaphore(1)
                seen = 0

                def serve() -> Iterator[bytes]:
                    for i in range(1000):
                        assert back.acquire(timeout=20)
                        yield b"%d" % i

                for message in echo.ping_pong(serve(), timeout=60):
                    assert message[::-1] == b"%d" % seen
                    seen += 1
                    back.release()
                return seen

            assert await asyncio.to_thread(play) == 1000

    async def test_errors_come_through_as_they_are(self) -> None:
        async with called() as (_, echo, _):
            with pytest.raises(grpc.RpcError) as failed:
                await asyncio.to_thread(echo.fail, b"", timeout=20)
            assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert failed.value.details() == "no: ü and 100%"

    async def test_fifty_calls_at_once_share_one_connection(self) -> None:
        async with called() as (gw, echo, _):
            calls = [echo.unary.future(b"%d" % i, timeout=30) for i in range(50)]
            answers = await asyncio.to_thread(lambda: [call.result() for call in calls])
            assert answers == [(b"%d" % i)[::-1] for i in range(50)]
            (instance,) = gw.line().instances.values()
            assert len(instance.shared) == 1

    async def test_a_deadline_ends_the_call_on_both_sides(self) -> None:
        async with called() as (gw, echo, server):
            with pytest.raises(grpc.RpcError) as failed:
                await asyncio.to_thread(echo.hang, b"", timeout=0.3)
            assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await asyncio.to_thread(server.left.wait, 20)
            await gw.until(lambda: not gw.line().meter.concurrency)

    async def test_a_cancelled_call_is_cancelled_on_the_server(self) -> None:
        async with called() as (gw, echo, server):
            call = echo.hang.future(b"", timeout=30)
            assert await asyncio.to_thread(server.waiting.wait, 20)
            call.cancel()
            assert await asyncio.to_thread(server.left.wait, 20)
            await gw.until(lambda: not gw.line().meter.concurrency)
            assert await asyncio.to_thread(echo.unary, b"on", timeout=20) == b"no", "the connections go on"


class TestFromZero:
    async def test_a_call_waits_for_the_first_instance(self) -> None:
        sink = Sink()
        async with called(started=False, sink=sink) as (gw, echo, server):
            calls = [echo.unary.future(b"%d" % i, timeout=30) for i in range(20)]
            await gw.until(lambda: len(gw.line().waiting) == 20)
            assert sink.pokes
            gw.cluster.instance(server.port, name="h2c", ready=False)  # it has an address, and does not answer yet
            await asyncio.sleep(0.05)
            server.start()
            answers = await asyncio.to_thread(lambda: [call.result() for call in calls])
            assert answers == [(b"%d" % i)[::-1] for i in range(20)]


class TestRefusals:
    """What the gateway itself answers is a gRPC status, so that a client prints it."""

    async def code(self, echo: Echo, call: str = "unary") -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as failed:
            await asyncio.to_thread(getattr(echo, call), b"", timeout=20)
        return failed.value.code(), failed.value.details()

    async def test_an_unknown_host_is_unimplemented(self) -> None:
        async with called(cluster=Cluster()) as (_, echo, _):
            code, details = await self.code(echo)
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert f"No function has the host {HOST}" in details

    async def test_no_instance_in_time_is_unavailable(self) -> None:
        async with called(started=False, wait=0.2) as (_, echo, _):
            code, details = await self.code(echo)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "was ready in time" in details

    async def test_a_full_line_is_unavailable(self) -> None:
        async with called(started=False, line=0) as (_, echo, _):
            assert (await self.code(echo))[0] is grpc.StatusCode.UNAVAILABLE

    async def test_the_time_limit_is_a_deadline_before_the_first_byte(self) -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(timeout_seconds=1)
        async with called(cluster=cluster) as (_, echo, _):
            code, details = await self.code(echo, "hang")
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "timeoutSeconds (1 s)" in details

    async def test_and_after_it(self) -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(timeout_seconds=1)
        async with called(cluster=cluster) as (_, echo, _):
            got: list[bytes] = []
            with pytest.raises(grpc.RpcError) as failed:
                await asyncio.to_thread(lambda: [got.append(m) for m in echo.trickle(b"", timeout=20)])
            assert got == [b"first"]
            assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert failed.value.details() == "request timeout"

    async def test_a_server_that_dies_is_unavailable(self) -> None:
        async with called() as (_, echo, server):
            call = echo.hang.future(b"", timeout=20)
            assert await asyncio.to_thread(server.waiting.wait, 20)
            server.kill()
            error = await asyncio.to_thread(call.exception)
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
