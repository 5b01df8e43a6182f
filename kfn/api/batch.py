"""`batch/v1` Job, as far as kfn makes and reads it: a build runs as one. Fields that a cluster adds and kfn never looks at are `Any`."""

from typing import Any

from kfn.api.base import Base
from kfn.api.core import LabelSelector, PodTemplateSpec
from kfn.api.meta import ObjectMeta

GROUP = "batch"
API_VERSION = "batch/v1"


class JobSpec(Base, frozen=True):
    parallelism: int | None = None
    completions: int | None = None
    completion_mode: str = ""
    backoff_limit: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    pod_replacement_policy: str = ""
    pod_failure_policy: dict[str, Any] | None = None
    template: PodTemplateSpec = PodTemplateSpec()


class JobCondition(Base, frozen=True):
    """`type` is Complete or Failed (or one of their forerunners); Failed says why in `reason`, such as DeadlineExceeded."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    last_probe_time: str = ""


class JobStatus(Base, frozen=True):
    active: int = 0
    ready: int | None = None
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    start_time: str = ""
    completion_time: str = ""
    conditions: list[JobCondition] = []
    uncounted_terminated_pods: dict[str, Any] | None = None


class Job(Base, frozen=True):
    api_version: str = API_VERSION
    kind: str = "Job"
    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


def ended(job: Job) -> JobCondition | None:
    """The condition that says that the Job is over, Complete or Failed; None while it may still run."""
    return next((c for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"), None)
