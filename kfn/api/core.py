"""The Kubernetes kinds that kfn reads or writes, as far as it does: pods (their spec is in `podspec.py`) and what makes, reaches
and describes them.

Fields that kfn only passes through are `Any`, in full, so that a pod template survives a round trip unchanged.
"""

from typing import Any

import msgspec

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.podspec import (
    Container as Container,
)
from kfn.api.podspec import (
    ContainerPort as ContainerPort,
)
from kfn.api.podspec import (
    EnvFromSource as EnvFromSource,
)
from kfn.api.podspec import (
    EnvSourceRef as EnvSourceRef,
)
from kfn.api.podspec import (
    EnvVar as EnvVar,
)
from kfn.api.podspec import (
    EnvVarSource as EnvVarSource,
)
from kfn.api.podspec import (
    ExecAction as ExecAction,
)
from kfn.api.podspec import (
    FieldRef as FieldRef,
)
from kfn.api.podspec import (
    GRPCAction as GRPCAction,
)
from kfn.api.podspec import (
    HTTPGetAction as HTTPGetAction,
)
from kfn.api.podspec import (
    HTTPHeader as HTTPHeader,
)
from kfn.api.podspec import (
    IntOrString as IntOrString,
)
from kfn.api.podspec import (
    KeyRef as KeyRef,
)
from kfn.api.podspec import (
    PodSpec as PodSpec,
)
from kfn.api.podspec import (
    Probe as Probe,
)
from kfn.api.podspec import (
    Quantity as Quantity,
)
from kfn.api.podspec import (
    ResourceRequirements as ResourceRequirements,
)
from kfn.api.podspec import (
    TCPSocketAction as TCPSocketAction,
)
from kfn.api.podspec import (
    VolumeMount as VolumeMount,
)


class PodTemplateSpec(Base, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class ContainerStateWaiting(Base, frozen=True):
    reason: str = ""
    message: str = ""


class ContainerStateRunning(Base, frozen=True):
    started_at: str = ""


class ContainerStateTerminated(Base, frozen=True):
    exit_code: int = 0
    signal: int | None = None
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""


class ContainerState(Base, frozen=True):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Base, frozen=True):
    name: str = ""
    image: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    container_id: str = msgspec.field(name="containerID", default="")
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodCondition(Base, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    last_probe_time: str = ""


class PodIP(Base, frozen=True):
    ip: str = ""


class PodStatus(Base, frozen=True):
    phase: str = ""
    conditions: list[PodCondition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []
    pod_ip: str = msgspec.field(name="podIP", default="")
    pod_ips: list[PodIP] = msgspec.field(name="podIPs", default=[])
    host_ip: str = msgspec.field(name="hostIP", default="")
    start_time: str = ""
    reason: str = ""
    message: str = ""


class Pod(Base, frozen=True):
    api_version: str = "v1"
    kind: str = "Pod"
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class LabelSelector(Base, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: list[dict[str, Any]] = []


class DeploymentSpec(Base, frozen=True):
    """`replicas` None means 1, as in Kubernetes; the autoscaler owns it once the Deployment exists."""

    replicas: int | None = None
    selector: LabelSelector = LabelSelector()
    template: PodTemplateSpec = PodTemplateSpec()
    strategy: dict[str, Any] | None = None
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    progress_deadline_seconds: int | None = None
    paused: bool | None = None


class DeploymentCondition(Base, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_update_time: str = ""
    last_transition_time: str = ""


class DeploymentStatus(Base, frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int | None = None
    conditions: list[DeploymentCondition] = []
    collision_count: int | None = None


class Deployment(Base, frozen=True):
    api_version: str = "apps/v1"
    kind: str = "Deployment"
    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ServicePort(Base, frozen=True):
    name: str = ""
    port: int = 0
    target_port: IntOrString | None = None
    protocol: str = ""
    app_protocol: str = ""
    node_port: int | None = None


class ServiceSpec(Base, frozen=True):
    type: str = ""
    selector: dict[str, str] = {}
    ports: list[ServicePort] = []
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: list[str] = msgspec.field(name="clusterIPs", default=[])
    external_name: str = ""
    session_affinity: str = ""
    publish_not_ready_addresses: bool | None = None
    ip_families: list[str] = []
    ip_family_policy: str = ""
    internal_traffic_policy: str = ""


class Service(Base, frozen=True):
    """A Kubernetes Service (not Knative's: that one is `kfn.api.serving.Service`)."""

    api_version: str = "v1"
    kind: str = "Service"
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: dict[str, Any] = {}


class EndpointConditions(Base, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(Base, frozen=True):
    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


class Endpoint(Base, frozen=True):
    addresses: list[str] = []
    conditions: EndpointConditions = EndpointConditions()
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(Base, frozen=True):
    name: str = ""
    port: int | None = None
    protocol: str = ""
    app_protocol: str = ""


class EndpointSlice(Base, frozen=True):
    """Addresses of a Service's pods. Embedded there is one slice a pod, because each pod has a port of its own."""

    api_version: str = "discovery.k8s.io/v1"
    kind: str = "EndpointSlice"
    metadata: ObjectMeta = ObjectMeta()
    address_type: str = ""
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] = []


class Event(Base, frozen=True):
    api_version: str = "v1"
    kind: str = "Event"
    metadata: ObjectMeta = ObjectMeta()
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0
    first_timestamp: str = ""
    last_timestamp: str = ""
    event_time: str = ""
    action: str = ""
    reporting_component: str = ""
    reporting_instance: str = ""
    source: dict[str, Any] = {}


class Namespace(Base, frozen=True):
    api_version: str = "v1"
    kind: str = "Namespace"
    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class ConfigMap(Base, frozen=True):
    api_version: str = "v1"
    kind: str = "ConfigMap"
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool | None = None


class Secret(Base, frozen=True):
    """`data` is base64; `string_data` is write-only and merged into it by the server."""

    api_version: str = "v1"
    kind: str = "Secret"
    metadata: ObjectMeta = ObjectMeta()
    type: str = ""
    data: dict[str, str] = {}
    string_data: dict[str, str] = {}
    immutable: bool | None = None


class ServiceAccount(Base, frozen=True):
    api_version: str = "v1"
    kind: str = "ServiceAccount"
    metadata: ObjectMeta = ObjectMeta()
    secrets: list[dict[str, Any]] = []
    image_pull_secrets: list[dict[str, Any]] = []
    automount_service_account_token: bool | None = None


class LeaseSpec(Base, frozen=True):
    holder_identity: str = ""
    lease_duration_seconds: int | None = None
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class Lease(Base, frozen=True):
    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()
