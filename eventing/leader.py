"""What the one of several replicas does that writes: the reconcilers of every kind, the sweep, and the clocks of PingSources."""

import logging

import anyio
from anyio.abc import TaskGroup

from eventing.broker import Brokers, has_channel
from eventing.bus import Bus
from eventing.courier import Courier
from eventing.metrics import Metrics
from eventing.resolve import Resolver
from eventing.running import Dispatchers
from eventing.settings import Settings
from eventing.sources.clockwork import Clockwork
from eventing.sources.hooks import Hooks
from eventing.sources.ping import Pings
from eventing.sources.webhooks import Webhooks
from eventing.sweep import Sweep
from eventing.trigger import Triggers
from eventing.watched import World, key
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.errors import KubeError

log = logging.getLogger(__name__)


class Leader:
    """One term. `begin` it in a task group whose cancellation ends it."""

    def __init__(
        self, client: Client, world: World, bus: Bus, courier: Courier, resolver: Resolver, dispatchers: Dispatchers, metrics: Metrics,
        settings: Settings, ingress_url: str, hooks: Hooks,
    ) -> None:  # fmt: skip
        self._world = world
        self.brokers = Brokers(client, world.brokers.informer, bus, resolver, settings)
        self.brokers.ingress_url = ingress_url
        self._triggers = Triggers(
            client, world.triggers.informer, world.brokers.informer, self.brokers.ready, bus, resolver, dispatchers, settings,
            world.brokers.keys.add,
        )  # fmt: skip
        self.sweep = Sweep(
            bus, metrics, dispatchers, self.brokers.ready, lambda: [t.metadata.uid for t in world.triggers.informer.list()],
            world.brokers.keys.add,
        )  # fmt: skip
        self._webhooks = Webhooks(client, world.webhooks.informer, resolver, hooks, ingress_url)
        self._clockwork: Clockwork | None = None
        self._client, self._resolver, self._courier, self._metrics = client, resolver, courier, metrics

    @property
    def pinging(self) -> int:
        """PingSources whose clock runs here."""
        return len(self._clockwork) if self._clockwork is not None else 0

    def take_over(self) -> None:
        """Brokers are as the leader before us has left them; were all looked at first, their Triggers would stop meanwhile."""
        found = self._world.brokers.informer.list()
        self.brokers.ready |= {(b.metadata.namespace, b.metadata.name) for b in found if has_channel(b)}

    async def begin(self, tasks: TaskGroup) -> None:
        world = self._world
        self._clockwork = Clockwork(self._courier, self._metrics, tasks)
        pings = Pings(self._client, world.pings.informer, self._resolver, self._clockwork)
        await self._first_pass()
        tasks.start_soon(run, world.brokers.keys, self._broker)
        tasks.start_soon(run, world.triggers.keys, self._triggers.reconcile)
        tasks.start_soon(run, world.pings.keys, pings.reconcile)
        tasks.start_soon(run, world.webhooks.keys, self._webhooks.reconcile)
        tasks.start_soon(self.sweep.run)

    async def _first_pass(self) -> None:
        """The port may be another than in the last run: whoever finds us started shall find Brokers with the address of now."""
        with anyio.move_on_after(5):
            for one in self._world.brokers.informer.list():
                try:
                    await self.brokers.reconcile(key(one))
                except KubeError as error:
                    log.info("broker %s: %s; trying again", key(one), error)

    async def _broker(self, key: str) -> reconcile.Done:
        """Triggers wait for their Broker's stream."""
        namespace, _, name = key.partition("/")
        before = (namespace, name) in self.brokers.ready
        done = await self.brokers.reconcile(key)
        if ((namespace, name) in self.brokers.ready) != before:
            self._world.touch_triggers(namespace, name)
        return done


async def run(keys: reconcile.Keys, one: reconcile.Reconcile) -> None:
    await reconcile.run(keys, one, workers=4, backoff_max=10.0)
