"""The keeper of slots: one process to which all gateways that share instances connect. It listens, and does what `ledger` decides.

`serving` is the whole of it, for a supervisor of workers (a Unix socket) or a process of its own (TCP, with a token); `elected` holds
a Lease meanwhile, so that of several replicas one is the keeper. Nothing is kept on disk: after a restart the gateways tell what they hold.
"""

import asyncio
import fcntl
import hmac
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import cast

import anyio

from gateway.slots import wire as slotwire
from gateway.slots.ledger import PATIENCE, Ledger, Refused
from kfn.kube.lease import Elector, LostLease
from kfn.observe import web

log = logging.getLogger(__name__)

TTL = 2.0  # seconds of silence after which a gateway has stopped using what it does not use
IDLE_TICK = 0.25  # seconds between two looks at the time when nobody waits
MANNERS = 5.0  # seconds for a Hello with the right token
MOST = 1024  # connections at once
UNREAD = 4 * 1024 * 1024  # bytes that a gateway has not read, at most


class Keeper:
    """`address` is what gateways have as their setting `slots`."""

    def __init__(self, token: str, ttl: float, *, fresh: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._token = token.encode()
        self.address = ""
        self.ledger = Ledger(ttl, 0.0 if fresh else self._loop.time() + ttl)
        self.wires: dict[int, Wire] = {}
        self.connections: set[Wire] = set()
        self.unsent: dict[Wire, None] = {}
        self._numbers = count(1)

    async def run(self) -> None:
        """Look at the time now and then: for gateways that are silent, and for wants that make no progress."""
        while True:
            await anyio.sleep(PATIENCE if self.ledger.waiting else IDLE_TICK)
            for number in self.ledger.tick(self._loop.time()):
                if number in self.wires:
                    self.wires[number].end("has been silent for too long")
            self._act()

    def welcome(self, wire: "Wire", hello: slotwire.Hello) -> int:
        """The number of its session. Raises Refused."""
        if not hmac.compare_digest(hello.token.encode(), self._token):
            raise Refused("it has not the token")
        if hello.version != slotwire.VERSION:
            raise Refused(f"it speaks version {hello.version}, not {slotwire.VERSION}")
        number = next(self._numbers)
        for old in self.ledger.hello(number, hello.gateway, self._loop.time()):
            self.wires[old].end("has connected again")
        self.wires[number] = wire
        return number

    def heard(self, wire: "Wire", number: int, lines: Iterator[bytes]) -> None:
        """Frames that came together; then what follows from them, together."""
        ledger, now = self.ledger, self._loop.time()
        ledger.heard(number, now)
        for line in lines:
            frame = slotwire.from_gateway(line)
            match frame:
                case slotwire.Give():
                    ledger.give(number, frame)
                case slotwire.Want():
                    ledger.want(number, frame, now)
                case slotwire.Ping():
                    wire.tell(slotwire.Pong(frame.number))
                case slotwire.See():
                    ledger.see(number, frame)
                case slotwire.Have():
                    ledger.have(number, frame)
                case slotwire.Ready():
                    ledger.ready(number)
                    self._act()  # what is not its own any more is said first: with Welcome it uses what it has
                    wire.tell(slotwire.Welcome(ledger.ttl))
                case _:
                    raise Refused("it says Hello twice")
        self._act()

    def lost(self, wire: "Wire", number: int) -> None:
        if self.wires.get(number) is wire:
            del self.wires[number]
            self.ledger.lost(number, self._loop.time())
            self._act()

    def _act(self) -> None:
        for number, frame in self.ledger.decide(self._loop.time()):
            wire = self.wires.get(number)
            if wire is not None:
                wire.tell(frame)
        unsent, self.unsent = self.unsent, {}
        for wire in unsent:
            wire.flush()


class Wire(asyncio.Protocol):
    """One gateway's connection."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._frames = slotwire.Frames(slotwire.MAX_FIRST)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._number = 0
        self._out: list[bytes] = []
        self._patience: asyncio.TimerHandle | None = None

    def tell(self, frame: slotwire.Frame) -> None:
        """To be sent together with what else is decided now."""
        self._keeper.unsent[self] = None
        self._out.append(slotwire.encode(frame))

    def flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"\n".join([*self._out, b""]))
            if self._transport.get_write_buffer_size() > UNREAD:
                self.end("reads nothing any more")
        self._out.clear()

    def end(self, why: str) -> None:
        log.warning("a gateway's connection to the keeper of slots is closed: it %s", why)
        self._transport.abort()
        self._gone()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._keeper.connections.add(self)
        self._patience = asyncio.get_running_loop().call_later(MANNERS, self._too_late)
        if len(self._keeper.connections) > MOST:
            self.end(f"is one of more than {MOST}")

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            lines = self._frames.feed(data)
            if not self._number:
                line = next(lines, None)
                if line is None:
                    return
                self._hello(line)
            self._keeper.heard(self, self._number, lines)
        except ValueError as error:  # msgspec's errors are, and Refused and BadFrame
            self.end(f"is not understood: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()

    def _hello(self, line: bytes) -> None:
        hello = slotwire.from_gateway(line)
        if not isinstance(hello, slotwire.Hello):
            raise Refused("it does not begin with Hello")
        self._number = self._keeper.welcome(self, hello)
        self._frames.most = slotwire.MAX_FRAME
        if self._patience is not None:
            self._patience.cancel()

    def _too_late(self) -> None:
        if not self._number:
            self.end("has not said who it is")

    def _gone(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._keeper.connections.discard(self)
        self._keeper.lost(self, self._number)


def check(address: str, token: str) -> slotwire.Address:
    """Raises ValueError for what a keeper cannot listen on."""
    where = slotwire.Address.parse(address)
    if not where.path and not token:
        raise ValueError(f"a keeper of slots at {address} needs a token: whoever can connect could take every slot")
    return where


@asynccontextmanager
async def serving(address: str, *, token: str = "", ttl: float = TTL, fresh: bool = False) -> AsyncIterator[Keeper]:
    """Keep slots for those who connect to `address` (`unix:PATH`, or `HOST:PORT` with a token) while the block runs.

    `fresh`: no gateway can have slots of these instances yet, so they are given out at once; else after `ttl`, when all have been heard.
    Raises ValueError for an address that is none, and web.ListenError.
    """
    where = check(address, token)
    loop = asyncio.get_running_loop()
    with _listening(where) as sock:
        keeper = Keeper(token, ttl, fresh=fresh)
        if where.path:
            keeper.address = str(where)
            server: asyncio.Server = await loop.create_unix_server(lambda: Wire(keeper), sock=sock)
        else:
            keeper.address = str(slotwire.Address(where.host, sock.getsockname()[1]))
            server = await loop.create_server(lambda: Wire(keeper), sock=sock)
        log.info("keeping slots at %s", keeper.address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            try:
                yield keeper
            finally:
                tasks.cancel_scope.cancel()
                server.close()
                for wire in list(keeper.connections):
                    wire.end("is left alone: the keeper stops")


async def elected(elector: Elector, address: str, *, token: str, ttl: float = TTL) -> None:
    """Of several replicas, be the keeper while this one holds the Lease. The others do not listen, so gateways find the one that does."""

    async def keep() -> None:
        async with serving(address, token=token, ttl=ttl):
            await anyio.sleep_forever()

    while True:
        try:
            await elector.lead(keep)
        except LostLease as error:
            log.warning("not the keeper of slots any more: %s", error)


@contextmanager
def _listening(where: slotwire.Address) -> Iterator[socket.socket]:
    if not where.path:
        with web.listen(where.host, where.port) as sock:
            yield sock
        return
    lock = os.open(f"{where.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise web.ListenError(f"another keeper of slots listens on {where}") from None
        if os.path.exists(where.path) and stat.S_ISSOCK(os.stat(where.path).st_mode):
            os.unlink(where.path)  # of a keeper that was killed: nobody else has the lock
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.bind(where.path)
            except OSError as error:
                raise web.ListenError(f"cannot listen on {where}: {error.strerror or error}") from error
            os.chmod(where.path, 0o600)  # before it listens, so nobody else can have connected
            try:
                yield sock
            finally:
                with suppress(FileNotFoundError):  # newer Pythons do it when the server is closed
                    os.unlink(where.path)
    finally:
        os.close(lock)
