"""Runs the Jobs of builds on this machine: plays Job controller, scheduler and kubelet for them, and for no other Job. Read this first.

The process is `buildprocess.py`'s. A Job, its pod and their ends are told to the API server as a cluster tells them, so that the
controller of Builds, `kubectl` and `kfn builds logs` see no difference.
"""

import base64
import logging
import secrets
import string
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from msgspec.structs import replace

from builder.cluster import manifest, wire
from embedded import buildprocess
from embedded.api.server import Logs
from embedded.buildprocess import CannotStart, Ended, Settings
from embedded.node import logkeep, logread
from embedded.node.logfile import LogFile
from kfn.api import batch, core, kinds
from kfn.api.batch import Job, JobCondition, JobStatus
from kfn.api.core import ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.clock import timestamp
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer

log = logging.getLogger(__name__)

NODE = "kfn-builds"  # what its pods have as nodeName, so that the node of functions leaves them alone
SECRET_AGAIN = 2.0  # seconds between looks for a Secret that is not there
LOGS_KEPT = 7 * 86400.0  # seconds
LOST, LOST_MESSAGE = "NodeLost", "the platform was stopped while it ran"
_LETTERS = string.ascii_lowercase + string.digits


@dataclass
class Running:
    """A Job under way. `stop` ends it in order."""

    job: Job
    pod: str
    log: LogFile
    stop: anyio.Event = field(default_factory=anyio.Event)


class BuildJobs:
    """`run` until cancelled; then every build is killed, and told to have been lost at the next start."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._running: dict[str, Running] = {}  # by the Job's uid
        self._jobs = Informer(client, kinds.JOB, labels=manifest.BUILD_LABEL)
        self._pods = Informer(client, kinds.POD, labels=manifest.BUILD_LABEL)

    async def run(self) -> None:
        await self._forget_last_run()
        async with anyio.create_task_group() as tasks:
            self._pods.on_change(self._pod_changed)
            self._jobs.on_change(lambda old, new: self._changed(tasks, old, new))
            tasks.start_soon(self._pods.run)
            await self._jobs.run()

    def logs(self, others: Logs) -> Logs:
        """Serve the logs of builds' pods, and those of other pods by `others`."""

        def read(
            namespace: str, pod: str, container: str, follow: bool, tail: int | None, previous: bool, since: int | None, timestamps: bool
        ) -> AsyncIterator[bytes]:
            path = self._settings.logs / namespace / pod / f"{container}.log"
            writer = self._writer(namespace, pod)
            if writer() is None and not path.exists():
                return others(namespace, pod, container, follow, tail, previous, since, timestamps)
            return logread.read(path, logread.Wanted(follow, tail, since, timestamps), writer)

        return read

    def _writer(self, namespace: str, pod: str) -> Callable[[], LogFile | None]:
        def current() -> LogFile | None:
            found = (one for one in self._running.values() if (one.job.metadata.namespace, one.pod) == (namespace, pod))
            return next((one.log for one in found), None)

        return current

    def _changed(self, tasks: TaskGroup, old: Job | None, new: Job | None) -> None:
        job = new or old
        assert job is not None
        running = self._running.get(job.metadata.uid)
        if new is None or new.metadata.deletion_timestamp:
            if running:
                running.stop.set()
        elif running is None and not batch.ended(new):
            name = f"{new.metadata.name}-{''.join(secrets.choice(_LETTERS) for _ in range(5))}"
            path = self._settings.logs / new.metadata.namespace / name / f"{manifest.CONTAINER}.log"
            running = self._running[new.metadata.uid] = Running(new, name, LogFile(path, max_bytes=4 << 20, files=2))
            tasks.start_soon(self._run, running)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A pod that is deleted, by hand or with its Job, ends."""
        pod = new or old
        if pod is not None and (new is None or new.metadata.deletion_timestamp):
            for running in self._running.values():
                if (running.pod, running.job.metadata.namespace) == (pod.metadata.name, pod.metadata.namespace):
                    running.stop.set()

    async def _run(self, running: Running) -> None:
        job = running.job
        try:
            pod = await self._client.create(kinds.POD, _pod(job, running.pod), job.metadata.namespace)
            await self._tell_job(job, JobStatus(active=1, start_time=timestamp()))
            late, ended = await self._process(running, pod)
            running.log.close()
            await self._tell_pod(pod, _terminated(pod, ended))
            await self._tell_job(job, _end(ended, late))
            await self._let_go(pod)
        except errors.KubeError as error:
            log.warning("build Job %s/%s: %s", job.metadata.namespace, job.metadata.name, error)
        finally:
            running.log.close()
            self._running.pop(job.metadata.uid, None)
        present = {(one.job.metadata.namespace, one.pod) for one in self._running.values()}
        await anyio.to_thread.run_sync(logkeep.tidy, self._settings.logs, present, 1, frozenset(), LOGS_KEPT)

    async def _process(self, running: Running, pod: Pod) -> tuple[bool, Ended]:
        """Whether its time was over, and how it ended."""
        spec, late = running.job.spec, False
        container = spec.template.spec.containers[0]

        async def end_in_time() -> None:
            nonlocal late
            await anyio.sleep(spec.active_deadline_seconds or 86400)
            late = True
            running.stop.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end_in_time)
            try:
                mounted = await self._secrets(running, pod)
                await self._tell_pod(pod, _status("Running", pod, ContainerState(running=ContainerStateRunning(timestamp()))))
                env = {variable.name: variable.value for variable in container.env}
                ended = await buildprocess.run(self._settings, running.pod, env, mounted, running.log, running.stop)
            except (CannotStart, OSError) as error:  # what is wrong with one build is no reason to end the platform
                told = wire.Result(wire.FAILED, 1, "CannotStart", str(error))
                ended = Ended(128, wire.write_result(told))
            except _Stopped:
                ended = Ended(143, "")
            tasks.cancel_scope.cancel()
        return late, ended

    async def _secrets(self, running: Running, pod: Pod) -> dict[str, dict[str, bytes]]:
        """What the pod mounts, by volume. One that is missing is waited for, as a kubelet does."""
        found: dict[str, dict[str, bytes]] = {}
        for volume in running.job.spec.template.spec.volumes:
            name = (volume.get("secret") or {}).get("secretName")
            while name and volume["name"] not in found:
                try:
                    secret = await self._client.get(kinds.SECRET, name, pod.metadata.namespace)
                    found[volume["name"]] = {key: base64.b64decode(value) for key, value in secret.data.items()}
                except errors.NotFound:
                    waiting = ContainerStateWaiting("CreateContainerConfigError", f'secret "{name}" not found')
                    await self._tell_pod(pod, _status("Pending", pod, ContainerState(waiting=waiting)))
                    with anyio.move_on_after(SECRET_AGAIN):
                        await running.stop.wait()
                        raise _Stopped from None
        return found

    async def _tell_pod(self, pod: Pod, status: core.PodStatus) -> None:
        await self._tell(kinds.POD, pod.metadata, status)

    async def _tell_job(self, job: Job, status: JobStatus) -> None:
        await self._tell(kinds.JOB, job.metadata, status)

    async def _tell(self, kind: kinds.Kind[Any], meta: ObjectMeta, status: core.PodStatus | JobStatus) -> None:
        """Write a status, whatever the object has become meanwhile; one that is gone needs none."""
        for _ in range(5):
            try:
                there = await self._client.get(kind, meta.name, meta.namespace)
                if there.metadata.uid == meta.uid:
                    await self._client.update(kind, replace(there, status=status), subresource="status")
                return
            except errors.Conflict:
                continue
            except errors.NotFound:
                return

    async def _let_go(self, pod: Pod) -> None:
        """One whose deletion waits for its end can go now."""
        try:
            there = await self._client.get(kinds.POD, pod.metadata.name, pod.metadata.namespace)
            if there.metadata.deletion_timestamp:
                await self._client.delete(kinds.POD, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid, grace_seconds=0)
        except errors.NotFound:
            return

    async def _forget_last_run(self) -> None:
        """What ran when the platform was killed is ended by the node's own search for leftovers. Pods live in memory only, Jobs do not."""
        for pod in (await self._client.list(kinds.POD, labels=manifest.BUILD_LABEL))[0]:
            if pod.spec.node_name == NODE and pod.status.phase not in ("Succeeded", "Failed"):
                status = replace(pod.status, phase="Failed", reason=LOST, message=LOST_MESSAGE, container_statuses=[])
                await self._tell_pod(pod, status)
        for job in (await self._client.list(kinds.JOB, labels=manifest.BUILD_LABEL))[0]:
            if job.status.start_time and not batch.ended(job):
                await self._tell_job(job, _failed(LOST, LOST_MESSAGE))


