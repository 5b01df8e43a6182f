"""A client's connection and one to an instance, joined by a chain, over transports that only take notes: no socket, no loop needed."""

from typing import Any

import anyio

from gateway.chain import Chain
from gateway.http1.inbound import ClientConnection
from gateway.http1.upstream import UpstreamConnection
from gateway.settings import Settings
from kfn.api import kinds
from tests.fakes.routed import Cluster, Sink


class Notes:
    """A transport. `took` is what was written to it since somebody emptied it."""

    def __init__(self) -> None:
        self.took: list[bytes] = []
        self.closed = ""
        self.reading = True

    def write(self, data: bytes) -> None:
        self.took.append(data)

    def is_closing(self) -> bool:
        return bool(self.closed)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name == "peername" else default

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.took.append(b"<end>")

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Wired:
    def __init__(self, tasks: anyio.abc.TaskGroup, clock: Any, *, transport: Any = Notes, **settings: Any) -> None:
        """One function with one instance and a limit, and a connection to either side."""
        cluster = Cluster()
        cluster.route()
        cluster.revision(container_concurrency=100)
        cluster.instance(1)
        self.chain = chain = Chain(tasks, Sink(), Settings(**settings), clock)
        for revision in cluster.api.all(kinds.REVISION):
            chain.revision_changed(None, revision)
        for slice_ in cluster.api.all(kinds.ENDPOINT_SLICE):
            chain.slice_changed(None, slice_)
        for route in cluster.api.all(kinds.ROUTE):
            chain.route_changed(None, route)
        (self.line,) = [line for line in chain.lines.values() if line.instances]
        (self.instance,) = self.line.instances.values()
        self.client, self.server = transport(), transport()
        self.near = ClientConnection(chain)
        self.near.connection_made(self.client)
        self.far = UpstreamConnection(self.instance)
        self.far.connection_made(self.server)
        self.instance.put(self.far, clock())
