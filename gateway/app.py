"""The gateway of one process: listens, keeps routes and instances true by watching the API, reports load, and stops in order.

The way of a request is in `chain.py` (`Chain.handle`); read that next.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from gateway import addresses, drain, policy
from gateway.addresses import Address
from gateway.chain import Chain
from gateway.coldstart import ColdStart
from gateway.doors import LOCAL, PUBLIC, TLS, Doors
from gateway.http1.inbound import ClientConnection
from gateway.observe.lag import LoopLag
from gateway.observe.watching import watching
from gateway.settings import Settings
from gateway.slots.lease import Slots
from gateway.slots.link import Link
from kfn.api import kinds, names
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.load import LoadSink, RevisionKey

if TYPE_CHECKING:
    from gateway.tls.https import Https

log = logging.getLogger(__name__)


class Gateway:
    def __init__(self, client: Client, sink: LoadSink, settings: Settings) -> None:
        self.settings = settings
        self.port = 0  # once `run` listens
        self.local_port = 0  # where names in the cluster are known; the same, unless settings keep them apart
        self.ready = False
        self.chain: Chain | None = None
        self.https = _https(client, settings)
        self.lag = LoopLag()
        self._informers: list[Informer[Any]] = []
        self._client = client
        self._sink = sink
        self._stop = anyio.Event()
        self._doors: Doors | None = None

    async def run(self, *, started: Callable[[], object] | None = None, sockets: Mapping[str, socket.socket] | None = None) -> None:
        """Serve until `stop` is called, or cancelled; either way what is under way is finished, within `settings.drain`.

        `started` is called once requests are accepted and every Route is known. `sockets` are doors that are bound already, by
        name (see `doors`); the others are bound here. Raises `ListenError` if a port cannot be had.
        """
        async with watching(self.settings) as watchers, anyio.create_task_group() as tasks:
            chain = self.chain = Chain(tasks, self._sink, self.settings, _clock())
            chain.watchers = watchers
            link = self._share(tasks, chain)
            await self._watch(tasks, chain)
            doors = self._doors = Doors(self.settings, sockets or {})
            try:
                await self._listen(tasks, chain, doors)
                tasks.start_soon(self.lag.run)
                tasks.start_soon(_every, self.settings.tick, chain.keep_time)
                tasks.start_soon(_every, 1.0, chain.sweep)
                tasks.start_soon(_every, self.settings.report, lambda: self._report(chain))
                self.ready = True
                if started is not None:
                    started()
                await self._stop.wait()
                await self._drain(doors, chain)
            except anyio.get_cancelled_exc_class():
                chain.refuse_waiting()  # nothing can be started for them any more
                with anyio.CancelScope(shield=True):
                    await self._drain(doors, chain)
                raise
            finally:
                self.ready = False
                doors.close()
                chain.abort()
                if link is not None:
                    link.close()
                tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """Not ready, accept nothing new, let what is under way finish, close. A second call does not wait."""
        if self._stop.is_set() and self.chain is not None:
            self.chain.abort()
        self._stop.set()

    async def accept_too(self, sockets: Mapping[str, socket.socket]) -> Callable[[], None]:
        """Take the connections of another process's doors as well, while it is away. Returns what ends that."""
        assert self._doors is not None
        return await self._doors.open_too(sockets)

    def accept_no_more(self) -> None:
        """Close the doors, before `stop`."""
        if self._doors is not None:
            self._doors.close()

    def cold_starts(self, revision: RevisionKey) -> list[ColdStart]:
        """The last cold starts of a revision, oldest first."""
        line = self.chain.lines.get(revision) if self.chain else None
        return list(line.cold_starts) if line else []

    async def drained(self, namespace: str, pod: str, timeout: float, *, cordon: bool = True) -> bool:
        """Send nothing new to a pod, and wait until nothing is under way on it; False if that took longer than `timeout` seconds.

        Without `cordon`, when nothing new goes there is left to its slice, and waited for.
        """
        return self.chain is None or self.chain.closed or await drain.drained(self.chain, namespace, pod, timeout, cordon=cordon)

    def in_flight(self, revision: RevisionKey) -> Mapping[str, int]:
        """How many requests are under way on each pod of a revision; one that is not known has none."""
        return drain.in_flight(self.chain, revision) if self.chain else {}

    def starting(self, revision: RevisionKey, pod: str, host: str, port: int, *, http2: bool = False) -> None:
        """A pod has its address: probe it now. Its slice says so some 10 ms later."""
        if self.chain is not None and not self.chain.closed:
            self.chain.starting(revision, Address(host, port, ready=False, terminating=False, pod=pod, http2=http2))

    def gone(self, revision: RevisionKey, pod: str) -> None:
        """That one will not come into service."""
        if self.chain is not None and not self.chain.closed:
            self.chain.not_starting(revision, pod)

    def stale(self) -> dict[str, float]:
        """By kind, for how many seconds the API server could not be followed. The gateway serves on with what it knows."""
        return {informer.kind.qualified: informer.stale for informer in self._informers}

    def _share(self, tasks: anyio.abc.TaskGroup, chain: Chain) -> Link | None:
        """Limits hold over all gateways of the same keeper. Before the first line is made, so that none is without it."""
        if not self.settings.slots:
            return None
        slots = chain.shared.slots = Slots(self.settings, chain.clock, chain.shared.later)
        link = Link(slots, self.settings)
        tasks.start_soon(link.run)
        tasks.start_soon(_every, self.settings.slots_idle, link.sweep)
        return link

    async def _watch(self, tasks: anyio.abc.TaskGroup, chain: Chain) -> None:
        revisions = Informer(self._client, kinds.REVISION, keep=policy.kept)
        slices = Informer(self._client, kinds.ENDPOINT_SLICE, labels=names.REVISION, keep=addresses.kept)
        routes = Informer(self._client, kinds.ROUTE)
        revisions.on_change(chain.revision_changed)
        slices.on_change(chain.slice_changed)
        routes.on_change(chain.route_changed)
        self._informers = [revisions, slices, routes]
        for informer in (revisions, slices, routes):
            tasks.start_soon(informer.run)
        for informer in (revisions, slices, routes):
            await informer.synced()

    async def _listen(self, tasks: anyio.abc.TaskGroup, chain: Chain, doors: Doors) -> None:
        """One door for everybody; or one for those outside and one for those inside, who may ask for names in the cluster."""
        together = self.settings.local_port is None
        if not together:
            self.local_port = await doors.open(LOCAL, lambda: ClientConnection(chain, local=True))
        self.port = await doors.open(PUBLIC, lambda: ClientConnection(chain, local=together))
        self.local_port = self.local_port or self.port
        if self.https is not None:
            self.https.port = await doors.open(TLS, await self.https.prepared(tasks, chain))

    async def _drain(self, doors: Doors, chain: Chain) -> None:
        self.ready = False
        chain.stopping = True
        if self.settings.stop_delay:
            await anyio.sleep(self.settings.stop_delay)
        doors.close()
        for connection in list(chain.connections):
            connection.stop()
        with anyio.move_on_after(self.settings.drain):
            while chain.connections or chain.active:  # noqa: ASYNC110 - bounded, and once in a life
                await anyio.sleep(0.02)
        if chain.active:
            log.warning("%d requests were not finished after %g s", len(chain.active), self.settings.drain)
        self._report(chain)

    def _report(self, chain: Chain) -> None:
        samples = chain.samples()
        if samples:
            self._sink.report(samples)


def _https(client: Client, settings: Settings) -> "Https | None":
    """Imported only where it is used: reading certificates takes a library that takes 30 ms and 10 MB."""
    if settings.tls_port is None:
        return None
    from gateway.tls.https import Https

    return Https(client, settings)


async def _every(seconds: float, do: Callable[[], None]) -> None:
    while True:
        await anyio.sleep(seconds)
        try:
            do()
        except Exception:
            log.exception("%s failed; the gateway goes on", do)


def _clock() -> Callable[[], float]:
    """The loop's clock. uvloop's is cut to milliseconds, so there the same clock is read directly: a warm request takes less than one."""
    loop = asyncio.get_running_loop()
    return time.monotonic if type(loop).__module__.startswith("uvloop") else loop.time
