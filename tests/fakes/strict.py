"""A second opinion on every byte: an instance and a client that read with h11, and say so when it refuses what the gateway wrote.

Both are plain objects that are fed bytes; `serving` puts the instance behind a socket.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import h11

MOST = 1 << 22  # of a head; the gateway's own limits are what is tested


@dataclass
class Seen:
    """One request as h11 read it. `whole` is False until its end has come."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def all(self, name: bytes) -> list[bytes]:
        return [value for n, value in self.headers if n == name]


class Peer:
    """An instance on one connection: answers each whole request with 200, and stops for good at the first thing that h11 refuses."""

    def __init__(self, seen: list[Seen] | None = None, answer: bytes = b"hello") -> None:
        self.raw = b""
        self.seen = [] if seen is None else seen  # in the order in which they came, on whichever connection
        self.refused = ""  # what h11 did not like
        self._answer = answer
        self._now: Seen
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)

    def feed(self, data: bytes) -> bytes:
        """What it answers."""
        self.raw += data
        if self.refused:
            return b""
        out = b""
        try:
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._now = Seen(bytes(event.method), bytes(event.target), [(bytes(n), bytes(v)) for n, v in event.headers])
                    self.seen.append(self._now)
                elif isinstance(event, h11.Data):
                    self._now.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._now.whole = True
                    self._now.trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
                    out += self._respond()
                else:
                    return out
        except h11.ProtocolError as error:
            self.refused = str(error)
        return out

    def _respond(self) -> bytes:
        http = self._http
        out = http.send(h11.Response(status_code=200, headers=[("Content-Length", str(len(self._answer)))])) or b""
        if self._now.method != b"HEAD":
            out += http.send(h11.Data(data=self._answer)) or b""
        out += http.send(h11.EndOfMessage()) or b""
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
        return out


@dataclass
class Got:
    """One answer as a client reads it with h11. `whole`: it has ended as it said it would."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes = b""
    whole: bool = False


def answers(data: bytes, methods: Sequence[bytes] = (), *, ended: bool = True) -> list[Got]:
    """The answers on one connection, to requests with these methods in order (GET where it says none). Raises `AssertionError` if they
    are not what a strict client takes; `ended`: the gateway has closed the connection in an orderly way."""
    found: list[Got] = []
    while data:
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST)
        http.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        http.send(h11.EndOfMessage())
        got, data = _one(http, data, ended=ended)
        if got is None:
            break
        found.append(got)
    return found


def _one(http: h11.Connection, data: bytes, *, ended: bool) -> tuple[Got | None, bytes]:
    got: Got | None = None
    try:
        http.receive_data(data)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                if not ended:
                    return got, b""
                http.receive_data(b"")
                ended = False
            elif isinstance(event, h11.Response):
                headers = {bytes(n): bytes(v) for n, v in event.headers}
                got = Got(event.status_code, headers)
                _plain(data)
            elif isinstance(event, h11.Data) and got is not None:
                got.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and got is not None:
                got.whole = True
                return got, bytes(http.trailing_data[0])
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return got, b""
    except h11.RemoteProtocolError as error:
        if any(cut in str(error) for cut in ("peer closed connection without sending", "peer unexpectedly closed", "ConnectionClosed")):
            return got, b""  # cut, so that a client can see it
        raise AssertionError(f"h11 refuses what the client got: {error}: {data[:200]!r}") from error


def _plain(data: bytes) -> None:
    """h11 takes bare line feeds from servers; the gateway must write none."""
    head = data.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
    assert b"\n" not in head, f"a bare line feed: {head!r}"
    assert b"\r" not in head, f"a bare carriage return: {head!r}"
    assert b"\0" not in head, f"a NUL: {head!r}"


class _Served(asyncio.Protocol):
    def __init__(self, serving: "Serving", open_: set[asyncio.Transport]) -> None:
        self._serving = serving
        self._open = open_
        self.peer = Peer(serving.seen)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._serving.peers.append(self.peer)
        self._open.add(self.transport)

    def data_received(self, data: bytes) -> None:
        out = self.peer.feed(data)
        if out:
            self.transport.write(out)
        if self.peer.refused:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self.transport)


@dataclass
class Serving:
    port: int = 0
    peers: list[Peer] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        return b"".join(peer.raw for peer in self.peers)

    @property
    def refused(self) -> list[str]:
        return [peer.refused for peer in self.peers if peer.refused]


@asynccontextmanager
async def serving() -> AsyncIterator[Serving]:
    """A listening instance, one `Peer` a connection."""
    served = Serving()
    open_: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Served(served, open_), "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for transport in list(open_):
            transport.abort()
        await asyncio.sleep(0)