class _Stopped(Exception):
    """It was asked to end before its process was started."""


def _pod(job: Job, name: str) -> Pod:
    template = job.spec.template
    owner = OwnerReference(job.api_version, job.kind, job.metadata.name, job.metadata.uid, controller=True, block_owner_deletion=True)
    labels = {**template.metadata.labels, "batch.kubernetes.io/job-name": job.metadata.name}
    meta = ObjectMeta(name=name, namespace=job.metadata.namespace, labels=labels, owner_references=[owner])
    return Pod(metadata=meta, spec=replace(template.spec, node_name=NODE))


def _status(phase: str, pod: Pod, state: ContainerState) -> core.PodStatus:
    container = ContainerStatus(name=manifest.CONTAINER, image=pod.spec.containers[0].image, state=state)
    return core.PodStatus(phase=phase, container_statuses=[container], start_time=pod.metadata.creation_timestamp)


def _terminated(pod: Pod, ended: Ended) -> core.PodStatus:
    code = ended.code if ended.code >= 0 else 128 - ended.code
    reason = "Completed" if code == 0 else "Error"
    state = ContainerStateTerminated(
        exit_code=code, reason=reason, message=ended.message, started_at=pod.metadata.creation_timestamp, finished_at=timestamp()
    )
    return _status("Succeeded" if code == 0 else "Failed", pod, ContainerState(terminated=state))


def _end(ended: Ended, late: bool) -> JobStatus:
    if late:
        return _failed("DeadlineExceeded", "Job was active longer than specified deadline")
    if ended.code:
        return _failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    return JobStatus(
        succeeded=1, completion_time=timestamp(), conditions=[JobCondition("Complete", "True", last_transition_time=timestamp())]
    )


def _failed(reason: str, message: str) -> JobStatus:
    return JobStatus(failed=1, conditions=[JobCondition("Failed", "True", reason, message, timestamp())])
