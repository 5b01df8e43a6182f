"""A client of HTTP/2 with its frames in the test's hands, and an instance that speaks HTTP/2 as its handler says.

Both are on the `h2` library, checking what it checks; bytes that it would not send are written past it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from tests.fakes import accepting
from tests.fakes.routed import HOST

Fields = list[tuple[bytes, bytes]]


@dataclass
class Got:
    """What came on one stream."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    interim: list[int] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None


class Patient(H2Connection):
    """Goes on with its streams after a GOAWAY, as the RFC has it and the library does not."""

    def _receive_goaway_frame(self, frame: Any) -> Any:
        event = events.ConnectionTerminated()
        event.last_stream_id, event.error_code = frame.last_stream_id, frame.error_code
        return [], [event]


class Peer:
    """One connection, from either side. Reads as long as `reading`; acknowledges what it reads unless told otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool, **config: Any) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = Patient(H2Configuration(client_side=client, header_encoding=None, **config))
        self.streams: defaultdict[int, Got] = defaultdict(Got)
        self.goaway: list[tuple[int, int]] = []  # last stream, code
        self.pongs = 0
        self.acknowledge = True
        self.changed = asyncio.Event()
        self.closed = False
        self.on_event: Callable[[events.Event], None] = lambda event: None

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.writer.is_closing():
            self.writer.write(data)

    async def read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
                self._tell()
        except (ConnectionError, ProtocolError):
            pass
        finally:
            self.closed = True
            self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _take(self, event: events.Event) -> None:
        got = self.streams[getattr(event, "stream_id", None) or 0]
        if isinstance(event, events.InformationalResponseReceived):
            got.interim.append(int(dict(event.headers or ())[b":status"]))
        elif isinstance(event, events.ResponseReceived):
            got.headers = dict(event.headers or ())
            got.status = int(got.headers[b":status"])
        elif isinstance(event, events.DataReceived):
            got.body += event.data or b""
            if self.acknowledge and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)
        elif isinstance(event, events.TrailersReceived):
            got.trailers = dict(event.headers or ())
        elif isinstance(event, events.StreamEnded):
            got.ended = True
        elif isinstance(event, events.StreamReset):
            got.reset = int(event.error_code or 0)
        elif isinstance(event, events.ConnectionTerminated):
            self.goaway.append((event.last_stream_id or 0, int(event.error_code or 0)))
        elif isinstance(event, events.PingAckReceived):
            self.pongs += 1
        self.on_event(event)

    async def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        with anyio.fail_after(seconds):
            while not true():
                await self.changed.wait()

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """DATA as the windows allow it."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                await self.changed.wait()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
            await self.writer.drain()
        if end:
            self.h2.end_stream(stream)
            self.flush()


class H2Client(Peer):
    def fields(self, path: str = "/", method: str = "GET", host: str = HOST, **headers: str) -> Fields:
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
        return [(n.encode(), v.encode()) for n, v in [*pseudo, *((n.replace("_", "-"), v) for n, v in headers.items())]]

    def begin(self, path: str = "/", method: str = "GET", host: str = HOST, *, end: bool = True, **headers: str) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, self.fields(path, method, host, **headers), end_stream=end)
        self.flush()
        return stream

    async def answer(self, stream: int) -> Got:
        got = self.streams[stream]
        await self.until(lambda: got.ended or got.reset is not None or self.closed)
        return got

    async def ask(self, path: str = "/", method: str = "GET", host: str = HOST, body: bytes = b"", **headers: str) -> Got:
        stream = self.begin(path, method, host, end=not body, **headers)
        if body:
            await self.send(stream, body, end=True)
        return await self.answer(stream)

    def raw(self, *frames: Any) -> None:
        """Frames, or bytes, past the library."""
        self.writer.write(b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames))


@asynccontextmanager
async def h2_client(port: int, *, start: bool = True, **config: Any) -> AsyncIterator[H2Client]:
    """A connection to the gateway with prior knowledge. `start` False: nothing is sent yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = H2Client(reader, writer, client=True, **config)
    client.h2.initiate_connection()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.read)
        if start:
            client.flush()
        try:
            yield client
        finally:
            writer.transport.abort()
            tasks.cancel_scope.cancel()


@dataclass
class Request:
    peer: "H2Peer"
    id: int
    headers: dict[bytes, bytes]
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reset: int | None = None

    def head(self, status: int = 200, *, end: bool = False, **headers: str) -> None:
        fields = [(":status", str(status)), *((n.replace("_", "-"), v) for n, v in headers.items())]
        self.peer.h2.send_headers(self.id, fields, end_stream=end)
        self.peer.flush()

    async def data(self, data: bytes, *, end: bool = False) -> None:
        await self.peer.send(self.id, data, end=end)

    def end(self, **trailers: str) -> None:
        if trailers:
            self.peer.h2.send_headers(self.id, [(n.replace("_", "-"), v) for n, v in trailers.items()], end_stream=True)
        else:
            self.peer.h2.end_stream(self.id)
        self.peer.flush()


class H2Peer(Peer):
    requests: dict[int, Request]


H2Handler = Callable[[Request], Awaitable[None]]


async def hello2(request: Request) -> None:
    await request.ended.wait()
    if request.headers[b":method"] == b"HEAD":
        request.head(content_length="5", end=True)
        return
    request.head(content_length="5")
    await request.data(b"hello", end=True)


@dataclass
class H2Upstream:
    port: int = 0
    connections: int = 0
    received: list[Request] = field(default_factory=list)
    peers: list[H2Peer] = field(default_factory=list)


@asynccontextmanager
async def h2_upstream(handler: H2Handler = hello2, *, settings: dict[Any, int] | None = None, **config: Any) -> AsyncIterator[H2Upstream]:
    """A listening instance that speaks only HTTP/2."""
    one = H2Upstream()
    tasks: set[asyncio.Task[None]] = set()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        one.connections += 1
        peer = H2Peer(reader, writer, client=False, **config)
        peer.requests = {}
        one.peers.append(peer)

        async def handle(request: Request) -> None:
            try:
                await handler(request)
                peer.flush()
            except (ProtocolError, ConnectionError):
                pass

        def take(event: events.Event) -> None:
            if isinstance(event, events.RequestReceived):
                request = peer.requests[event.stream_id or 0] = Request(peer, event.stream_id or 0, dict(event.headers or ()))
                one.received.append(request)
                handling = asyncio.ensure_future(handle(request))
                running.add(handling)
                handling.add_done_callback(running.discard)
            elif isinstance(event, events.DataReceived) and event.stream_id in peer.requests:
                peer.requests[event.stream_id].body += event.data or b""
            elif isinstance(event, events.TrailersReceived) and event.stream_id in peer.requests:
                peer.requests[event.stream_id].trailers = dict(event.headers or ())
            elif isinstance(event, events.StreamEnded) and event.stream_id in peer.requests:
                peer.requests[event.stream_id].ended.set()
            elif isinstance(event, events.StreamReset) and event.stream_id in peer.requests:
                peer.requests[event.stream_id].reset = int(event.error_code or 0)
                peer.requests[event.stream_id].ended.set()

        peer.on_event = take
        if settings:
            peer.h2.local_settings.update(settings)
            peer.h2.local_settings.acknowledge()
        peer.h2.initiate_connection()
        peer.flush()
        try:
            await peer.read()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await accepting.end(tasks)
        await accepting.end(running)
        for peer in one.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)
