"""The Job controller's decision: whether a pod is to be made, when, and how the Job stands. Pure.

One pod at a time and one success: what a JobSink and `kubectl create job` ask for. `parallelism`, `completions` and indexes beyond that are
refused in the Job's condition.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from kfn.api import batch
from kfn.api.batch import Job, JobCondition, JobStatus
from kfn.api.core import Container, EnvVar, Pod
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.clock import timestamp

JOB_NAME, JOB_UID = "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"
RETRIES = 6  # Kubernetes' default of backoffLimit
FIRST, LONGEST = 10.0, 360.0  # seconds before the second pod, doubling
EVENT_PATH = "K_EVENT_PATH"


@dataclass(frozen=True, slots=True)
class Plan:
    """`pod` is to be made, `stop` are to be deleted, `remove` the Job itself; `again` is in how many seconds to look anew."""

    status: JobStatus
    pod: str = ""
    stop: tuple[str, ...] = ()
    remove: bool = False
    again: float | None = None


def plan(job: Job, pods: Sequence[Pod], now: datetime) -> Plan:
    """`pods` are the Job's. A pod that went with a restart of the platform is made anew and does not count as a failure."""
    before, spec = job.status, job.spec
    if end := batch.ended(job):
        return _after(job, end, now)
    if max(spec.completions or 1, spec.parallelism or 1) > 1:
        return Plan(_ended(before, "NotSupported", "kfn up runs Jobs of one pod; set completions and parallelism to 1", now))
    active = [one for one in pods if one.status.phase not in ("Succeeded", "Failed") and not one.metadata.deletion_timestamp]
    failed = max(before.failed, sum(one.status.phase == "Failed" for one in pods))
    if spec.suspend:
        return Plan(msgspec.structs.replace(before, active=0, start_time=""), stop=_names(active))
    if any(one.status.phase == "Succeeded" for one in pods):
        done = JobCondition("Complete", "True", "CompletionsReached", "", timestamp(now))
        began, over = before.start_time or timestamp(now), timestamp(now)
        return Plan(JobStatus(succeeded=1, failed=failed, start_time=began, completion_time=over, conditions=[done]))
    started = before.start_time or timestamp(now)
    status = JobStatus(active=len(active), failed=failed, start_time=started)
    late = spec.active_deadline_seconds
    left = None if late is None else (_time(started) + timedelta(seconds=late) - now).total_seconds()
    if left is not None and left <= 0:
        why = "Job was active longer than specified deadline"
        return Plan(_ended(status, "DeadlineExceeded", why, now), stop=_names(active))
    if failed > (RETRIES if spec.backoff_limit is None else spec.backoff_limit):
        return Plan(_ended(status, "BackoffLimitExceeded", "Job has reached the specified backoff limit", now), stop=_names(active))
    if active or any(one.metadata.deletion_timestamp for one in pods):
        return Plan(status, again=left)
    wait = _pause(pods, failed, now)
    if wait > 0:
        return Plan(status, again=wait if left is None else min(wait, left))
    return Plan(msgspec.structs.replace(status, active=1), pod=f"{job.metadata.name}-{failed}", again=left)


def pod(job: Job, name: str) -> Pod:
    """A local process has no mount namespace: what names the event's place is given the place where it really is."""
    template = job.spec.template
    meta = job.metadata
    owner = OwnerReference(job.api_version, job.kind, meta.name, meta.uid, controller=True, block_owner_deletion=True)
    labels = {**template.metadata.labels, JOB_NAME: meta.name, JOB_UID: meta.uid}
    spec = msgspec.structs.replace(
        template.spec,
        containers=[_placed(one) for one in template.spec.containers],
        init_containers=[_placed(one) for one in template.spec.init_containers],
        restart_policy=template.spec.restart_policy or "Never",
    )
    made = ObjectMeta(
        name=name, namespace=meta.namespace, labels=labels, annotations=template.metadata.annotations, owner_references=[owner]
    )
    return Pod(metadata=made, spec=spec)


def _placed(container: Container) -> Container:
    volumes = {one.mount_path: one.name for one in container.volume_mounts}

    def placed(variable: EnvVar) -> EnvVar:
        volume = volumes.get(variable.value) if variable.name == EVENT_PATH else None
        if volume is None:
            return variable
        return msgspec.structs.replace(variable, value=f"$(KFN_VOLUME_{re.sub(r'[^A-Z0-9]', '_', volume.upper())})")

    return msgspec.structs.replace(container, env=[placed(one) for one in container.env])


def _after(job: Job, end: JobCondition, now: datetime) -> Plan:
    """It is over: gone after its time, if it has one."""
    kept = job.spec.ttl_seconds_after_finished
    if kept is None:
        return Plan(job.status)
    left = (_time(end.last_transition_time) + timedelta(seconds=kept) - now).total_seconds()
    return Plan(job.status, remove=left <= 0, again=left if left > 0 else None)


def _pause(pods: Sequence[Pod], failed: int, now: datetime) -> float:
    """Seconds until the next pod may be made, from the end of the last."""
    if not failed:
        return 0.0
    states = [one.state.terminated for found in pods for one in found.status.container_statuses]
    ends = [_time(state.finished_at) for state in states if state is not None and state.finished_at]
    if not ends:
        return 0.0
    return (max(ends) + timedelta(seconds=min(FIRST * 2 ** min(failed - 1, 20), LONGEST)) - now).total_seconds()


def _ended(status: JobStatus, reason: str, message: str, now: datetime) -> JobStatus:
    conditions = [JobCondition("Failed", "True", reason, message, timestamp(now))]
    return msgspec.structs.replace(status, active=0, start_time=status.start_time or timestamp(now), conditions=conditions)


def _names(pods: Sequence[Pod]) -> tuple[str, ...]:
    return tuple(one.metadata.name for one in pods)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
