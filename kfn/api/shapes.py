"""The shapes of Kubernetes' types that kfn passes through as they come: what a schema says of them, and what a mistyped field is told by.

A field that is declared `Annotated[dict[str, Any], As(Toleration)]` is a plain dictionary to the code, so that it survives a round trip
unchanged, and a `Toleration` to the CRD, to `kubectl explain` and to the finder of unknown fields. Types are Kubernetes 1.36's, in full.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from kfn.api.base import Base

IntOrString = int | str
Quantity = str | int | float


@dataclass(frozen=True, slots=True)
class As:
    """Metadata of an annotated field: what its value looks like."""

    type: Any


class Capabilities(Base, frozen=True):
    add: list[str] = []
    drop: list[str] = []


class LocalProfile(Base, frozen=True):
    """A seccomp or AppArmor profile."""

    type: str = ""
    localhost_profile: str | None = None


class SELinuxOptions(Base, frozen=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SecurityContext(Base, frozen=True):
    """The security attributes of a container."""

    capabilities: Capabilities | None = None
    privileged: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    seccomp_profile: LocalProfile | None = None
    # Refused by name in a Revision.
    app_armor_profile: LocalProfile | None = None
    proc_mount: str | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: dict[str, Any] | None = None


class Sysctl(Base, frozen=True):
    name: str = ""
    value: str = ""


class PodSecurityContext(Base, frozen=True):
    """The security attributes of a whole pod."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: list[int] = []
    supplemental_groups_policy: str | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    seccomp_profile: LocalProfile | None = None
    app_armor_profile: LocalProfile | None = None
    se_linux_options: SELinuxOptions | None = None
    se_linux_change_policy: str | None = None
    sysctls: list[Sysctl] = []
    windows_options: dict[str, Any] | None = None


class Toleration(Base, frozen=True):
    """Lets the pod onto nodes with a matching taint."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class Requirement(Base, frozen=True):
    """One line of a selector: a key, an operator, and the values that it is compared with."""

    key: str = ""
    operator: str = ""
    values: list[str] = []


class Selector(Base, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: list[Requirement] = []


class NodeSelectorTerm(Base, frozen=True):
    match_expressions: list[Requirement] = []
    match_fields: list[Requirement] = []


class NodeSelector(Base, frozen=True):
    node_selector_terms: list[NodeSelectorTerm] = []


class PreferredNode(Base, frozen=True):
    weight: int = 0
    preference: NodeSelectorTerm = NodeSelectorTerm()


class NodeAffinity(Base, frozen=True):
    required: NodeSelector | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)
    preferred: list[PreferredNode] = msgspec.field(name="preferredDuringSchedulingIgnoredDuringExecution", default=[])


class PodAffinityTerm(Base, frozen=True):
    label_selector: Selector | None = None
    namespaces: list[str] = []
    namespace_selector: Selector | None = None
    topology_key: str = ""
    match_label_keys: list[str] = []
    mismatch_label_keys: list[str] = []


class PreferredPods(Base, frozen=True):
    weight: int = 0
    pod_affinity_term: PodAffinityTerm = PodAffinityTerm()


class PodAffinity(Base, frozen=True):
    required: list[PodAffinityTerm] = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=[])
    preferred: list[PreferredPods] = msgspec.field(name="preferredDuringSchedulingIgnoredDuringExecution", default=[])


class Affinity(Base, frozen=True):
    """Which nodes the pod wants, and which pods it wants to be near to or far from."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(Base, frozen=True):
    """How evenly the pods are spread over zones or nodes."""

    max_skew: int = 0
    topology_key: str = ""
    when_unsatisfiable: str = ""
    label_selector: Selector | None = None
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: list[str] = []


class LocalObject(Base, frozen=True):
    """An object of the same namespace, by its name."""

    name: str = ""


class PodResourceClaim(Base, frozen=True):
    """A claim of dynamic resource allocation, such as a GPU."""

    name: str = ""
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class ContainerClaim(Base, frozen=True):
    name: str = ""
    request: str = ""


class HostAlias(Base, frozen=True):
    """A line of the pod's /etc/hosts."""

    ip: str = ""
    hostnames: list[str] = []


class DNSOption(Base, frozen=True):
    name: str = ""
    value: str | None = None


class DNSConfig(Base, frozen=True):
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[DNSOption] = []


class KeyToPath(Base, frozen=True):
    key: str = ""
    path: str = ""
    mode: int | None = None


class SecretVolume(Base, frozen=True):
    secret_name: str = ""
    items: list[KeyToPath] = []
    default_mode: int | None = None
    optional: bool | None = None


class ConfigMapVolume(Base, frozen=True):
    name: str = ""
    items: list[KeyToPath] = []
    default_mode: int | None = None
    optional: bool | None = None


class FieldSelector(Base, frozen=True):
    api_version: str = ""
    field_path: str = ""


class ResourceFieldSelector(Base, frozen=True):
    container_name: str = ""
    resource: str = ""
    divisor: Quantity | None = None


class FileKeySelector(Base, frozen=True):
    volume_name: str = ""
    path: str = ""
    key: str = ""
    optional: bool | None = None


class DownwardAPIFile(Base, frozen=True):
    path: str = ""
    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIVolume(Base, frozen=True):
    items: list[DownwardAPIFile] = []
    default_mode: int | None = None


class ServiceAccountTokenProjection(Base, frozen=True):
    audience: str = ""
    expiration_seconds: int | None = None
    path: str = ""


class ConfigMapProjection(Base, frozen=True):
    """Some keys of a ConfigMap or a Secret."""

    name: str = ""
    items: list[KeyToPath] = []
    optional: bool | None = None


class ClusterTrustBundleProjection(Base, frozen=True):
    name: str | None = None
    signer_name: str | None = None
    label_selector: Selector | None = None
    optional: bool | None = None
    path: str = ""


class Projection(Base, frozen=True):
    config_map: ConfigMapProjection | None = None
    secret: ConfigMapProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None
    downward_api: DownwardAPIVolume | None = msgspec.field(name="downwardAPI", default=None)
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    pod_certificate: dict[str, Any] | None = None


class ProjectedVolume(Base, frozen=True):
    sources: list[Projection] = []
    default_mode: int | None = None


class EmptyDirVolume(Base, frozen=True):
    medium: str = ""
    size_limit: Quantity | None = None


class ClaimVolume(Base, frozen=True):
    claim_name: str = ""
    read_only: bool | None = None


class CSIVolume(Base, frozen=True):
    driver: str = ""
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: dict[str, str] = {}
    node_publish_secret_ref: LocalObject | None = None


class EphemeralVolume(Base, frozen=True):
    volume_claim_template: dict[str, Any] | None = None


class ImageVolume(Base, frozen=True):
    """An OCI image or artifact, such as a model, as a folder."""

    reference: str = ""
    pull_policy: str = ""


class Volume(Base, frozen=True):
    """A name and exactly one source."""

    name: str = ""
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    csi: CSIVolume | None = None
    ephemeral: EphemeralVolume | None = None
    image: ImageVolume | None = None
    downward_api: DownwardAPIVolume | None = msgspec.field(name="downwardAPI", default=None)
    # Refused by name in a Revision: they tie a pod to its node, or belong into a PersistentVolume.
    host_path: dict[str, Any] | None = None
    nfs: dict[str, Any] | None = None
    iscsi: dict[str, Any] | None = None
    fc: dict[str, Any] | None = None
    git_repo: dict[str, Any] | None = None
