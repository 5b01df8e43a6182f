"""Which keys a change makes dirty: the map from what changed to who must look. It reads nothing of the change but names."""

from dataclasses import dataclass, field
from typing import Any

from controller.labeler.plan import revisions_of
from controller.owner import controller_of
from controller.route.hosts import claimed
from controller.world import World
from kfn.api import names
from kfn.api.conditions import is_true
from kfn.api.serving import GROUP, Configuration, Route
from kfn.kube.reconcile import Keys

GATHER = 0.02  # seconds in which what an instance's start changes is gathered: to look at it each time would delay the start
WAKING = 0.5  # the same where a ready Revision wakes: nobody waits for its status, but somebody for the instance, on the same processors


@dataclass(frozen=True, slots=True)
class Queues:
    """One queue a reconciler."""

    services: Keys = field(default_factory=Keys)
    configurations: Keys = field(default_factory=Keys)
    routes: Keys = field(default_factory=Keys)
    revisions: Keys = field(default_factory=Keys)
    labels: Keys = field(default_factory=Keys)
    garbage: Keys = field(default_factory=Keys)


class Triggers:
    """Hears every change of every kind, and puts keys into queues. A method a kind; `child` is for what only has an owner."""

    def __init__(self, world: World, queues: Queues) -> None:
        self._world = world
        self._queues = queues
        self._by_kind = {
            "Service": queues.services,
            "Configuration": queues.configurations,
            "Route": queues.routes,
            "Revision": queues.revisions,
        }
        world.services.on_change(self.service)
        world.configurations.on_change(self.configuration)
        world.routes.on_change(self.route)
        world.revisions.on_change(self.revision)
        world.deployments.on_change(self.deployment)
        world.revision_services.on_change(self.child)
        world.route_services.on_change(self.child)
        world.pods.on_change(self.pod)

    def service(self, old: Any, new: Any) -> None:
        self._queues.services.add(_key(new or old))

    def configuration(self, old: Configuration | None, new: Configuration | None) -> None:
        for seen in (old, new):
            if seen is None:
                continue
            namespace, latest = seen.metadata.namespace, seen.status.latest_created_revision_name
            self._queues.configurations.add(_key(seen))
            self._queues.garbage.add(_key(seen))
            self._owner(seen)
            self._routes(self._world.routes_to_configuration(namespace, seen.metadata.name))
            if latest:  # the one before it is no longer the newest, and may go into the reserve
                self._queues.labels.add(f"{namespace}/{latest}")

    def route(self, old: Route | None, new: Route | None) -> None:
        for seen in (old, new):
            if seen is None:
                continue
            self._queues.routes.add(_key(seen))
            self._owner(seen)
            for host in claimed(seen):
                self._routes(self._world.routes_claiming(host))
            for name in revisions_of(seen):
                self._queues.labels.add(f"{seen.metadata.namespace}/{name}")

    def revision(self, old: Any, new: Any) -> None:
        obj = new or old
        namespace, name = obj.metadata.namespace, obj.metadata.name
        configuration = obj.metadata.labels.get(names.CONFIGURATION)
        self._queues.revisions.add(_key(obj))
        self._queues.labels.add(_key(obj))
        self._owner(obj)
        self._routes(self._world.routes_to_revision(namespace, name))
        if configuration:
            self._queues.garbage.add(f"{namespace}/{configuration}")
            self._routes(self._world.routes_to_configuration(namespace, configuration))

    def pod(self, old: Any, new: Any) -> None:
        meta = (new or old).metadata
        name = meta.labels.get(names.REVISION, "")
        self._queues.revisions.add(f"{meta.namespace}/{name}", after=self._settled(meta.namespace, name))

    def deployment(self, old: Any, new: Any) -> None:
        """Its making and its end are told at once, its scale and its status when they have settled."""
        meta = (new or old).metadata
        after = self._settled(meta.namespace, meta.labels.get(names.REVISION, "")) if old and new else 0.0
        self._owner(new or old, after=after)

    def _settled(self, namespace: str, revision: str) -> float:
        """How long to gather what its instances do. A new one is waited for, and so is one that has failed and may work again."""
        known = self._world.revisions.get(namespace, revision)
        return WAKING if known is not None and is_true(known.status.conditions, "Ready") else GATHER

    def child(self, old: Any, new: Any) -> None:
        self._owner(new or old)

    def _owner(self, obj: Any, *, after: float = 0.0) -> None:
        ref = controller_of(obj.metadata)
        if ref is not None and ref.api_version.startswith(f"{GROUP}/") and ref.kind in self._by_kind:
            self._by_kind[ref.kind].add(f"{obj.metadata.namespace}/{ref.name}", after=after)

    def _routes(self, routes: list[Route]) -> None:
        for route in routes:
            self._queues.routes.add(_key(route))


def _key(obj: Any) -> str:
    return f"{obj.metadata.namespace}/{obj.metadata.name}"
