"""What can be chosen about builds in a cluster, each with its unit and default."""

from dataclasses import dataclass
from pathlib import Path

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes are Kubernetes quantities, times seconds."""

    image: str = "kfn"  # kfn's own image, by digest where it matters: it has the runner, uv and a Python
    command: tuple[str, ...] = ("python3", "-m", "builder.cluster.runner")
    plain_http: tuple[str, ...] = ()  # registries that are spoken to without TLS
    environment: tuple[tuple[str, str], ...] = ()  # more variables for the runner: a Debian mirror, a proxy
    ca_file: Path | None = None  # certificates (PEM) that builds trust beside the system's; read again when it changes
    ca: str = ""  # the same as text, which is what a Job gets
    own_cache: bool = False  # keep layers in the image's repository: a pod has no cache that stays, and who writes there writes the image
    per_namespace: int = 4  # builds that run at once in a namespace
    in_all: int = 16
    queue: int = 100  # builds that may wait in a namespace; more are refused
    attempts: int = 2  # of a build whose failure may pass: a registry or an index that did not answer
    retry_after: float = 10.0
    slack: float = 60.0  # beyond a build's own timeout: to be scheduled, pull the image, end in order
    job_ttl: int = 3600  # a Job, and with it the log, stays so long after its end
    keep: int = 10  # finished Builds of an image that stay
    keep_seconds: float = 7 * DAY  # beyond it only the newest of an image stays
    log_lines: int = 50  # of a failed build's log, kept in its status
    cpu: str = "2"  # limits, unless the Build has its own
    memory: str = "2Gi"
    request_cpu: str = "250m"
    request_memory: str = "512Mi"
    scratch: str = "4Gi"  # what /tmp may hold: source, wheels, layers
    cache: str = "8Gi"
    lease: str = ""  # NAMESPACE/NAME of the Lease that several controllers contend for; empty: there is only one
    identity: str = ""  # under which this one holds it
