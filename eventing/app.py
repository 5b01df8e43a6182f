"""Eventing as one part: connect to NATS, watch Brokers, Triggers and sources, serve the ingress, run a dispatcher a Trigger.

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

from eventing import broker, web
from eventing.broker import Brokers, has_channel
from eventing.bus import Bus
from eventing.courier import Courier
from eventing.follow import Follower
from eventing.ingress import Ingress
from eventing.metrics import Metrics
from eventing.resolve import Resolver
from eventing.running import Dispatchers
from eventing.settings import Settings
from eventing.settle import Settler
from eventing.sources.clockwork import Clockwork
from eventing.sources.ping import Pings
from eventing.sweep import Sweep
from eventing.trigger import Triggers, broker_name
from kfn.api import eventing as api
from kfn.api import kinds
from kfn.api.meta import Destination, ObjectMeta
from kfn.api.serving import Service, ServiceStatus
from kfn.api.sources import PingSource
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.errors import KubeError
from kfn.kube.informer import Informer
from kfn.observe.web import serving

log = logging.getLogger(__name__)


class ConnectionLost(Exception):
    """NATS closed the connection for good, which happens when its credentials change: start eventing again."""


@dataclass(slots=True)
class Term:
    """What only the one that writes has."""

    client: Client
    alone: bool = False
    brokers: Brokers | None = None
    sweep: Sweep | None = None


class Eventing:
    """Build it, then `run` it. `port` and `ingress_url` are known once `started` was called."""

    def __init__(self, client: Client, settings: Settings, *, alone: bool = True) -> None:
        """Not `alone`: one of several replicas, which writes nothing but while it is told to `lead`."""
        self.settings = settings
        self.metrics = Metrics()
        self.port = 0
        self.ingress_url = settings.ingress_url
        self._client = client
        self._bus = Bus(settings)
        self._courier = Courier(settings)
        self._brokers = Informer(client, kinds.BROKER)
        self._triggers = Informer(client, kinds.TRIGGER)
        self._services = Informer(client, kinds.SERVICE, keep=_addressed)
        self._pings = Informer(client, kinds.PING_SOURCE)
        self._clockwork: Clockwork | None = None
        self._dispatchers: Dispatchers
        self._term: Term | None = None  # while we write
        self._next: Term | None = Term(client, alone=True) if alone else None
        self._changed, self._over, self._ended = anyio.Event(), anyio.Event(), False
        self._broker_keys, self._trigger_keys, self._ping_keys = reconcile.Keys(), reconcile.Keys(), reconcile.Keys()

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return self._brokers, self._triggers, self._services, self._pings

    @property
    def is_up(self) -> bool:
        """NATS answers."""
        return self._bus.is_up

    @property
    def pinging(self) -> int:
        """PingSources whose clock runs here."""
        return len(self._clockwork) if self._clockwork is not None else 0

    async def run(self, *, started: Callable[[], object] | None = None, sock: socket.socket | None = None) -> None:
        """Until cancelled. `started` is called once events are accepted; `sock` is listened on instead of host and port of the
        settings. Raises `ListenError` and `ConnectionLost`."""
        async with self._bus.connected(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_lost)
            self._watch()
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
        resolver = Resolver(self._client, self._services, self._brokers)
        settler = Settler(self._bus, self._courier, self.settings, self.metrics)
        async with anyio.create_task_group() as tasks:
            self._dispatchers = Dispatchers(self._bus, settler, self.settings, self.metrics, tasks, self._trigger_keys.add)
            ingress = Ingress(
                self._bus, self.settings, self.metrics, known=self._is_known, ready=self._is_ready, full=self._full,
                suspect=self._broker_keys.add,
            )  # fmt: skip
            app = web.app(ingress, self._bus, self.settings, self.metrics, lambda: self._bus.is_up)
            async with serving(app, host=self.settings.host, port=self.settings.port, sock=sock) as port:
                self.port = port
                self.ingress_url = self.settings.ingress_url or f"http://{_authority(self.settings.host)}:{port}"
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
        self._look_at_all()
        async with anyio.create_task_group() as tasks:
            if term is None:
                tasks.start_soon(self._follow)
            else:
                await self._begin(term, resolver, tasks)
            began.set()
            await changed.wait()
            tasks.cancel_scope.cancel()
        self._term, self._clockwork = None, None
        self.metrics.forget_lags()

    def _look_at_all(self) -> None:
        for informer, keys in ((self._brokers, self._broker_keys), (self._triggers, self._trigger_keys), (self._pings, self._ping_keys)):
            for one in informer.list():
                keys.add(_key(one))

    async def _follow(self) -> None:
        follower = Follower(self._triggers, self._brokers, self._dispatchers)

        async def nothing(key: str) -> reconcile.Done:
            return reconcile.Done()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_reconcile, self._trigger_keys, follower.reconcile)
            for keys in (self._broker_keys, self._ping_keys):
                tasks.start_soon(_reconcile, keys, nothing)

    async def _begin(self, term: "Term", resolver: Resolver, tasks: TaskGroup) -> None:
        brokers = Brokers(term.client, self._brokers, self._bus, resolver, self.settings)
        brokers.ingress_url = self.ingress_url
        if not term.alone:  # the leader before us has made them; were all looked at first, their Triggers would stop meanwhile
            brokers.ready |= {(b.metadata.namespace, b.metadata.name) for b in self._brokers.list() if has_channel(b)}
        triggers = Triggers(
            term.client, self._triggers, self._brokers, brokers.ready, self._bus, resolver, self._dispatchers, self.settings,
            self._broker_keys.add,
        )  # fmt: skip
        sweep = Sweep(
            self._bus, self.metrics, self._dispatchers, brokers.ready, lambda: [t.metadata.uid for t in self._triggers.list()],
            self._broker_keys.add,
        )  # fmt: skip
        self._clockwork = Clockwork(self._courier, self.metrics, tasks)
        pings = Pings(term.client, self._pings, resolver, self._clockwork)
        term.brokers, term.sweep, self._term = brokers, sweep, term
        await self._first_pass(brokers)
        tasks.start_soon(self._reconcile_brokers, brokers)
        tasks.start_soon(_reconcile, self._trigger_keys, triggers.reconcile)
        tasks.start_soon(_reconcile, self._ping_keys, pings.reconcile)
        tasks.start_soon(sweep.run)

    def _is_ready(self, namespace: str, name: str) -> bool:
        """Whether a Broker's stream is there: as found by us, or by the leader."""
        if self._term is not None and self._term.brokers is not None:
            return (namespace, name) in self._term.brokers.ready
        found = self._brokers.get(namespace, name)
        return found is not None and has_channel(found)

    def _full(self) -> None:
        """A stream is full. The leader looks every few seconds by itself."""
        if self._term is not None and self._term.sweep is not None:
            self._term.sweep.now()

    async def _first_pass(self, brokers: Brokers) -> None:
        """The port may be another than in the last run: whoever finds us started shall find Brokers with the address of now."""
        with anyio.move_on_after(5):
            for one in self._brokers.list():
                try:
                    await brokers.reconcile(_key(one))
                except KubeError as error:
                    log.info("broker %s: %s; trying again", _key(one), error)

    async def _reconcile_brokers(self, brokers: Brokers) -> None:
        async def one(key: str) -> reconcile.Done:
            namespace, _, name = key.partition("/")
            before = (namespace, name) in brokers.ready
            done = await brokers.reconcile(key)
            if ((namespace, name) in brokers.ready) != before:
                self._touch_triggers(namespace, name)
            return done

        await _reconcile(self._broker_keys, one)

    def _watch(self) -> None:
        """An object's change dirties itself and the Triggers that look at it."""
        self._brokers.on_change(self._broker_changed)
        self._triggers.on_change(lambda old, new: self._trigger_keys.add(_key(new or old)))
        self._services.on_change(self._service_changed)
        self._pings.on_change(lambda old, new: self._ping_keys.add(_key(new or old)))

    def _broker_changed(self, old: api.Broker | None, new: api.Broker | None) -> None:
        one = new or old
        if one is None:
            return
        self._broker_keys.add(_key(one))
        if old is None or new is None or old.spec != new.spec or old.status != new.status or old.metadata != new.metadata:
            self._touch_triggers(one.metadata.namespace, one.metadata.name)

    def _touch_triggers(self, namespace: str, name: str) -> None:
        for trigger in self._triggers.list():
            of_it = trigger.metadata.namespace == namespace and broker_name(trigger) == name
            if of_it or _points_at(trigger, "Broker", namespace, name):
                self._trigger_keys.add(_key(trigger))
        self._touch_pings("Broker", namespace, name)

    def _touch_pings(self, kind: str, namespace: str, name: str) -> None:
        for source in self._pings.list():
            if _is_for(source.spec.sink, source.metadata.namespace, kind, namespace, name):
                self._ping_keys.add(_key(source))

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        one = new or old
        if one is None or (old and new and old.status.address == new.status.address):
            return
        for trigger in self._triggers.list():
            if _points_at(trigger, "Service", one.metadata.namespace, one.metadata.name):
                self._trigger_keys.add(_key(trigger))
        self._touch_pings("Service", one.metadata.namespace, one.metadata.name)

    def _is_known(self, namespace: str, name: str) -> bool:
        found = self._brokers.get(namespace, name)
        return found is not None and broker.is_ours(found) and not found.metadata.deletion_timestamp

    async def _until_lost(self) -> None:
        await self._bus.lost()
        raise ConnectionLost("NATS closed the connection for good; are the credentials still right?")


