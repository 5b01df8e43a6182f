"""What the one of several replicas does that writes: the reconcilers of every kind, the sweep, and the clocks of PingSources."""

import logging
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from eventing import login, subjects
from eventing.access.accounts import Accounts
from eventing.apiserver.inside import Inside
from eventing.apiserver.pods import AdapterPods
from eventing.apiserver.sources import ApiServerSources, Runner
from eventing.attached import Consumers
from eventing.broker import Brokers, has_channel
from eventing.bus import Bus
from eventing.channel import Channels, is_stored
from eventing.courier import Courier
from eventing.flows.flow import Flows
from eventing.gate import Gate
from eventing.jobsink.sinks import JobSinks
from eventing.kept import Streams
from eventing.metrics import Metrics
from eventing.pipelines.part import Part
from eventing.resolve import Resolver
from eventing.running import Dispatchers
from eventing.settings import Settings
from eventing.sources.bindings import Bindings
from eventing.sources.clockwork import Clockwork
from eventing.sources.containers import Containers
from eventing.sources.hooks import Hooks
from eventing.sources.ping import Pings
from eventing.sources.queues.kafka_sources import KafkaSources
from eventing.sources.queues.kafkapump import KafkaPump
from eventing.sources.queues.nats_sources import NatsSources
from eventing.sources.queues.pumps import Pumps
from eventing.sources.webhooks import Webhooks
from eventing.subscription import Subscriptions
from eventing.sweep import Sweep
from eventing.told import Subscribers
from eventing.trigger import Triggers
from eventing.watched import Watched, World, key
from kfn.api import kinds
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.errors import KubeError

log = logging.getLogger(__name__)


