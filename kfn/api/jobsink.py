"""`sinks.knative.dev/v1alpha1`: JobSink. Fields and names are Knative's."""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import Addressable, Condition, ObjectMeta

GROUP = "sinks.knative.dev"
API_VERSION = "sinks.knative.dev/v1alpha1"
MODE, BATCH = "K_EXECUTION_MODE", "batch"
NAME_LABEL, ID_LABEL = "sinks.knative.dev/job-sink-name", "sinks.knative.dev/job-sink-id"


class JobSinkSpec(Base, frozen=True):
    """`job` is a whole Job of `batch/v1`, of which name and namespace do not count; the cluster's API server knows its fields best."""

    job: dict[str, Any] | None = None


class JobSelector(Base, frozen=True):
    selector: str = ""


class JobSinkStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    address: Addressable | None = None
    job: JobSelector = JobSelector()


class JobSink(Base, frozen=True):
    """Runs a Job for each event that it is sent."""

    api_version: str = API_VERSION
    kind: str = "JobSink"
    metadata: ObjectMeta = ObjectMeta()
    spec: JobSinkSpec = JobSinkSpec()
    status: JobSinkStatus = JobSinkStatus()
