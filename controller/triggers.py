"""Which keys a change makes dirty: the map from what changed to who must look. It reads nothing of the change but names."""

from dataclasses import dataclass, field
from typing import Any

from controller.labeler.plan import revisions_of
from controller.owner import controller_of
from controller.world import World
from kfn.api import names
from kfn.api.serving import GROUP, Route
from kfn.kube.reconcile import Keys


@dataclass(frozen=True, slots=True)
class Queues:
    """One queue a reconciler."""

    services: Keys = field(default_factory=Keys)
    configurations: Keys = field(default_factory=Keys)
    routes: Keys = field(default_factory=Keys)
    revisions: Keys = field(default_factory=Keys)
    labels: Keys = field(default_factory=Keys)
    garbage: Keys = field(default_factory=Keys)


def connect(world: World, queues: Queues) -> None:
    """Wire every informer to the queues."""
    by_kind = {
        "Service": queues.services,
        "Configuration": queues.configurations,
        "Route": queues.routes,
        "Revision": queues.revisions,
    }

    def owner(obj: Any) -> None:
        ref = controller_of(obj.metadata)
        if ref is not None and ref.api_version.startswith(f"{GROUP}/") and ref.kind in by_kind:
            by_kind[ref.kind].add(f"{obj.metadata.namespace}/{ref.name}")

    def service(old: Any, new: Any) -> None:
        queues.services.add(_key(new or old))

    def configuration(old: Any, new: Any) -> None:
        obj = new or old
        namespace = obj.metadata.namespace
        queues.configurations.add(_key(obj))
        queues.garbage.add(_key(obj))
        owner(obj)
        for route in world.routes_to_configuration(namespace, obj.metadata.name):
            queues.routes.add(_key(route))
        for seen in (old, new):
            if seen is not None and seen.status.latest_created_revision_name:
                queues.labels.add(f"{namespace}/{seen.status.latest_created_revision_name}")

    def route(old: Route | None, new: Route | None) -> None:
        for seen in (old, new):
            if seen is not None:
                queues.routes.add(_key(seen))
                owner(seen)
                for name in revisions_of(seen):
                    queues.labels.add(f"{seen.metadata.namespace}/{name}")

    def revision(old: Any, new: Any) -> None:
        obj = new or old
        namespace, name = obj.metadata.namespace, obj.metadata.name
        queues.revisions.add(_key(obj))
        queues.labels.add(_key(obj))
        owner(obj)
        if configuration_name := obj.metadata.labels.get(names.CONFIGURATION):
            queues.garbage.add(f"{namespace}/{configuration_name}")
            for route in world.routes_to_configuration(namespace, configuration_name):
                queues.routes.add(_key(route))
        for route in world.routes_to_revision(namespace, name):
            queues.routes.add(_key(route))

    def child(old: Any, new: Any) -> None:
        owner(new or old)

    def pod(old: Any, new: Any) -> None:
        obj = new or old
        queues.revisions.add(f"{obj.metadata.namespace}/{obj.metadata.labels.get(names.REVISION, '')}")

    world.services.on_change(service)
    world.configurations.on_change(configuration)
    world.routes.on_change(route)
    world.revisions.on_change(revision)
    world.deployments.on_change(child)
    world.core_services.on_change(child)
    world.pods.on_change(pod)


def _key(obj: Any) -> str:
    return f"{obj.metadata.namespace}/{obj.metadata.name}"
