"""The Kubernetes kinds that kfn reads or writes, as far as it does: pods and what makes, reaches and describes them.

Fields that kfn only passes through are `Any`, in full, so that a pod template survives a round trip unchanged.
"""

from typing import Any

import msgspec

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta

Quantity = str | int | float
IntOrString = int | str


class KeyRef(Base, frozen=True):
    name: str = ""
    key: str = ""
    optional: bool | None = None


class FieldRef(Base, frozen=True):
    api_version: str = ""
    field_path: str = ""


class EnvVarSource(Base, frozen=True):
    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None
    field_ref: FieldRef | None = None
    resource_field_ref: dict[str, Any] | None = None
    file_key_ref: dict[str, Any] | None = None


class EnvVar(Base, frozen=True):
    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvSourceRef(Base, frozen=True):
    name: str = ""
    optional: bool | None = None


class EnvFromSource(Base, frozen=True):
    prefix: str = ""
    config_map_ref: EnvSourceRef | None = None
    secret_ref: EnvSourceRef | None = None


class ContainerPort(Base, frozen=True):
    name: str = ""
    container_port: int = 0
    protocol: str = ""
    host_port: int | None = None
    host_ip: str = msgspec.field(name="hostIP", default="")


class ResourceRequirements(Base, frozen=True):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    claims: list[Any] = []


class HTTPHeader(Base, frozen=True):
    name: str = ""
    value: str = ""


class HTTPGetAction(Base, frozen=True):
    path: str = ""
    port: IntOrString | None = None
    host: str = ""
    scheme: str = ""
    http_headers: list[HTTPHeader] = []


class TCPSocketAction(Base, frozen=True):
    port: IntOrString | None = None
    host: str = ""


class ExecAction(Base, frozen=True):
    command: list[str] = []


class GRPCAction(Base, frozen=True):
    port: int | None = None
    service: str | None = None


class Probe(Base, frozen=True):
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    exec: ExecAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0
    termination_grace_period_seconds: int | None = None


class VolumeMount(Base, frozen=True):
    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    mount_propagation: str = ""


class Container(Base, frozen=True):
    name: str = ""
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    env: list[EnvVar] = []
    env_from: list[EnvFromSource] = []
    ports: list[ContainerPort] = []
    resources: ResourceRequirements | None = None
    volume_mounts: list[VolumeMount] = []
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    image_pull_policy: str = ""
    security_context: dict[str, Any] | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    # Not allowed in a Revision; typed so that validation can name them.
    lifecycle: dict[str, Any] | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    tty: bool | None = None
    volume_devices: list[Any] = []
    resize_policy: list[Any] = []
    restart_policy: str = ""


class PodSpec(Base, frozen=True):
    """A pod. GPU work needs the scheduling fields, so kfn lets them through from the start, unlike Knative."""

    containers: list[Container] = []
    init_containers: list[Container] = []
    volumes: list[dict[str, Any]] = []
    service_account_name: str = ""
    image_pull_secrets: list[dict[str, Any]] = []
    enable_service_links: bool | None = None
    automount_service_account_token: bool | None = None
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] | None = None
    topology_spread_constraints: list[dict[str, Any]] = []
    runtime_class_name: str | None = None
    resource_claims: list[dict[str, Any]] = []
    priority_class_name: str = ""
    scheduler_name: str = ""
    security_context: dict[str, Any] | None = None
    host_aliases: list[dict[str, Any]] = []
    dns_policy: str = ""
    dns_config: dict[str, Any] | None = None
    termination_grace_period_seconds: int | None = None
    restart_policy: str = ""
    share_process_namespace: bool | None = None
    host_network: bool | None = None
    host_pid: bool | None = msgspec.field(name="hostPID", default=None)
    host_ipc: bool | None = msgspec.field(name="hostIPC", default=None)
    node_name: str = ""
    hostname: str = ""
    subdomain: str = ""


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
