"""The JobSink reconciler: its address, and whether the cluster would take its Job, which is asked by a dry run."""

import msgspec

from eventing import conditions
from eventing.conditions import false, true, unknown
from eventing.jobsink import plan
from eventing.jobsink.door import FIX
from kfn.api import kinds
from kfn.api.base import encode
from kfn.api.jobsink import NAME_LABEL, JobSelector, JobSink
from kfn.api.meta import Addressable, Condition
from kfn.clock import timestamp
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

ACCEPTED = "JobAccepted"
LATER, SOON = 300.0, 10.0  # seconds until the next look at one that is accepted, and at one that is not


class JobSinks:
    """`address` is eventing's own."""

    def __init__(self, client: Client, informer: Informer[JobSink], address: str) -> None:
        self._client, self._informer, self._address = client, informer, address

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        sink = self._informer.get(namespace, name)
        if sink is None or sink.metadata.deletion_timestamp:
            return Done()
        accepted = await self._accepted(sink)
        anyone = true("EventPoliciesReady", "DefaultAuthorizationMode", "Anyone who reaches the ingress may send events.")
        wanted = msgspec.structs.replace(
            sink.status,
            observed_generation=sink.metadata.generation,
            conditions=conditions.merged(sink.status.conditions, [true("Addressable"), accepted, anyone], timestamp()),
            address=Addressable(url=f"{self._address}/jobsinks/{key}", name="http"),
            job=JobSelector(f"{NAME_LABEL}={name}"),
        )
        if wanted != sink.status:
            try:
                await self._client.patch(kinds.JOB_SINK, name, namespace, {"status": encode(wanted)}, subresource="status")
            except errors.NotFound:
                return Done()
        return Done(again_after=LATER if accepted.status == "True" else SOON)

    async def _accepted(self, sink: JobSink) -> Condition:
        meta = sink.metadata
        body = plan.job(sink, plan.name_of(meta.name, "", "dry-run"))
        answer = await self._client.transport.request("POST", kinds.JOB.path(meta.namespace), query={"dryRun": "All"}, body=body)
        if answer.status < 400 or answer.status == 409:
            return true(ACCEPTED)
        error = errors.from_status(answer.status, answer.body)
        if answer.status == 403:
            return false(ACCEPTED, "Forbidden", f"{error}; {FIX}")
        if answer.status in (400, 422):
            return false(ACCEPTED, "Invalid", f"spec.job: {error}")
        return unknown(ACCEPTED, "ApiServer", str(error))
