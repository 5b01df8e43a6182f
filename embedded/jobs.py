"""Runs the Jobs of users and JobSinks on this machine: makes their pods, which the node runs as processes, and tells how they stand.

What is to be done is decided in `jobplan.py`. The Jobs of builds are `buildjobs.py`'s.
"""

import logging

from builder.cluster.manifest import BUILD_LABEL
from embedded import jobplan
from embedded.jobplan import JOB_NAME, JOB_UID
from kfn.api import kinds
from kfn.api.base import encode
from kfn.api.batch import Job
from kfn.api.core import Pod
from kfn.clock import utcnow
from kfn.kube import errors, reconcile
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.part import running

log = logging.getLogger(__name__)


class Jobs:
    """`run` until cancelled."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jobs = Informer(client, kinds.JOB, labels=f"!{BUILD_LABEL}")
        self._pods = Informer(client, kinds.POD, labels=JOB_UID)
        self._keys = reconcile.Keys()

    async def run(self) -> None:
        async with running("pods of jobs", self._pods.run), running("jobs", self._jobs.run):
            await self._pods.synced()
            await self._jobs.synced()
            self._jobs.on_change(self._job_changed)
            self._pods.on_change(self._pod_changed)
            await reconcile.run(self._keys, self._reconcile)

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        if new is not None:
            self._keys.add(f"{new.metadata.namespace}/{new.metadata.name}")

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        one = new or old
        if one is not None:
            self._keys.add(f"{one.metadata.namespace}/{one.metadata.labels.get(JOB_NAME, '')}")

    async def _reconcile(self, key: str) -> reconcile.Done:
        namespace, _, name = key.partition("/")
        job = self._jobs.get(namespace, name)
        if job is None or job.metadata.deletion_timestamp:
            return reconcile.Done()
        plan = jobplan.plan(job, self._pods.list(namespace, {JOB_UID: job.metadata.uid}), utcnow())
        if plan.remove:
            await self._client.delete(kinds.JOB, name, namespace, uid=job.metadata.uid)
            return reconcile.Done()
        for one in plan.stop:
            try:
                await self._client.delete(kinds.POD, one, namespace)
            except errors.NotFound:
                continue
        if plan.pod:
            try:
                await self._client.create(kinds.POD, jobplan.pod(job, plan.pod), namespace)
            except errors.AlreadyExists:
                log.debug("pod %s of job %s is there; the watch will tell", plan.pod, key)
        if plan.status != job.status:
            wanted = {**dict.fromkeys(plan.status.__struct_encode_fields__), **encode(plan.status)}
            try:
                await self._client.patch(kinds.JOB, name, namespace, {"status": wanted}, subresource="status")
            except errors.NotFound:
                return reconcile.Done()
        return reconcile.Done(again_after=plan.again)
