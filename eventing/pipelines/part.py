"""Pipelines as one piece of eventing: what runs here, the doors, and the reconcilers of the leader and of the others."""

from anyio.abc import TaskGroup
from starlette.routing import BaseRoute

from eventing.attached import Consumers
from eventing.bus import Bus
from eventing.conditions import is_true
from eventing.courier import Courier
from eventing.gate import Gate
from eventing.metrics import Metrics
from eventing.pipelines.bury import Bury
from eventing.pipelines.doors import Doors
from eventing.pipelines.engine import Parts
from eventing.pipelines.measured import Measured
from eventing.pipelines.reconciler import Follower, Pipelines, Shared, is_stored
from eventing.pipelines.retention import Retention
from eventing.pipelines.running import Engines
from eventing.pipelines.waiting import Waiters
from eventing.resolve import Resolver
from eventing.settings import Settings
from eventing.watched import World
from kfn.kube import reconcile
from kfn.kube.client import Client


class Part:
    """Enter `waiters.listening()` while it is used."""

    def __init__(
        self,
        world: World,
        bus: Bus,
        courier: Courier,
        resolver: Resolver,
        settings: Settings,
        metrics: Metrics,
        gate: Gate,
        tasks: TaskGroup,
    ) -> None:
        self._world, self._bus, self._settings, self._resolver = world, bus, settings, resolver
        self._pipelines = world.pipelines.informer
        self.waiters = Waiters(bus)
        measured, bury = Measured(metrics.registry), Bury(bus)
        parts = Parts(bus, courier, resolver, settings, metrics, measured, self.waiters, bury, world.revision_of)
        self._shared = Shared(self._pipelines, Engines(parts, tasks, world.pipelines.keys.add), bus)
        self._doors = Doors(self._shared.engines.get, settings, gate, known=self._is_known, is_open=self._is_open)

    @property
    def routes(self) -> list[BaseRoute]:
        return self._doors.routes

    @property
    def follow(self) -> reconcile.Reconcile:
        return Follower(self._shared).reconcile

    def lead(self, client: Client, consumers: Consumers, ingress_url: str, tasks: TaskGroup) -> reconcile.Reconcile:
        """What the replica that writes does beside."""
        tasks.start_soon(Retention(self._bus, self._settings, self._stored).run)
        brokers = self._world.brokers.informer
        return Pipelines(client, self._shared, brokers, consumers, self._resolver, self._settings, ingress_url).reconcile

    def _stored(self) -> list[tuple[str, str]]:
        return [(one.metadata.namespace, one.metadata.name) for one in self._pipelines.list() if is_stored(one)]

    def _is_known(self, namespace: str, name: str) -> bool:
        found = self._pipelines.get(namespace, name)
        return found is not None and not found.metadata.deletion_timestamp

    def _is_open(self, namespace: str, name: str) -> bool | None:
        found = self._pipelines.get(namespace, name)
        if found is None or not is_true(found.status.conditions):
            return None
        return found.spec.on is None if found.spec.http is None else found.spec.http
