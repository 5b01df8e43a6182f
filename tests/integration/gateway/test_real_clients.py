"""Clients and servers that people use, through the gateway over HTTP/1.1: websockets, curl, httpx; uvicorn as an instance."""

import asyncio
import hashlib
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fakes.routed import HOST, Routed, routed

MIB = 1024 * 1024


@asynccontextmanager
async def websocket_function(
    handle: Callable[[ServerConnection], Awaitable[None]], *, subprotocols: Any = None, **settings: Any
) -> AsyncIterator[Routed]:
    """A gateway in front of a real WebSocket server."""
    async with serve(handle, "127.0.0.1", 0, subprotocols=subprotocols, max_size=8 * MIB) as server, routed(**settings) as gw:
        gw.cluster.instance(next(iter(server.sockets)).getsockname()[1])
        yield gw


def a_websocket(gw: Routed, path: str = "/", **options: Any) -> connect:
    """To the function's host, wherever that name leads."""
    return connect(f"ws://{HOST}{path}", host="127.0.0.1", port=gw.gateway.port, max_size=8 * MIB, **options)


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


class TestWebSockets:
    async def test_messages_of_every_size_go_both_ways(self) -> None:
        async with websocket_function(echo) as gw, a_websocket(gw) as client:
            for message in ("", "hello", "ü" * 1000, b"\0" * 125, b"x" * 126, b"y" * 65536, bytes(range(256)) * 16384):
                await client.send(message)
                assert await client.recv() == message

    async def test_what_is_agreed_in_the_handshake_is_passed_on(self) -> None:
        async with websocket_function(echo, subprotocols=["chat.v2"]) as gw, a_websocket(gw, subprotocols=["chat.v1", "chat.v2"]) as client:
            assert client.subprotocol == "chat.v2"
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]

    async def test_the_reason_of_a_close_arrives_on_the_other_side(self) -> None:
        async def dismiss(socket: ServerConnection) -> None:
            await socket.close(4001, "not today")

        async with websocket_function(dismiss) as gw, a_websocket(gw) as client:
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "not today")

    async def test_a_client_that_vanishes_is_noticed_by_the_instance(self) -> None:
        gone = anyio.Event()

        async def wait(socket: ServerConnection) -> None:
            await socket.wait_closed()
            gone.set()

        async with websocket_function(wait) as gw:
            client = await a_websocket(gw)
            client.transport.abort()
            with anyio.fail_after(15):
                await gone.wait()
            await gw.until(lambda: gw.line().meter.concurrency == 0)

    async def test_an_instance_that_refuses_the_handshake_is_heard(self) -> None:
        async def refuse(connection: Any, request: Any) -> Any:
            return connection.respond(403, "members only\n")

        async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server, routed() as gw:
            gw.cluster.instance(next(iter(server.sockets)).getsockname()[1])
            with pytest.raises(InvalidStatus) as refused:
                await a_websocket(gw)
            assert (refused.value.response.status_code, refused.value.response.body) == (403, b"members only\n")

    async def test_many_at_once_do_not_disturb_each_other(self) -> None:
        async def talk(gw: Routed, number: int) -> None:
            async with a_websocket(gw) as client:
                for turn in range(20):
                    await client.send(f"{number}/{turn}")
                    assert await client.recv() == f"{number}/{turn}"

        async with websocket_function(echo) as gw:
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(talk, gw, number)
            await gw.until(lambda: gw.line().meter.concurrency == 0)
            assert gw.line().meter.codes[101] == 50

    async def test_one_at_zero_waits_for_its_instance(self) -> None:
        async with serve(echo, "127.0.0.1", 0) as server, routed() as gw:
            port = next(iter(server.sockets)).getsockname()[1]
            gw.sink.on_poke = lambda key, waiting: gw.cluster.instance(port)
            async with a_websocket(gw) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
                assert "handler;dur=" in client.response.headers["Server-Timing"]  # type: ignore[union-attr]

    async def test_a_silent_one_is_closed_and_one_that_talks_is_not(self) -> None:
        async def beat(client: ClientConnection, until: anyio.Event) -> None:
            while not until.is_set():
                await client.send("beat")
                assert await client.recv() == "beat"
                await anyio.sleep(0.02)

        async with websocket_function(echo, tunnel_idle=0.4, tick=0.02) as gw:
            silent = await a_websocket(gw, ping_interval=None)
            talking = await a_websocket(gw, ping_interval=None)
            over = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beat, talking, over)
                with anyio.fail_after(15), pytest.raises(ConnectionClosed):
                    await silent.recv()
                over.set()
            await talking.send("still here")
            assert await talking.recv() == "still here"
            await talking.close()

    async def test_backpressure_reaches_the_sender(self) -> None:
        reading, sent = anyio.Event(), 0

        async def slow(socket: ServerConnection) -> None:
            await reading.wait()
            async for _ in socket:
                pass

        async with websocket_function(slow) as gw, a_websocket(gw, compression=None) as client:

            async def pour() -> None:
                nonlocal sent
                for _ in range(64):
                    await client.send(b"x" * MIB)
                    sent += 1

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pour)
                before = -1
                while before != sent:  # until it stands still
                    before = sent
                    await anyio.sleep(0.3)
                taken = sent
                reading.set()
            assert sent == 64
            assert taken < 48, "the gateway took it all, though nobody read it"


