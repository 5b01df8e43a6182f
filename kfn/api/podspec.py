"""What a pod is asked to be: containers, their environment, probes and volumes. Part of `kfn.api.core`, which is where to import it from.

Fields that kfn only passes through are `Any`, in full, so that a pod template survives a round trip unchanged.
"""

from typing import Annotated, Any

import msgspec

from kfn.api import shapes
from kfn.api.base import Base
from kfn.api.shapes import As
from kfn.api.shapes import IntOrString as IntOrString
from kfn.api.shapes import Quantity as Quantity


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
    resource_field_ref: Annotated[dict[str, Any] | None, As(shapes.ResourceFieldSelector)] = None
    file_key_ref: Annotated[dict[str, Any] | None, As(shapes.FileKeySelector)] = None


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
    claims: Annotated[list[Any], As(list[shapes.ContainerClaim])] = []


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
    security_context: Annotated[dict[str, Any] | None, As(shapes.SecurityContext)] = None
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
    volumes: Annotated[list[dict[str, Any]], As(list[shapes.Volume])] = []
    service_account_name: str = ""
    image_pull_secrets: Annotated[list[dict[str, Any]], As(list[shapes.LocalObject])] = []
    enable_service_links: bool | None = None
    automount_service_account_token: bool | None = None
    node_selector: dict[str, str] = {}
    tolerations: Annotated[list[dict[str, Any]], As(list[shapes.Toleration])] = []
    affinity: Annotated[dict[str, Any] | None, As(shapes.Affinity)] = None
    topology_spread_constraints: Annotated[list[dict[str, Any]], As(list[shapes.TopologySpreadConstraint])] = []
    runtime_class_name: str | None = None
    resource_claims: Annotated[list[dict[str, Any]], As(list[shapes.PodResourceClaim])] = []
    priority_class_name: str = ""
    scheduler_name: str = ""
    security_context: Annotated[dict[str, Any] | None, As(shapes.PodSecurityContext)] = None
    host_aliases: Annotated[list[dict[str, Any]], As(list[shapes.HostAlias])] = []
    dns_policy: str = ""
    dns_config: Annotated[dict[str, Any] | None, As(shapes.DNSConfig)] = None
    termination_grace_period_seconds: int | None = None
    restart_policy: str = ""
    share_process_namespace: bool | None = None
    host_network: bool | None = None
    host_pid: bool | None = msgspec.field(name="hostPID", default=None)
    host_ipc: bool | None = msgspec.field(name="hostIPC", default=None)
    node_name: str = ""
    hostname: str = ""
    subdomain: str = ""
