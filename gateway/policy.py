"""What the gateway must know of a Revision: its limits, its time limits, how to probe it, and whether it has failed. Pure."""

from dataclasses import dataclass
from sys import intern

from kfn.api import names
from kfn.api.core import Container, Probe
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import Revision

_BARE = Revision()
EVENT_WEIGHT = 25
TIMEOUT = 300.0  # Knative's default `revision-timeout-seconds`


@dataclass(frozen=True, slots=True)
class ProbeBy:
    """How an instance's readiness can be seen from outside. `path` is "" for a plain connection; `direct` False: it cannot."""

    direct: bool = True
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """`concurrency` 0 is unlimited; a time limit of 0 is none. `failure` says why the revision cannot serve, or is empty."""

    concurrency: int = 0
    timeout: float = TIMEOUT
    response_start: float = 0.0
    idle: float = 0.0
    probe: ProbeBy = ProbeBy()
    failure: str = ""
    event_weight: int = EVENT_WEIGHT  # places for waiting events, for each 100 for waiting requests
    service: str = ""  # whose revision it is, for metrics and traces
    configuration: str = ""


def of(revision: Revision) -> Policy:
    spec = revision.spec
    return Policy(
        concurrency=spec.container_concurrency or 0,
        timeout=float(spec.timeout_seconds or TIMEOUT),
        response_start=float(spec.response_start_timeout_seconds or 0),
        idle=float(spec.idle_timeout_seconds or 0),
        probe=_probe(spec.containers),
        failure=_failure(revision.status.conditions),
        event_weight=_event_weight(revision.metadata.annotations.get(names.EVENT_WEIGHT, "")),
        service=intern(revision.metadata.labels.get(names.SERVICE, "")),
        configuration=intern(revision.metadata.labels.get(names.CONFIGURATION, "")),
    )


def kept(revision: Revision) -> Revision:
    """What a local copy must keep of a Revision once its policy is known: a name. Ten thousand of them may sleep here."""
    meta = revision.metadata
    name = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version)
    return Revision(metadata=name, spec=_BARE.spec, status=_BARE.status)


def _event_weight(text: str) -> int:
    """What the API would not have taken counts as nothing said."""
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= names.EVENT_WEIGHT_MOST else EVENT_WEIGHT


def _probe(containers: list[Container]) -> ProbeBy:
    serving = next((c for c in containers if c.ports), containers[0] if containers else None)
    if serving is None:
        return ProbeBy()
    if serving.startup_probe is not None:
        return ProbeBy(direct=False)  # only the kubelet knows when that one has passed
    probe: Probe | None = serving.readiness_probe
    if probe is None or (probe.exec is None and probe.grpc is None and probe.http_get is None):
        return ProbeBy()
    if probe.http_get is None or probe.http_get.scheme.upper() == "HTTPS":
        return ProbeBy(direct=False)
    path = probe.http_get.path or "/"
    return ProbeBy(path=path if path.startswith("/") else f"/{path}", headers=tuple((h.name, h.value) for h in probe.http_get.http_headers))


def _failure(conditions: list[Condition]) -> str:
    for type_ in ("ContainerHealthy", "ResourcesAvailable", "Ready"):
        for condition in conditions:
            if condition.type == type_ and condition.status == "False" and condition.severity in ("", "Error"):
                return ": ".join(part for part in (condition.reason, condition.message) if part) or f"{type_} is False"
    return ""
