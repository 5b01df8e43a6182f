"""Eventing as one part: connect to NATS, watch Brokers, Channels, flows and sources, serve the ingress, run dispatchers.

An event reads: web.py and ingress.py (in), subjects.py (where), bus.py (stored), pull.py and dispatch.py (out, one at a time),
match.py (wanted?), courier.py (delivered), retry.py (what now), settle.py (reply, dead letter, acknowledge).
"""

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup
from starlette.routing import BaseRoute

from eventing import broker, leader, subjects, web
from eventing.access import door
from eventing.broker import has_channel
from eventing.bus import Bus
from eventing.channel import is_stored
from eventing.courier import Courier
from eventing.doors import Doors
from eventing.follow import Follower, SubscriptionFollower
from eventing.gate import Gate
from eventing.ingress import Ingress
from eventing.jobsink.door import JobDoor
from eventing.leader import Leader
from eventing.metrics import Metrics
from eventing.pipelines.part import Part
from eventing.resolve import Resolver
from eventing.running import Dispatchers
from eventing.settings import Settings
from eventing.settle import Settler
from eventing.shown import Shown
from eventing.sources.hooks import Hooks
from eventing.sources.queues.kafka_sources import KafkaSources
from eventing.sources.queues.kafkapump import KafkaPump
from eventing.sources.queues.pumps import Pumps
from eventing.sources.webhooks import Webhooks
from eventing.told import SubscribersFollower
from eventing.watched import Watched, World
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.observe.web import serving

log = logging.getLogger(__name__)


class ConnectionLost(Exception):
    """NATS closed the connection for good, which happens when its credentials change: start eventing again."""


@dataclass(frozen=True, slots=True)
class Term:
    """One replica's time as the one that writes."""

    client: Client
    alone: bool = False


