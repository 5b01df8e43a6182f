"""The connections to one instance that speaks HTTP/2: as few as its limit of streams allows, opened once for all that wait."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio

from gateway import heads
from gateway.http2.upstream import InstanceConnection, InstanceStream

if TYPE_CHECKING:
    from gateway.chain import Chain
    from gateway.exchange import Exchange
    from gateway.instance import Instance
    from gateway.policy import ProbeBy

GUESS = 100  # streams on a connection that is being opened: what the RFC asks servers to allow at least


class Pool:
    def __init__(self, instance: "Instance") -> None:
        self._instance = instance
        self._connections: list[InstanceConnection] = []
        self._waiting: deque[Exchange] = deque()  # for a connection
        self._dialling = 0
        self._more: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._connections)

    def take(self) -> InstanceStream | None:
        """A place on a connection there is."""
        for connection in self._connections:
            if connection.free and not connection.ended_unread:
                return InstanceStream(connection)
        return None

    def want(self, exchange: "Exchange", chain: "Chain") -> None:
        """There is no place: the exchange is called when there is one, or cannot be."""
        self._waiting.append(exchange)
        self._more = lambda: chain.open_shared(self)
        self._dial_enough()

    async def dial(self, chain: "Chain") -> None:
        """Open one more connection, for those that wait. Counted as under way since it was decided."""
        try:
            connection = await self._connect(chain.settings.connect)
        except OSError as error:
            self._dialling -= 1
            if not self._dialling:
                waiting, self._waiting = self._waiting, deque()
                for exchange in waiting:
                    if not exchange.ended:
                        exchange.not_connected(self._instance, error)
            return
        self._dialling -= 1
        self.add(connection)
        line = next((e.line for e in self._waiting if e.line is not None), None)
        if line is not None:
            line.reached(self._instance)
        self.room()
        self._dial_enough()

    async def probe(self, how: "ProbeBy", timeout: float) -> None:
        """Raises OSError when the instance is not ready. The connection is kept for requests."""
        connection = await self._connect(timeout)
        self.add(connection)
        if not how.path:
            return
        asked = _Probe(self._instance, how)
        InstanceStream(connection).send(asked, [])  # type: ignore[arg-type]  # is all of an exchange that a stream needs
        try:
            with anyio.fail_after(timeout):
                status = await asked.answer
        finally:
            asked.leave()
        if not 200 <= status < 400:
            raise ConnectionRefusedError(f"the readiness probe was answered {status}")

    def add(self, connection: InstanceConnection) -> None:
        if connection.broken:
            return
        self._connections.append(connection)
        if self._instance.terminating:
            connection.leave()

    def check(self, now: float, idle_for: float) -> None:
        for connection in list(self._connections):
            connection.check(now, idle_for)

    def forget(self) -> None:
        for connection in list(self._connections):
            connection.leave()

    # The connections' side.

    def room(self) -> None:
        while self._waiting:
            if self._waiting[0].ended:
                self._waiting.popleft()
                continue
            stream = self.take()
            if stream is None:
                return
            self._waiting.popleft().connected(stream)

    def gone(self, connection: InstanceConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._dial_enough()

    # Inside.

    def _dial_enough(self) -> None:
        while self._dialling * GUESS < len(self._waiting):
            self._dialling += 1
            self._more()

    async def _connect(self, timeout: float) -> InstanceConnection:
        """A new connection, once the instance has sent its settings. Raises OSError, TimeoutError included."""
        loop = asyncio.get_running_loop()
        address = self._instance.address
        connection: InstanceConnection | None = None
        try:
            with anyio.fail_after(timeout):
                _, connection = await loop.create_connection(lambda: InstanceConnection(self, loop.time), address.host, address.port)
                await connection.greeted
        except BaseException:
            if connection is not None:
                connection.transport.abort()
            raise
        if not connection.takes_any:
            connection.close()
            raise ConnectionRefusedError("it takes no requests: its MAX_CONCURRENT_STREAMS is 0")
        return connection


class _Probe:
    """A GET of the gateway's own: what a stream needs of an exchange."""

    body_done = True
    trailers: heads.Headers = ()

    def __init__(self, instance: "Instance", how: "ProbeBy") -> None:
        address = instance.address
        host = f"[{address.host}]" if ":" in address.host else address.host
        fields = [(b"host", f"{host}:{address.port}".encode()), (b"user-agent", b"kfn-gateway-probe")]
        extra = [(name.encode(), value.encode()) for name, value in how.headers]
        self.head = heads.request(b"GET", how.path.encode(), "1.1", [*fields, *extra], b"unknown", 0, 1000)
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.reply = self
        self.client = self
        self.length = heads.CHUNKED

    def response_head(self, status: int, reason: bytes, headers: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(status)

    def upstream_broken(self, what: str, kind: str = "") -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionResetError(f"the probe was not answered: the instance {what}"))

    def upstream_refused(self, ahead: Any) -> None:
        self.upstream_broken("refused it")

    def leave(self) -> None:
        self.answer.cancel()

    def interim(self, status: int, reason: bytes, headers: Any) -> None: ...

    def add(self, data: bytes) -> None: ...

    def flush(self) -> None: ...

    def response_done(self, trailers: Any) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
