"""`kfn.dev/v1alpha1` Pipeline: functions that work on one event one after the other, beside each other and once for each item of a list.

What a file means (edges, order, expressions, defaults) is `kfn.pipeline`'s; running it is `eventing.pipelines`'.
"""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import Addressable, Condition, KReference, ObjectMeta

GROUP = "kfn.dev"
API_VERSION = "kfn.dev/v1alpha1"
ON_ERROR = ("fail", "dlq", "continue")
JOIN_MODES = ("all", "any")


class Start(Base, frozen=True):
    """The events that start a run: of this `broker` and `type`, and where given of this `source` and these filters as a Trigger has."""

    broker: str = ""
    type: str = ""
    source: str = ""
    filters: list[dict[str, Any]] = []


class Backoff(Base, frozen=True):
    """How long to wait before a retry: `initial`, then `factor` times as long each time, at most `max`."""

    initial: str = ""
    factor: float | None = None
    max: str = ""
    jitter: bool | None = None


class Policy(Base, frozen=True):
    """How often and how patiently a step is tried."""

    retries: int | None = None
    backoff: Backoff | None = None
    timeout: str = ""
    on_error: str = ""


class Join(Base, frozen=True):
    """When a step with several needs begins: with all or any of them, at the latest a `window` after the first."""

    mode: str = ""
    window: str = ""
    min_success: float | None = None


class PipelineStep(Policy, frozen=True):
    """One of `fn`, `uri` and `ref` is called with `input`, or an event of the type `emit` is published with `data`."""

    fn: str = ""
    uri: str = ""
    ref: KReference | None = None
    emit: str = ""
    broker: str = ""
    input: Any = None
    data: Any = None
    map: str = ""
    max_in_flight: int | None = None
    needs: list[str] | str = []
    join: Join | None = None
    when: str = ""


class PipelineSpec(Base, frozen=True):
    on: Start | None = None
    http: bool | None = None
    key: str = ""
    timeout: str = ""
    defaults: Policy | None = None
    steps: dict[str, PipelineStep] = {}
    output: Any = None


class PipelineStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    address: Addressable | None = None


class Pipeline(Base, frozen=True):
    """Functions put together: each step gets what others answered, and every run's state survives a crash."""

    api_version: str = API_VERSION
    kind: str = "Pipeline"
    metadata: ObjectMeta = ObjectMeta()
    spec: PipelineSpec = PipelineSpec()
    status: PipelineStatus = PipelineStatus()
