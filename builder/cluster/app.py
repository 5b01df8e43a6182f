"""The controller of Builds as one part: three local copies, one queue, one reconciler. Read `plan.py` for what it decides.

Several may run: with a Lease in the settings one acts and the others wait.
"""

from collections.abc import Callable
from datetime import datetime

import anyio

from builder.cluster.reconcile import Reconciler
from builder.cluster.settings import Settings
from kfn.clock import utcnow
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.lease import Elector, Terms


class Builds:
    """Runs until cancelled. `now` is the wall clock, for timestamps and deadlines that are written in objects."""

    def __init__(self, client: Client, settings: Settings, now: Callable[[], datetime] = utcnow, terms: Terms | None = None) -> None:
        self._client, self._settings, self._now, self._terms = client, settings, now, terms

    async def run(self) -> None:
        """Raises LostLease when another may act now: whoever started this starts it again."""
        if not self._settings.lease:
            await self._work()
            return
        namespace, _, name = self._settings.lease.partition("/")
        elector = Elector(self._client, namespace, name, self._settings.identity, self._terms)
        await elector.lead(self._work)

    async def _work(self) -> None:
        """Nothing is written before every copy is complete: half a picture looks like free places and deleted Jobs."""
        look = Reconciler(self._client, self._settings, self._now)
        async with anyio.create_task_group() as tasks:
            for informer in (look.builds, look.jobs, look.pods):
                tasks.start_soon(informer.run)
            for informer in (look.builds, look.jobs, look.pods):
                await informer.synced()
            await reconcile.run(look.keys, look.reconcile, workers=1)
