"""Everything the reconcilers read: local copies of seven kinds, only kfn's own, and who is related to whom. It decides nothing."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import anyio

from controller import kept
from controller.index import Index
from controller.labeler.plan import revisions_of
from controller.resolving import Resolving
from controller.route.hosts import claimed
from controller.settings import Settings
from kfn.api import core, kinds, names
from kfn.api.serving import Configuration, Revision, Route
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.recorder import Recorder

Key = tuple[str, str]


class World:
    """The client to write with, the copies to read from, and the wall clock."""

    def __init__(
        self, client: Client, settings: Settings, now: Callable[[], datetime], resolving: Resolving | None = None,
        recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        self.client = client
        self.settings = settings
        self.now = now
        self.resolving = resolving
        self.recorder = recorder
        self.services = Informer(client, kinds.SERVICE, keep=kept.whole)
        self.configurations = Informer(client, kinds.CONFIGURATION, keep=kept.whole)
        self.routes = Informer(client, kinds.ROUTE, keep=kept.whole)
        self.revisions = Informer(client, kinds.REVISION, keep=kept.whole)
        # Of what others make as well only kfn's own: the label is on it from its making on.
        self.deployments = Informer(client, kinds.DEPLOYMENT, labels=names.REVISION, keep=kept.deployment)
        self.revision_services = Informer(client, kinds.CORE_SERVICE, labels=names.REVISION, keep=kept.whole)
        self.route_services = Informer(client, kinds.CORE_SERVICE, labels=names.ROUTE, keep=kept.whole)
        self.pods = Informer(client, kinds.POD, labels=names.REVISION, keep=kept.pod)
        self._revisions_by_configuration = Index[Revision](self.revisions, _label(names.CONFIGURATION))
        self._pods_by_revision = Index[core.Pod](self.pods, _label(names.REVISION))
        self._services_by_route = Index[core.Service](self.route_services, _label(names.ROUTE))
        self._routes_by_revision = Index[Route](self.routes, _names(lambda route: revisions_of(route)))
        self._routes_by_host = Index[Route](self.routes, claimed)
        self._routes_by_configuration = Index[Route](self.routes, _names(configurations_of))

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return (
            self.services, self.configurations, self.routes, self.revisions,
            self.deployments, self.revision_services, self.route_services, self.pods,
        )  # fmt: skip

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            for informer in self.informers:
                tasks.start_soon(informer.run)
            if self.resolving is not None:
                tasks.start_soon(self.resolving.run)
            if self.recorder is not None:
                tasks.start_soon(self.recorder.run)

    async def synced(self) -> None:
        for informer in self.informers:
            await informer.synced()

    def revisions_of_configuration(self, configuration: Configuration) -> list[Revision]:
        meta = configuration.metadata
        return [r for r in self._revisions_by_configuration.get((meta.namespace, meta.name)) if _owned_by(r, meta.uid)]

    def pods_of_revision(self, revision: Revision) -> list[core.Pod]:
        return self._pods_by_revision.get((revision.metadata.namespace, revision.metadata.name))

    def services_of_route(self, route: Route) -> list[core.Service]:
        return self._services_by_route.get((route.metadata.namespace, route.metadata.name))

    def routes_to_revision(self, namespace: str, name: str) -> list[Route]:
        """Routes that send to this Revision or name it in their spec."""
        return self._routes_by_revision.get((namespace, name))

    def routes_claiming(self, host: str) -> list[Route]:
        """Routes that ask for a host of the user's own."""
        return self._routes_by_host.get(host)

    def routes_to_configuration(self, namespace: str, name: str) -> list[Route]:
        return self._routes_by_configuration.get((namespace, name))


def configurations_of(route: Route) -> set[str]:
    return {target.configuration_name for target in route.spec.traffic if target.configuration_name}


def _owned_by(obj: Any, uid: str) -> bool:
    return any(ref.controller and ref.uid == uid for ref in obj.metadata.owner_references)


def _label(label: str) -> Callable[[Any], Iterator[Key]]:
    def keys(obj: Any) -> Iterator[Key]:
        if value := obj.metadata.labels.get(label):
            yield obj.metadata.namespace, value

    return keys


def _names(of: Callable[[Route], set[str]]) -> Callable[[Route], Iterator[Key]]:
    def keys(route: Route) -> Iterator[Key]:
        for name in of(route):
            yield route.metadata.namespace, name

    return keys