class Eventing:
    """Build it, then `run` it. `port` and `ingress_url` are known once `started` was called."""

    def __init__(self, client: Client, settings: Settings, *, alone: bool = True) -> None:
        """Not `alone`: one of several replicas, which writes nothing but while it is told to `lead`."""
        self.settings = settings
        self.metrics = Metrics()
        self.port = 0
        self.ingress_url = settings.ingress_url
        self.routes: list[BaseRoute] = []  # for an admin port, once it runs
        self._client = client
        self._bus = Bus(settings)
        self._courier = Courier(settings)
        self._hooks = Hooks(self._courier, settings, self.metrics)
        self._world = World(client)
        self._gate = Gate(client, self._world.secret_of, self._courier.passes)
        self._dispatchers: Dispatchers
        self._pipelines: Part
        self._kafka: Pumps[KafkaPump]
        self._leader: Leader | None = None  # while we write
        self._next: Term | None = Term(client, alone=True) if alone else None
        self._changed, self._over, self._ended = anyio.Event(), anyio.Event(), False

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return self._world.informers

    @property
    def is_up(self) -> bool:
        """NATS answers."""
        return self._bus.is_up

    @property
    def pinging(self) -> int:
        """PingSources whose clock runs here."""
        return self._leader.pinging if self._leader is not None else 0

    async def run(self, *, started: Callable[[], object] | None = None, sock: socket.socket | None = None) -> None:
        """Until cancelled. `started` is called once events are accepted; `sock` is listened on instead of host and port of the
        settings. Raises `ListenError` and `ConnectionLost`."""
        async with self._bus.connected(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_lost)
            self._world.watch()
            for informer in self.informers:
                tasks.start_soon(informer.run)
            for informer in self.informers:
                await informer.synced()
            try:
                await self._serve(started, sock)
            finally:
                await self._courier.aclose()

    async def lead(self, client: Client) -> None:
        """Of several replicas, be the one that writes, with this client, until cancelled; returns when nothing of that goes on any more."""
        self._take(Term(client))
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                over = self._take(None)
                await over.wait()

    async def _serve(self, started: Callable[[], object] | None, sock: socket.socket | None) -> None:
        resolver = Resolver(self._client, self._world.addressed)
        settler = Settler(self._bus, self._courier, self.settings, self.metrics)
        settler.guards = self._gate.guards
        async with anyio.create_task_group() as tasks:
            self._dispatchers = Dispatchers(self._bus, settler, self.settings, self.metrics, tasks, self._world.lost)
            self._kafka = Pumps(KafkaPump, self._courier, self.metrics, tasks, self._world.kafkas.keys.add)
            ingress = Ingress(
                self._bus, self.settings, self.metrics, known=self._is_known, ready=self._is_ready, full=self._full,
                suspect=self._world.suspect, gate=self._gate,
            )  # fmt: skip
            self._pipelines = Part(
                self._world, self._bus, self._courier, resolver, self.settings, self.metrics, self._gate, tasks,
            )  # fmt: skip
            self.routes.extend(self._pipelines.routes)
            self.routes.extend(Shown(ingress, self._bus, self.settings).routes)
            self.routes.extend(door.routes(ingress, self.settings))
            self.routes.extend(Doors(ingress, self._bus, self.settings, self._world.uid_of).routes)
            jobs = JobDoor(self._client, self._world.job_sinks.informer.get, self.settings, self.metrics)
            app = web.app(ingress, self.metrics, lambda: self._bus.is_up, [*self.routes, *self._hooks.routes, *jobs.routes])
            async with (
                self._pipelines.waiters.listening(),
                serving(app, host=self.settings.host, port=self.settings.port, sock=sock) as port,
            ):
                self.port = port
                self.ingress_url = self.settings.ingress_url or f"http://{_authority(self.settings.host)}:{port}"
                settler.ingress_url = self._courier.ingress_url = self.ingress_url
                began = anyio.Event()
                tasks.start_soon(self._terms, resolver, began)
                await began.wait()
                if started is not None:
                    started()
                try:
                    await anyio.sleep_forever()
                finally:
                    self._bus.end()

    # One of several replicas writes, all of them take events and deliver them.

    def _take(self, term: "Term | None") -> anyio.Event:
        """Begin a term, or follow. Gives what is set when that which went on before is over."""
        self._next, changed = term, self._changed
        self._changed, self._over = anyio.Event(), anyio.Event()
        changed.set()
        if self._ended:
            self._over.set()
        return self._over

    async def _terms(self, resolver: Resolver, began: anyio.Event) -> None:
        try:
            while True:
                term, changed = self._next, self._changed
                self._over.set()
                await self._until(changed, term, resolver, began)
        finally:
            self._ended = True
            self._over.set()

    async def _until(self, changed: anyio.Event, term: "Term | None", resolver: Resolver, began: anyio.Event) -> None:
        """Write, or follow, until something else is to be done."""
        self._world.all_dirty()
        async with anyio.create_task_group() as tasks:
            if term is None:
                tasks.start_soon(self._follow, resolver)
            else:
                await self._begin(term, resolver, tasks)
            began.set()
            await changed.wait()
            tasks.cancel_scope.cancel()
        self._leader = None
        self.metrics.forget_lags()

    async def _follow(self, resolver: Resolver) -> None:
        world = self._world
        follower = Follower(world.triggers.informer, world.brokers.informer, self._dispatchers)
        webhooks = Webhooks(self._client, world.webhooks.informer, resolver, self._hooks)
        subscriber = SubscriptionFollower(world.subscriptions.informer, world.channel_informers, self._dispatchers)
        told = SubscribersFollower(world.in_memory.informer, world.subscriptions.informer, resolver, self._dispatchers)
        of: dict[Watched[Any], reconcile.Reconcile] = {
            world.triggers: follower.reconcile,
            world.subscriptions: subscriber.reconcile,
            world.in_memory: told.reconcile,
            world.webhooks: webhooks.reconcile,
            world.pipelines: self._pipelines.follow,
            world.kafkas: KafkaSources(self._client, world.kafkas.informer, resolver, self._kafka, writing=False).reconcile,
        }

        async def nothing(key: str) -> reconcile.Done:
            return reconcile.Done()

        async with anyio.create_task_group() as tasks:
            for watched in world.reconciled:
                tasks.start_soon(leader.run, watched.keys, of.get(watched, nothing))

    async def _begin(self, term: "Term", resolver: Resolver, tasks: TaskGroup) -> None:
        self._leader = Leader(
            term.client, self._world, self._bus, self._courier, resolver, self._dispatchers, self.metrics, self.settings, self.ingress_url,
            self._hooks, self._gate, self._pipelines, self._kafka,
        )  # fmt: skip
        if not term.alone:
            self._leader.take_over()
        await self._leader.begin(tasks)

    def _is_ready(self, namespace: str, name: str) -> bool:
        """Whether the stream of a Broker or a Channel is there: as found by us, or by the leader."""
        if self._leader is not None:
            return (namespace, name) in self._leader.ready
        if subjects.channel_at(name):
            channel = self._world.channel_at(namespace, name)
            return channel is not None and is_stored(channel)
        found = self._world.brokers.informer.get(namespace, name)
        return found is not None and has_channel(found)

    def _is_known(self, namespace: str, name: str) -> bool:
        if subjects.channel_at(name):
            channel = self._world.channel_at(namespace, name)
            return channel is not None and not channel.metadata.deletion_timestamp
        found = self._world.brokers.informer.get(namespace, name)
        return found is not None and broker.is_ours(found) and not found.metadata.deletion_timestamp

    def _full(self) -> None:
        """A stream is full. The leader looks every few seconds by itself."""
        if self._leader is not None:
            self._leader.sweep.now()

    async def _until_lost(self) -> None:
        await self._bus.lost()
        raise ConnectionLost("NATS closed the connection for good; are the credentials still right?")


def _authority(host: str) -> str:
    return f"[{host}]" if ":" in host else host