def an_app() -> Starlette:
    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello\n", headers={"X-Method": request.method})

    async def digest(request: Request) -> Response:
        found, size = hashlib.sha256(), 0
        async for chunk in request.stream():
            found.update(chunk)
            size += len(chunk)
        return PlainTextResponse(f"{size} {found.hexdigest()}\n")

    async def ticks(request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            for number in range(5):
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0.05)

        return StreamingResponse(events(), media_type="text/event-stream")

    routes = [Route("/", hello, methods=["GET", "HEAD", "OPTIONS"]), Route("/digest", digest, methods=["POST", "PUT"])]
    return Starlette(routes=[*routes, Route("/ticks", ticks)])


@asynccontextmanager
async def a_web_function(**settings: Any) -> AsyncIterator[Routed]:
    """A gateway in front of a Starlette app on uvicorn."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(an_app(), log_config=None, lifespan="off", ws="none"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.ensure_future(server._serve(sockets=[sock]))
    try:
        async with routed(**settings) as gw:
            gw.cluster.instance(sock.getsockname()[1])
            yield gw
    finally:
        server.should_exit = True
        await serving
        sock.close()


async def curl(gw: Routed, *arguments: str, path: str = "/", stdin: bytes = b"") -> tuple[int, bytes]:
    """Runs curl against the function's host. Gives its exit code and what it printed."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed: apt-get install curl")
    where = ["--resolve", f"{HOST}:{gw.gateway.port}:127.0.0.1", f"http://{HOST}:{gw.gateway.port}{path}"]
    done = await anyio.run_process([program, "--silent", "--show-error", "--max-time", "20", *arguments, *where], input=stdin, check=False)
    return done.returncode, done.stdout + done.stderr


class TestCurl:
    async def test_gets(self) -> None:
        async with a_web_function() as gw:
            assert await curl(gw) == (0, b"hello\n")

    async def test_asks_for_the_head_only(self) -> None:
        async with a_web_function() as gw:
            code, head = await curl(gw, "--head")
            assert code == 0
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert b"x-method: HEAD" in head

    async def test_speaks_http_1_0(self) -> None:
        async with a_web_function() as gw:
            code, text = await curl(gw, "--http1.0", "--include", path="/ticks")
            assert code == 0
            assert b"chunked" not in text.lower()
            assert text.endswith(b"data: 4\n\n")

    async def test_uploads_with_and_without_a_length_and_waits_to_be_asked(self, tmp_path: Path) -> None:
        data = bytes(range(256)) * 8192 * 4  # 8 MiB
        told = f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode()
        (tmp_path / "data").write_bytes(data)
        async with a_web_function() as gw:
            sized = ("--data-binary", f"@{tmp_path / 'data'}")
            assert await curl(gw, *sized, path="/digest") == (0, told)
            assert await curl(gw, *sized, "-H", "Expect: 100-continue", path="/digest") == (0, told)
            assert await curl(gw, "--upload-file", "-", path="/digest", stdin=data) == (0, told)

    async def test_keeps_its_connection_for_the_next_url(self) -> None:
        async with a_web_function() as gw:
            url = f"http://{HOST}:{gw.gateway.port}/"
            code, text = await curl(gw, "--verbose", url)
            assert code == 0
            assert b"Re-using existing connection" in text

    async def test_follows_no_connection_that_was_closed_for_idling(self) -> None:
        async with a_web_function(keep_alive=0.1) as gw:
            url = f"http://{HOST}:{gw.gateway.port}/"
            code, text = await curl(gw, "--rate", "1/s", url)
            assert (code, text) == (0, b"hello\nhello\n")


class TestServerSentEvents:
    async def test_each_arrives_when_it_is_sent_and_not_at_the_end(self) -> None:
        async with a_web_function() as gw, httpx.AsyncClient(headers={"Host": HOST}) as client:
            async with client.stream("GET", f"http://127.0.0.1:{gw.gateway.port}/ticks") as answer:
                times = [anyio.current_time() async for line in answer.aiter_lines() if line]
            assert len(times) == 5
            assert times[-1] - times[0] > 0.15, "they came together"
