"""The SinkBinding reconciler: its sink's address, its conditions, and its subjects, which get the address and lose it again.

What that does to a workload is `kfn.binding`'s. A workload that is made later gets it when it is made, from the controller's webhook, or
in `kfn up` from the API server; what came by all the same is found here by time. Workloads are read one by one, never watched: so the
rights for it can be given in some namespaces only, and nobody else's workloads are held in memory.
"""

import logging
from collections.abc import Collection, Iterable

import msgspec

from eventing import finalizer
from eventing.conditions import false, is_true, true, unknown
from eventing.resolve import Resolver
from eventing.sources.report import report, trusted_sink
from kfn import binding as injection
from kfn.api import kinds, podspecable
from kfn.api.base import Json, encode
from kfn.api.kinds import Kind
from kfn.api.meta import Condition
from kfn.api.podspecable import PodSpecable
from kfn.api.sinkbinding import SinkBinding
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)

FINALIZER = "sinkbindings.eventing.kfn.dev"
AVAILABLE = "SinkBindingAvailable"
RESYNC = 60.0  # seconds; between two looks at subjects that are as they should be
AGAIN = 5.0  # seconds; while they are not
GRANT = "give it by the chart's value eventing.bindings.enabled, or in this namespace only: docs/bindings.md"


class Bindings:
    def __init__(self, client: Client, informer: Informer[SinkBinding], resolver: Resolver) -> None:
        self._client, self._informer, self._resolver = client, informer, resolver

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        binding = self._informer.get(namespace, name)
        if binding is None:
            return Done()
        if binding.metadata.deletion_timestamp:
            return await self._remove(binding)
        try:
            await finalizer.add(self._client, kinds.SINK_BINDING, binding.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        sink, provided = await trusted_sink(self._resolver, binding)
        told = msgspec.structs.replace(binding.status, sink_uri=sink.url, sink_ca_certs=sink.ca_certs)
        if not sink.url:
            available = unknown(AVAILABLE, "SinkMissing", "The subjects stay as they are until the sink has an address.")
        elif told != binding.status:
            # Whoever injects on the way to the API server reads it there: until it is told, they would write the old one.
            available = unknown(AVAILABLE, "Binding", "The subjects are being bound.")
        else:
            try:
                available = await self._bind(binding)
            except kube.Conflict:
                return Done(again_after=0.1)
        await report(
            self._client, kinds.SINK_BINDING, binding, [provided, available], sink_uri=told.sink_uri, sink_ca_certs=told.sink_ca_certs
        )
        return Done(again_after=RESYNC if available.status == "True" else AGAIN)

    async def _bind(self, binding: SinkBinding) -> Condition:
        """Every subject has what the binding says, and nothing else has it any more."""
        subject = binding.spec.subject
        kind = podspecable.kind_of(subject.api_version, subject.kind)
        try:
            excluded = await self._is_excluded(binding.metadata.namespace)
            found = [] if excluded else await self._subjects(binding, kind)
            problem, mine = None, set()
            for one in found:
                owner = self._owner(binding, one)
                if owner is not None and owner.metadata.uid == binding.metadata.uid:
                    mine.add(one["metadata"]["uid"])
                    problem = await self._bind_one(binding, kind, one) or problem
                else:
                    problem = _not_mine(binding, one, owner) or problem
            settled = binding.status.observed_generation == binding.metadata.generation and is_true(binding.status.conditions, AVAILABLE)
            await self._release(binding, (kind,) if settled else _kinds(kind), keep=mine)
        except kube.Conflict:
            raise
        except kube.Forbidden as error:
            return false(AVAILABLE, "Forbidden", f"{error}; {GRANT}")
        except kube.ApiError as error:
            return false(AVAILABLE, "BindingFailed", str(error))
        if excluded:
            return false(AVAILABLE, "Excluded", f"the namespace has the label {injection.EXCLUDE}; remove it, or the binding")
        if not found and subject.name:
            return false(AVAILABLE, "SubjectMissing", f"spec.subject: there is no {subject.kind} {subject.name}")
        return problem or true(AVAILABLE)

    async def _is_excluded(self, namespace: str) -> bool:
        try:
            return (await self._client.get(kinds.NAMESPACE, namespace)).metadata.labels.get(injection.EXCLUDE) == "true"
        except (kube.NotFound, kube.Forbidden):
            return False

    async def _subjects(self, binding: SinkBinding, kind: Kind[PodSpecable]) -> list[Json]:
        subject, namespace = binding.spec.subject, binding.metadata.namespace
        if subject.selector is not None:
            found, _ = await self._client.list(kind, namespace, labels=injection.query(subject.selector))
        else:
            try:
                found = [await self._client.get(kind, subject.name, namespace)]
            except kube.NotFound:
                found = []
        return [_json(kind, one) for one in found if not one.metadata.deletion_timestamp]

    def _owner(self, binding: SinkBinding, obj: Json) -> SinkBinding | None:
        """Whose the subject is."""
        return injection.chosen(self._informer.list(binding.metadata.namespace), obj)

    async def _bind_one(self, binding: SinkBinding, kind: Kind[PodSpecable], obj: Json) -> Condition | None:
        """Give it what the binding says; or what is in the way."""
        wanted = injection.bind(obj, binding)
        if wanted == obj:
            return None
        if kind == podspecable.JOB and podspecable.template_of(wanted) != podspecable.template_of(obj):
            if _is_over(obj):
                return None
            name = obj["metadata"]["name"]
            return false(AVAILABLE, "JobUnchangeable", f"Job {name} was made before the binding, and cannot be changed; make it anew")
        await self._write(kind, obj, wanted)
        return None

    async def _remove(self, binding: SinkBinding) -> Done:
        try:
            subject = podspecable.kind_of(binding.spec.subject.api_version, binding.spec.subject.kind)
            # What is let go of is looked at again: somebody may have written the old variables beside us.
            if await self._release(binding, _kinds(subject)):
                return Done(again_after=0.1)
            await finalizer.remove(self._client, kinds.SINK_BINDING, binding.metadata, FINALIZER)
        except kube.NotFound:
            pass
        except kube.ApiError as error:
            log.info("sink binding %s/%s waits to be deleted: %s", binding.metadata.namespace, binding.metadata.name, error)
            return Done(again_after=0.5)
        return Done()

    async def _release(self, binding: SinkBinding, among: Iterable[Kind[PodSpecable]], keep: Collection[str] = ()) -> int:
        """Take the variables away from what has them from this binding; how many had."""
        released = 0
        for kind in among:
            try:
                found, _ = await self._client.list(kind, binding.metadata.namespace, labels=f"{injection.BOUND_BY}={binding.metadata.uid}")
            except (kube.NotFound, kube.Forbidden):
                continue  # there are none of the kind here, or none that we might have changed
            for one in found:
                if one.metadata.uid in keep or one.metadata.deletion_timestamp:
                    continue
                obj = _json(kind, one)
                wanted = injection.unbind(obj)
                if kind == podspecable.JOB:
                    wanted = podspecable.with_template(wanted, podspecable.template_of(obj))
                try:
                    await self._write(kind, obj, wanted)
                except kube.NotFound:
                    continue
                released += 1
        return released

    async def _write(self, kind: Kind[PodSpecable], old: Json, new: Json) -> None:
        meta = new["metadata"]
        labels = {injection.BOUND_BY: meta.get("labels", {}).get(injection.BOUND_BY)}
        patch: Json = {"metadata": {"resourceVersion": meta["resourceVersion"], "labels": labels}}
        template = podspecable.template_of(new)
        if template != podspecable.template_of(old):
            pods = {field: template["spec"][field] for field in ("initContainers", "containers") if field in template["spec"]}
            patch = podspecable.with_template({"kind": kind.kind, **patch}, {"spec": pods})
            del patch["kind"]
        await self._client.patch(kind, meta["name"], meta["namespace"], patch)
        log.info("%s %s/%s: K_SINK is %s", kind.kind, meta["namespace"], meta["name"], "set" if labels[injection.BOUND_BY] else "removed")


def _json(kind: Kind[PodSpecable], one: PodSpecable) -> Json:
    """With apiVersion and kind, which the objects of a list do not have."""
    return {**encode(one), "apiVersion": kind.api_version, "kind": kind.kind}


def _kinds(subject: Kind[PodSpecable]) -> list[Kind[PodSpecable]]:
    """Where there may be something bound."""
    return list({one.qualified: one for one in (*podspecable.KNOWN, subject)}.values())


def _not_mine(binding: SinkBinding, obj: Json, owner: SinkBinding | None) -> Condition | None:
    name = f"{obj['kind']} {obj['metadata']['name']}"
    if owner is not None:
        return false(AVAILABLE, "SubjectTaken", f"{name} has its sink from SinkBinding {owner.metadata.name}; remove one of them")
    if binding.spec.subject.name:
        return false(AVAILABLE, "Excluded", f"{name} has the label {injection.EXCLUDE}; remove it, or the binding")
    return None  # one of many that asks to be left alone


def _is_over(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)
