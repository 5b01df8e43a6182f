"""The Serving control plane as one part: local copies of what is there, a queue and a reconciler for each kind.

Read on in `service`, `configuration`, `revision`, `route`; each has a `plan.py` that decides and a `reconcile.py` that does.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import anyio

from controller.configuration.reconcile import reconcile as configuration
from controller.gc.reconcile import reconcile as garbage
from controller.labeler.reconcile import reconcile as labels
from controller.resolving import Resolving
from controller.revision.reconcile import reconcile as revision
from controller.route.reconcile import reconcile as route
from controller.service.reconcile import reconcile as service
from controller.settings import Settings
from controller.triggers import Queues, Triggers
from controller.world import World
from kfn.clock import utcnow
from kfn.digests import Resolve
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done, Keys
from kfn.kube.recorder import Recorder


class Controller:
    """Runs until cancelled. `now` is the wall clock, for timestamps and deadlines that are written in objects. `resolve` asks registries
    for digests; without it images go into pods as they are named. `events`: say in Kubernetes Events, too, what fails and becomes ready."""

    def __init__(
        self, client: Client, settings: Settings, now: Callable[[], datetime] = utcnow, *, resolve: Resolve | None = None,
        events: bool = False,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._queues = Queues()
        asking = Resolving(client, resolve, settings, self._queues.revisions.add) if resolve and settings.resolve_tags else None
        self._world = World(client, settings, now, asking, Recorder(client, "kfn-controller", now) if events else None)
        Triggers(self._world, self._queues)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return self._world.informers

    @property
    def pending(self) -> int:
        """Keys that wait to be looked at."""
        queues = self._queues
        return sum(map(len, (queues.services, queues.configurations, queues.routes, queues.revisions, queues.labels, queues.garbage)))

    async def run(self) -> None:
        """Copy the world, then reconcile. Nothing is written before every copy is complete: half a picture looks like deletions."""
        queues = self._queues
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._world.run)
            await self._world.synced()
            work: list[tuple[Keys, Callable[[World, str], Awaitable[Done]]]] = [
                (queues.services, service),
                (queues.configurations, configuration),
                (queues.routes, route),
                (queues.revisions, revision),
                (queues.labels, labels),
                (queues.garbage, garbage),
            ]
            for keys, look in work:
                tasks.start_soon(partial(reconcile.run, keys, partial(look, self._world), workers=self._settings.workers))