class Leader:
    """One term. `begin` it in a task group whose cancellation ends it."""

    def __init__(
        self, client: Client, world: World, bus: Bus, courier: Courier, resolver: Resolver, dispatchers: Dispatchers, metrics: Metrics,
        settings: Settings, ingress_url: str, hooks: Hooks, gate: Gate, pipelines: Part, kafka: Pumps[KafkaPump],
    ) -> None:  # fmt: skip
        self._world = world
        streams = Streams(bus, settings)
        self.ready = streams.ready
        consumers = self._consumers = Consumers(bus, settings, self.ready, world.suspect)
        self._pipelines, self._ingress_url = pipelines, ingress_url
        channels, subscriptions = world.channels.informer, world.subscriptions.informer
        self._brokers = Brokers(client, world.brokers.informer, streams, resolver, ingress_url, gate)
        self._triggers = Triggers(client, world.triggers.informer, world.brokers.informer, consumers, resolver, dispatchers)
        told = Subscribers(client, subscriptions, consumers, resolver, dispatchers)
        self._channels = {
            kind: Channels(client, informer, subscriptions, streams, resolver, ingress_url, gate, told)
            for kind, informer in world.channel_informers.items()
        }
        self._subscriptions = Subscriptions(client, subscriptions, world.channel_informers, consumers, resolver, dispatchers)
        self._sequences = Flows(client, kinds.SEQUENCE, world.sequences.informer, channels, subscriptions, consumers)
        self._parallels = Flows(client, kinds.PARALLEL, world.parallels.informer, channels, subscriptions, consumers)
        self.sweep = Sweep(bus, metrics, dispatchers, self.ready, world.consuming, world.suspect)
        self._job_sinks = JobSinks(client, world.job_sinks.informer, ingress_url)
        self._kafkas = KafkaSources(client, world.kafkas.informer, resolver, kafka)
        self._webhooks = Webhooks(client, world.webhooks.informer, resolver, hooks, ingress_url)
        self._bindings = Bindings(client, world.bindings.informer, resolver)
        self._containers = Containers(client, world.containers.informer, resolver)
        self._accounts = Accounts(client, world, settings, login.authority(settings)) if settings.nats_keys else None
        self._clockwork: Clockwork | None = None
        self._client, self._resolver, self._courier, self._metrics, self._settings = client, resolver, courier, metrics, settings

    @property
    def pinging(self) -> int:
        """PingSources whose clock runs here."""
        return len(self._clockwork) if self._clockwork is not None else 0

    def take_over(self) -> None:
        """Streams are as the leader before us has left them; were all looked at first, what they are delivered to would wait meanwhile."""
        self.ready |= {(b.metadata.namespace, b.metadata.name) for b in self._world.brokers.informer.list() if has_channel(b)}
        for kind, informer in self._world.channel_informers.items():
            found = [one.metadata for one in informer.list() if is_stored(one)]
            self.ready |= {(meta.namespace, subjects.channel(meta.name, kind)) for meta in found}

    async def begin(self, tasks: TaskGroup) -> None:
        world = self._world
        self._clockwork = Clockwork(self._courier, self._metrics, tasks)
        pings = Pings(self._client, world.pings.informer, self._resolver, self._clockwork)
        nats = NatsSources(
            self._client, world.nats.informer, self._resolver, self._courier, self._metrics, tasks, changed=world.nats.keys.add
        )
        await self._first_pass()
        tasks.start_soon(run, world.brokers.keys, self._broker)
        tasks.start_soon(run, world.triggers.keys, self._triggers.reconcile)
        for kind, watched in world.by_kind.items():
            tasks.start_soon(run, watched.keys, partial(self._channel, kind))
        tasks.start_soon(run, world.subscriptions.keys, self._subscriptions.reconcile)
        tasks.start_soon(run, world.sequences.keys, self._sequences.reconcile)
        tasks.start_soon(run, world.parallels.keys, self._parallels.reconcile)
        tasks.start_soon(run, world.pings.keys, pings.reconcile)
        tasks.start_soon(run, world.nats.keys, nats.reconcile)
        tasks.start_soon(run, world.kafkas.keys, self._kafkas.reconcile)
        tasks.start_soon(run, world.api_servers.keys, self._api_servers(tasks).reconcile)
        tasks.start_soon(run, world.job_sinks.keys, self._job_sinks.reconcile)
        tasks.start_soon(run, world.webhooks.keys, self._webhooks.reconcile)
        tasks.start_soon(run, world.bindings.keys, self._bindings.reconcile)
        tasks.start_soon(run, world.containers.keys, self._containers.reconcile)
        tasks.start_soon(run, world.pipelines.keys, self._pipelines.lead(self._client, self._consumers, self._ingress_url, tasks))
        tasks.start_soon(self.sweep.run)
        if self._accounts is not None:
            tasks.start_soon(self._accounts.run)

    def _api_servers(self, tasks: TaskGroup) -> ApiServerSources:
        settings = self._settings
        numbers = self._metrics.adapters
        inside = Inside(self._client, self._courier, numbers, tasks)
        runner: Runner = inside if settings.adapters is None else AdapterPods(self._client, settings.adapters)
        return ApiServerSources(self._client, self._world.api_servers.informer, self._resolver, runner, settings.api_server)

    async def _first_pass(self) -> None:
        """The port may be another than in the last run: whoever finds us started shall find addresses of now."""
        passes: tuple[tuple[Watched[Any], reconcile.Reconcile], ...] = (
            (self._world.brokers, self._brokers.reconcile),
            *((watched, self._channels[kind].reconcile) for kind, watched in self._world.by_kind.items()),
        )
        with anyio.move_on_after(5):
            for watched, one_pass in passes:
                for one in watched.informer.list():
                    try:
                        await one_pass(key(one))
                    except KubeError as error:
                        log.info("%s %s: %s; trying again", one.kind, key(one), error)

    async def _broker(self, key: str) -> reconcile.Done:
        """Triggers wait for their Broker's stream."""
        namespace, _, name = key.partition("/")
        before = (namespace, name) in self.ready
        done = await self._brokers.reconcile(key)
        if ((namespace, name) in self.ready) != before:
            self._world.touch_triggers(namespace, name)
        return done

    async def _channel(self, kind: str, key: str) -> reconcile.Done:
        """As above, for Subscriptions."""
        namespace, _, name = key.partition("/")
        place = namespace, subjects.channel(name, kind)
        before = place in self.ready
        done = await self._channels[kind].reconcile(key)
        if (place in self.ready) != before:
            self._world.touch_subscriptions(kind, namespace, name)
        return done


async def run(keys: reconcile.Keys, one: reconcile.Reconcile) -> None:
    await reconcile.run(keys, one, workers=4, backoff_max=10.0)
