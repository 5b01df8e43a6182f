"""The Pipeline reconciler, of the one replica that writes: its stream, its plan in there, consumers, engine, conditions and address."""

import logging
from dataclasses import dataclass

import msgspec

from eventing import conditions, consumers, errors, finalizer, subjects
from eventing import match as matching
from eventing.attached import Consumers
from eventing.broker import is_ours
from eventing.bus import Bus
from eventing.conditions import false, true, unknown
from eventing.pipelines import config
from eventing.pipelines.running import Engines
from eventing.pipelines.store import Store
from eventing.resolve import Resolver, Unresolved
from eventing.settings import Settings
from kfn.api import eventing as brokers_api
from kfn.api import kinds
from kfn.api.base import encode
from kfn.api.errors import Invalid
from kfn.api.meta import Addressable, Condition, ObjectMeta
from kfn.api.pipeline import Pipeline, Start
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done
from kfn.pipeline import Plan, read

log = logging.getLogger(__name__)

RESYNC = 300.0  # seconds; a stream or consumer that somebody removed is put right
FINALIZER = "pipelines.kfn.dev"
_stored = msgspec.json.Decoder(Pipeline)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the leader's and the followers' halves both need."""

    pipelines: Informer[Pipeline]
    engines: Engines
    bus: Bus


def wanted(start: Start) -> matching.Filter:
    """The events that start a run. Raises `FilterError`."""
    exact = {name: value for name, value in (("type", start.type), ("source", start.source)) if value}
    return matching.parse(brokers_api.TriggerSpec(filters=[*([{"exact": exact}] if exact else []), *start.filters]))


class Pipelines:
    def __init__(
        self, client: Client, shared: Shared, brokers: Informer[brokers_api.Broker], attached: Consumers, resolver: Resolver,
        settings: Settings, ingress_url: str,
    ) -> None:  # fmt: skip
        self._client, self._informer, self._engines, self._bus = client, shared.pipelines, shared.engines, shared.bus
        self._brokers, self._attached, self._resolver, self._settings, self._ingress_url = (
            brokers,
            attached,
            resolver,
            settings,
            ingress_url,
        )

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        pipeline = self._informer.get(namespace, name)
        if pipeline is None:
            await self._engines.stop(key)
            return Done()
        if pipeline.metadata.deletion_timestamp:
            return await self._remove(key, pipeline)
        try:
            await finalizer.add(self._client, kinds.PIPELINE, pipeline.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        try:
            plan, valid = read(pipeline), true("PlanValid")
        except Invalid as error:
            plan, valid = None, false("PlanValid", "Invalid", str(error))
        found = [valid]
        if plan is not None:
            stored, steps = await self._store(pipeline, plan)
            resolved, started = await self._resolve(plan), await self._started(pipeline, plan)
            found += [stored, resolved, started]
            if stored.status == "True":
                is_ready = all(one.status == "True" for one in found)
                await self._engines.ensure(pipeline.metadata.uid, plan, steps, wanted(plan.start) if is_ready and plan.start else None)
        await self._report(pipeline, found)
        return Done(again_after=RESYNC if all(one.status == "True" for one in found) else 2.0)

    async def _store(self, pipeline: Pipeline, plan: Plan) -> tuple[Condition, frozenset[str]]:
        """The stream, this generation's plan in it, and a consumer for each step of all plans that are kept."""
        meta = pipeline.metadata
        store = Store(self._bus, meta.namespace, meta.name)
        before = pipeline.status.conditions
        steps = frozenset(step.name for step in plan.steps)
        try:
            await self._bus.ensure_stream(config.of_stream(self._settings, meta.namespace, meta.name))
            bare = Pipeline(metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, generation=meta.generation), spec=pipeline.spec)
            await store.put_plan(meta.generation, msgspec.json.encode(bare))
            steps = await steps_of(store)
            for broker in await brokers_of(store) - {_broker(pipeline)}:
                await self._attached.remove((meta.namespace, broker), meta.uid)  # an older generation took its events from there
            for wanted in (
                config.of_watch(self._settings, meta.namespace, meta.name),
                *(config.of_step(self._settings, meta.namespace, meta.name, step) for step in sorted(steps)),
            ):
                await consumers.apply(self._bus, store.stream, wanted)
        except errors.Full as error:
            return false("RunsStored", "NoStorage", f"NATS has no room for another pipeline's stream: {error}"), steps
        except errors.Unavailable as error:
            if conditions.is_true(before, "RunsStored"):
                return true("RunsStored"), steps  # NATS is away for a moment
            return unknown("RunsStored", "NatsUnavailable", str(error)), steps
        except errors.BusError as error:
            return unknown("RunsStored", "NatsRefused", str(error)), steps
        return true("RunsStored"), steps

    async def _resolve(self, plan: Plan) -> Condition:
        for step in plan.steps:
            field = f"spec.steps.{step.name}"
            if step.target is None:
                if (plan.namespace, step.broker) not in self._attached.ready:
                    return false(
                        "StepsResolved", "BrokerNotReady", f"{field}.broker: Broker {step.broker!r} does not exist, or is not ready."
                    )
                continue
            try:
                await self._resolver.url(step.target, plan.namespace, field)
            except Unresolved as error:
                return false("StepsResolved", error.reason, str(error).replace(f"{field}.ref:", f"{field}:"))  # a step says `fn`
        return true("StepsResolved")

    async def _started(self, pipeline: Pipeline, plan: Plan) -> Condition:
        """The consumer of the events that start runs: from its making on, every such event starts one."""
        meta = pipeline.metadata
        if plan.start is None:
            return true("BrokerReady", "NoEvents", "Runs are started by HTTP.")
        name = _broker(pipeline)
        broker = self._brokers.get(meta.namespace, name)
        if broker is None or broker.metadata.deletion_timestamp or not is_ours(broker):
            return false("BrokerReady", "BrokerDoesNotExist", f'Broker "{name}" does not exist in namespace {meta.namespace}.')
        if (meta.namespace, name) not in self._attached.ready:
            return unknown("BrokerReady", "BrokerNotReady", f'Broker "{name}" is not ready yet.')
        try:
            types = matching.types(wanted(plan.start))
        except matching.FilterError as error:
            return false("BrokerReady", "InvalidFilter", str(error))
        only = (*subjects.of_types(meta.namespace, name, types), subjects.to(meta.namespace, name, meta.uid))
        return await self._attached.ensure((meta.namespace, name), meta, only, "BrokerReady", pipeline.status.conditions)

    async def _report(self, pipeline: Pipeline, found: list[Condition]) -> None:
        meta = pipeline.metadata
        status = msgspec.structs.replace(
            pipeline.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(pipeline.status.conditions, found, timestamp()),
            address=Addressable(url=f"{self._ingress_url}/{meta.namespace}/pipelines/{meta.name}", name="http"),
        )
        if status != pipeline.status:
            await self._client.patch(kinds.PIPELINE, meta.name, meta.namespace, {"status": encode(status)}, subresource="status")

    async def _remove(self, key: str, pipeline: Pipeline) -> Done:
        meta, broker = pipeline.metadata, _broker(pipeline)
        await self._engines.stop(key)
        if FINALIZER not in meta.finalizers:
            return Done()
        try:
            if broker:
                await self._attached.remove((meta.namespace, broker), meta.uid)
            await self._bus.delete_stream(Store(self._bus, meta.namespace, meta.name).stream)
            await finalizer.remove(self._client, kinds.PIPELINE, meta, FINALIZER)
        except kube.NotFound:
            pass
        except (errors.BusError, kube.Conflict) as error:
            log.info("pipeline %s waits to be deleted: %s", key, error)
            return Done(again_after=0.5)
        return Done()


