"""What an operator can choose about the Serving control plane. Names and defaults are those of Knative's ConfigMaps."""

from dataclasses import dataclass

from kfn.api.names import SYSTEM_NAMESPACE

# Knative's words for secure-pod-defaults. BOUNDED: seccomp RuntimeDefault, no capabilities, no privilege escalation, and the image's own
# user, root included. ENABLED: not root either, as the Pod Security Standard "restricted" asks; images that run as root then do not start.
DISABLED, BOUNDED, ENABLED = "Disabled", "AllowRootBounded", "Enabled"


@dataclass(frozen=True, slots=True)
class Settings:
    """All durations are in seconds."""

    domain: str = "localhost:8080"  # a function is http://NAME.NAMESPACE.<domain>; the port belongs to it
    cluster_domain: str = "svc.cluster.local"  # and inside http://NAME.NAMESPACE.<cluster_domain>
    scheme: str = "http"
    gateway_host: str = f"kfn-gateway.{SYSTEM_NAMESPACE}.svc.cluster.local"  # where a placeholder Service's name leads

    progress_deadline: float = 600  # a revision that nothing is known of for so long has failed
    initial_ready_timeout: float = 30  # a process that lives but does not become ready has failed after so long
    allow_zero_initial_scale: bool = True
    secure_pod_defaults: str = BOUNDED  # what a container gets where its template says nothing; see the three words above
    pre_stop: int = 1  # a pod that is being ended answers for so long while gateways learn of it; 0 is none, and before Kubernetes 1.30

    resolve_tags: bool = True  # an image's tag becomes a digest once a Revision, where the process has a way to ask (`Controller.resolve`)
    resolve_timeout: float = 10  # for one image
    registries_skipping_tag_resolving: tuple[str, ...] = ("kind.local", "ko.local", "dev.local", "kfn.local")  # loopback is skipped too

    retain_since_create_time: float = 48 * 3600  # config-gc: a revision younger than this stays
    retain_since_last_active_time: float = 15 * 3600  # and so does one that had traffic in this time
    min_non_active_revisions: int = 20  # so many revisions without traffic stay, however old
    max_non_active_revisions: int | None = 1000  # more than this go, however young; None is no limit

    workers: int = 4  # keys that one reconciler works on at once
