"""Keep one Build true: load, plan, apply. Everything that waits looks again when something ends, so that the queue moves on."""

import dataclasses
import logging
from collections.abc import Callable
from datetime import datetime

import anyio
from msgspec.structs import replace

from builder.cluster import manifest, trust
from builder.cluster.expire import expiry
from builder.cluster.plan import Plan, Seen, attempt, plan, refused
from builder.cluster.queue import Place, over, place, waits
from builder.cluster.settings import Settings
from kfn.api import batch, kinds, names
from kfn.api.batch import Job
from kfn.api.build import Build
from kfn.api.core import Pod
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done, Keys

log = logging.getLogger(__name__)

LOG_SECONDS = 5.0  # for the end of a log
LOG_BYTES = 65536
MOST_WAIT = 3600.0  # between looks at a Build that waits for its time


class Reconciler:
    """The copies to read from and the client to write with. One key at a time: two at once could both take the last place."""

    def __init__(self, client: Client, settings: Settings, now: Callable[[], datetime]) -> None:
        self._client, self._settings, self._now = client, settings, now
        self.builds = Informer(client, kinds.BUILD)
        self.jobs = Informer(client, kinds.JOB, labels=manifest.BUILD_LABEL)
        self.pods = Informer(client, kinds.POD, labels=manifest.BUILD_LABEL)
        self.keys = Keys()
        self._ca = trust.Platform(settings.ca_file) if settings.ca_file else None
        self._started: dict[str, Job] = {}  # by the Build's uid: created here, not yet seen in the copy
        self.builds.on_change(self._build_changed)
        self.jobs.on_change(self._job_changed)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        build = self.builds.get(namespace, name)
        if build is None or build.metadata.deletion_timestamp:
            return Done()
        self._trust()
        seen = await self._load(build)
        wanted = plan(seen, self._settings, self._now())
        wanted = await self._apply(build, wanted)
        if over(build) and wanted.status == build.status:
            return Done(again_after=await self._expire(build))
        return Done(again_after=wanted.again_after)

    def _trust(self) -> None:
        """Jobs from now on get the authorities as they are now."""
        if self._ca is None:
            return
        if wrong := self._ca.look():
            log.warning("%s", wrong)
        if self._ca.text != self._settings.ca:
            self._settings = dataclasses.replace(self._settings, ca=self._ca.text)

    async def _load(self, build: Build) -> Seen:
        job = await self._job(build)
        if over(build):
            return Seen(build, Place(), job)
        lost = job is None and bool(build.status.job)
        ended = lost or (job is not None and batch.ended(job) is not None)
        pod = await self._pod(build, build.status.job or manifest.job_name(build, attempt(build)), sure=ended)
        lines = await self._log(pod) if ended and pod is not None else ()
        return Seen(build, place(build, self.builds.list(), self._running(), self._settings), job, pod, lost, lines)

    async def _job(self, build: Build) -> Job | None:
        """That of the present attempt. The copy may be behind what this process, or one before it, has done: then the server is asked."""
        meta = build.metadata
        name = manifest.job_name(build, attempt(build))
        found = self.jobs.get(meta.namespace, name)
        if found is not None or over(build):
            return found
        if not build.status.job and meta.uid not in self._started:
            return None
        try:
            return await self._client.get(kinds.JOB, name, meta.namespace)
        except errors.NotFound:
            self._started.pop(meta.uid, None)
            return None

    async def _pod(self, build: Build, job: str, *, sure: bool) -> Pod | None:
        """The Job's pod; of several the newest, for a node that was lost may leave one. To be `sure`, the server is asked: the copy may not
        have heard yet how a pod ended whose Job has."""
        name, namespace = build.metadata.name, build.metadata.namespace
        if sure:
            pods = (await self._client.list(kinds.POD, namespace, labels=f"{manifest.BUILD_LABEL}={name}"))[0]
        else:
            pods = self.pods.list(namespace, {manifest.BUILD_LABEL: name})
        own = [p for p in pods if any(ref.kind == "Job" and ref.name == job for ref in p.metadata.owner_references)]
        return max(own, key=lambda p: (p.metadata.creation_timestamp, p.metadata.name), default=None)

    def _running(self) -> set[str]:
        """The uids of the Builds that have a Job under way, whatever their status says yet."""
        found = set(self._started)
        for job in self.jobs.list():
            if not batch.ended(job) and job.metadata.name != _sweeper(job):
                found |= {ref.uid for ref in job.metadata.owner_references if ref.controller}
        return found

    async def _apply(self, build: Build, wanted: Plan) -> Plan:
        """Gives the plan that came true, which is another if the Job was refused."""
        meta = build.metadata
        if wanted.delete is not None:
            await self._delete(wanted.delete)
        if wanted.create is not None:
            try:
                self._started[meta.uid] = await self._client.create(kinds.JOB, wanted.create, meta.namespace)
            except errors.AlreadyExists:
                self.keys.add(f"{meta.namespace}/{meta.name}", after=0.2)  # by one before this process: the copy is about to show it
                return wanted
            except (errors.Invalid, errors.Forbidden) as error:
                log.warning("the Job of Build %s/%s was refused: %s", meta.namespace, meta.name, error)
                wanted = refused(build, error.message, self._now())
        if wanted.status != build.status:
            try:
                await self._client.update(kinds.BUILD, replace(build, status=wanted.status), subresource="status")
            except errors.NotFound:
                self._started.pop(meta.uid, None)
        return wanted

    async def _delete(self, job: Job) -> None:
        try:
            await self._client.delete(kinds.JOB, job.metadata.name, job.metadata.namespace, uid=job.metadata.uid)
        except (errors.NotFound, errors.Conflict):
            return

    async def _log(self, pod: Pod) -> tuple[str, ...]:
        """The end of a pod's log, as far as it can be had."""
        data = b""
        try:
            with anyio.move_on_after(LOG_SECONDS):
                async with self._client.logs(pod.metadata.name, pod.metadata.namespace, tail=self._settings.log_lines) as chunks:
                    async for chunk in chunks:
                        data = (data + chunk)[-LOG_BYTES:]
        except errors.KubeError as error:
            log.debug("no log of %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)
        return tuple(data.decode("utf-8", "replace").splitlines())

    async def _expire(self, build: Build) -> float | None:
        """Delete a Build whose time is over: first its source artifact in the registry, so that nothing is forgotten by a crash between."""
        meta = build.metadata
        found = expiry(build, self.builds.list(), self._settings, self._now())
        if found.gone and found.sweep:
            sweeper = self.jobs.get(meta.namespace, manifest.sweep_name(build))
            if sweeper is None:
                try:
                    await self._client.create(kinds.JOB, manifest.sweep(build, self._settings), meta.namespace)
                except errors.AlreadyExists:
                    pass
                return MOST_WAIT
            if not batch.ended(sweeper):
                return MOST_WAIT
        if found.gone:
            try:
                await self._client.delete(kinds.BUILD, meta.name, meta.namespace, uid=meta.uid)
            except (errors.NotFound, errors.Conflict):
                pass
            return None
        return min(found.again_after, MOST_WAIT) if found.again_after is not None else None

    def _build_changed(self, old: Build | None, new: Build | None) -> None:
        build = new or old
        assert build is not None
        self.keys.add(f"{build.metadata.namespace}/{build.metadata.name}")
        if new is None:
            self._started.pop(build.metadata.uid, None)
        if new is None or old is None or over(new) != over(old):
            self._others(build)

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        job = new or old
        assert job is not None
        for ref in job.metadata.owner_references:
            if ref.controller:
                self._started.pop(ref.uid, None)
        self.keys.add(f"{job.metadata.namespace}/{job.metadata.labels.get(manifest.BUILD_LABEL, '')}")
        if new is None or batch.ended(new):
            self._waiting()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        self.keys.add(f"{pod.metadata.namespace}/{pod.metadata.labels.get(manifest.BUILD_LABEL, '')}")

    def _others(self, build: Build) -> None:
        """Those whose place or time may change with it: what waits, and what is kept of the same image."""
        self._waiting()
        for other in self.builds.list(build.metadata.namespace):
            if over(other) and other.spec.image.repository == build.spec.image.repository:
                self.keys.add(f"{other.metadata.namespace}/{other.metadata.name}", after=1.0)

    def _waiting(self) -> None:
        running = self._running()
        for build in self.builds.list():
            if waits(build, running):
                self.keys.add(f"{build.metadata.namespace}/{build.metadata.name}", after=0.02)


def _sweeper(job: Job) -> str:
    """The name that a sweeping Job of the same Build has; it takes no place in the queue."""
    return names.child(job.metadata.labels.get(manifest.BUILD_LABEL, ""), "-sweep")