class Follower:
    """Pipelines where another replica looks after them: work as it says in their status, and write nothing."""

    def __init__(self, shared: Shared) -> None:
        self._informer, self._engines, self._bus = shared.pipelines, shared.engines, shared.bus

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        pipeline = self._informer.get(namespace, name)
        if pipeline is None or pipeline.metadata.deletion_timestamp:
            await self._engines.stop(key)
            return Done()
        if pipeline.status.observed_generation != pipeline.metadata.generation or not is_stored(pipeline):
            return Done()  # the leader is about to look at it; what runs, runs on
        try:
            plan = read(pipeline)
            steps = await steps_of(Store(self._bus, namespace, name))
        except (Invalid, errors.BusError) as error:
            log.info("pipeline %s: %s", key, error)
            return Done(again_after=2.0)
        is_ready = conditions.is_true(pipeline.status.conditions)
        await self._engines.ensure(pipeline.metadata.uid, plan, steps, wanted(plan.start) if is_ready and plan.start else None)
        return Done(again_after=RESYNC)


def is_stored(pipeline: Pipeline) -> bool:
    """Whether whoever looks after it has said that runs can be stored."""
    return conditions.is_true(pipeline.status.conditions, "RunsStored")


def _broker(pipeline: Pipeline) -> str:
    """Where the events come from that start runs; empty if none do."""
    return (pipeline.spec.on.broker or "default") if pipeline.spec.on is not None else ""


async def brokers_of(store: Store) -> set[str]:
    """Of every plan that is kept. Raises `BusError`."""
    found = {_broker(_stored.decode(one.data)) async for one in store.plans()}
    return found - {""}


async def steps_of(store: Store) -> frozenset[str]:
    """Of every plan that is kept: runs of an older one may be under way, or taken up again. Raises `BusError`."""
    return frozenset([step async for one in store.plans() for step in _stored.decode(one.data).spec.steps])