async def _reconcile(keys: reconcile.Keys, one: reconcile.Reconcile) -> None:
    await reconcile.run(keys, one, workers=4, backoff_max=10.0)


def _key(obj: api.Broker | api.Trigger | PingSource | None) -> str:
    assert obj is not None
    return f"{obj.metadata.namespace}/{obj.metadata.name}"


def _addressed(service: Service) -> Service:
    """What must be remembered of a function: where it is. Its template may be large, and there may be thousands."""
    meta = service.metadata
    kept = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version)
    return Service(metadata=kept, status=ServiceStatus(address=service.status.address))


def _points_at(trigger: api.Trigger, kind: str, namespace: str, name: str) -> bool:
    """Whether its subscriber or its dead-letter sink is that object."""
    sink = trigger.spec.delivery.dead_letter_sink if trigger.spec.delivery else None
    own = trigger.metadata.namespace
    return any(_is_for(one, own, kind, namespace, name) for one in (trigger.spec.subscriber, sink))


def _is_for(destination: Destination | None, own: str, kind: str, namespace: str, name: str) -> bool:
    """Whether a destination in the namespace `own` names that object."""
    ref = destination.ref if destination else None
    return ref is not None and (ref.kind, ref.name, ref.namespace or own) == (kind, name, namespace)


def _authority(host: str) -> str:
    return f"[{host}]" if ":" in host else host
