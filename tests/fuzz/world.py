"""A gateway without sockets: clients' bytes go in, an instance's answers come back, h11 reads along on both sides.

What is promised of every run: nothing is raised, nothing is left behind, an instance is written nothing that h11 refuses, and a client
nothing that h11 refuses. `differences` compares what was understood with what h11 makes of the very same bytes.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from gateway import heads
from gateway.exchange import Exchange
from gateway.http1.inbound import ClientConnection
from gateway.http1.upstream import UpstreamConnection
from gateway.instance import Instance
from tests.fakes.strict import Peer, Seen
from tests.fakes.wired import Wired


class Wire:
    """A transport to nowhere. `written` gets what is written; closing is told to the protocol when the world says so."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        self.written = written
        self.closing = False
        self.lost = False
        self.ended = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        assert not self.lost, "written to a connection that is gone"
        assert not self.ended, "written behind the end"
        if not self.closing:
            self.written(bytes(data))

    def writelines(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name == "peername" else default

    def close(self) -> None:
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def lose(self) -> None:
        if not self.lost:
            self.closing = self.lost = True
            self.protocol.connection_lost(None)


class Watched(ClientConnection):
    """A client's connection that keeps what its reader understood."""

    def __init__(self, chain: Any) -> None:
        super().__init__(chain)
        self.understood: list[Seen] = []
        self.deepest = 0

    def request_begun(self, head: heads.RequestHead) -> None:
        self.understood.append(Seen(head.method, heads.target(head), []))
        super().request_begun(head)
        self.deepest = max(self.deepest, len(self._ahead))

    def request_body(self, data: bytes) -> None:
        self.understood[-1].body += data
        super().request_body(data)

    def request_done(self, trailers: heads.Headers) -> None:
        self.understood[-1].whole = True
        super().request_done(trailers)


@dataclass
class Run:
    """What came of one client's connection."""

    understood: list[Seen]
    instance: list[Seen]  # what the instance saw of it
    refused: str  # what h11 did not like of what the instance was written
    client: bytes  # what the client was written
    deepest: int
    kept: bool = False  # the instance's connection may be used again


@dataclass
class Far:
    connection: UpstreamConnection
    wire: Wire
    peer: Peer
    answers: deque[bytes] = field(default_factory=deque)


class World:
    """One gateway with one function and one instance; `say`, if set, is what a hostile instance says instead of an answer."""

    def __init__(self, tasks: anyio.abc.TaskGroup, dice: random.Random, **settings: Any) -> None:
        self.now = 1000.0
        self._wired = Wired(tasks, lambda: self.now, **settings)
        self.chain = self._wired.chain
        self.instance = self._wired.instance
        self.instance.idle.clear()
        self.chain.connections.clear()  # of those that came with it
        self.chain.dial = self._dial  # type: ignore[method-assign]
        self._dice = dice
        self._fars: list[Far] = []
        self.say: list[bytes] | None = None

    def run(self, pieces: list[bytes]) -> Run:
        taken: list[bytes] = []
        near, wire = Watched(self.chain), Wire(taken.append)
        wire.protocol = near
        near.connection_made(wire)  # type: ignore[arg-type]
        for far in self._fars:
            far.peer.seen.clear()
        for piece in pieces:
            if wire.closing:
                break
            self.now += 0.001
            wire.protocol.data_received(piece)
            if self._dice.random() < 0.7:
                self.pump()
        self.pump()
        wire.lose()
        self.pump()
        assert not self.chain.active, "an exchange is left"
        assert not self.chain.connections, "a connection is left"
        assert (self.chain.shared.held, self.chain.shared.waiting, self.instance.active) == (0, 0, 0), "something is held"
        seen = [one for far in self._fars for one in far.peer.seen]
        refused = next((far.peer.refused for far in self._fars if far.peer.refused), "")
        http1 = wire.protocol is near  # else the client spoke HTTP/2, which h11 cannot read along
        run = Run(
            near.understood, seen, refused, b"".join(taken) if http1 else b"", near.deepest, any(one.open for one in self.instance.idle)
        )
        self._fars = [far for far in self._fars if far.connection in self.instance.idle and self.say is None]
        self.instance.idle[:] = [far.connection for far in self._fars]
        return run

    def pump(self) -> None:
        """Let the instance's answers arrive, cut anywhere, and connections end that are closing."""
        moved = True
        while moved:
            moved = False
            for far in list(self._fars):
                while far.answers and not far.wire.closing:
                    moved = True
                    data = far.answers.popleft()
                    cut = self._dice.randrange(len(data) + 1) if self.say is None and self._dice.random() < 0.3 else len(data)
                    if cut < len(data):
                        far.answers.appendleft(data[cut:])
                    if cut:
                        far.wire.protocol.data_received(data[:cut])
                if far.wire.closing and not far.wire.lost:
                    moved = True
                    far.wire.lose()

    def _dial(self, exchange: Exchange, instance: Instance) -> None:
        connection = UpstreamConnection(instance)
        far = Far(connection, Wire(lambda data: self._written(far, data)), Peer())
        far.wire.protocol = connection
        connection.connection_made(far.wire)  # type: ignore[arg-type]
        self._fars.append(far)
        exchange.connected(connection)

    def _written(self, far: Far, data: bytes) -> None:
        answer = far.peer.feed(data)
        if self.say is None:
            if answer:
                far.answers.append(answer)
        elif not far.answers and any(seen.whole for seen in far.peer.seen):
            far.answers.extend(self.say)
