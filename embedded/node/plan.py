"""The Deployment controller's decision: which pods to make and which to delete, and what the status says. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import msgspec

from kfn.api.core import Deployment, DeploymentCondition, DeploymentStatus, Pod, PodTemplateSpec

HASH = "pod-template-hash"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods of the current template to create, and the names of those to delete."""

    create: int
    delete: tuple[str, ...]


def template_hash(template: PodTemplateSpec) -> str:
    """Equal templates have equal hashes; it marks the pods made from one."""
    return hashlib.sha256(msgspec.json.encode(template, order="sorted")).hexdigest()[:10]


def replicas(deployment: Deployment) -> int:
    return 1 if deployment.spec.replicas is None else max(0, deployment.spec.replicas)


def plan(deployment: Deployment, pods: Sequence[Pod]) -> Plan:
    """`pods` are the Deployment's, terminating ones included (they count for nothing)."""
    wanted = 0 if deployment.metadata.deletion_timestamp else replicas(deployment)
    mark = template_hash(deployment.spec.template)
    alive = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    over = [pod for pod in alive if pod.status.phase in ("Failed", "Succeeded")]
    alive = [pod for pod in alive if pod not in over]
    new = [pod for pod in alive if pod.metadata.labels.get(HASH) == mark]
    old = [pod for pod in alive if pod.metadata.labels.get(HASH) != mark]
    surge, unavailable = _bounds(deployment, wanted)

    delete = over + sorted(new, key=_first_to_go)[: max(0, len(new) - wanted)]
    ready = sum(is_ready(pod) for pod in alive if pod not in delete)
    for pod in sorted(old, key=_first_to_go):
        if is_ready(pod):
            if ready - 1 < wanted - unavailable:
                continue
            ready -= 1
        elif len(new) < wanted and unavailable == 0 and len(alive) - len(delete) <= wanted:
            continue  # it may yet become ready before its successor
        delete.append(pod)
    left = len(alive) - sum(pod in alive for pod in delete)
    create = 0 if deployment.spec.paused and old else max(0, min(wanted - len(new), wanted + surge - left))
    return Plan(create, tuple(pod.metadata.name for pod in delete))


def is_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def _first_to_go(pod: Pod) -> tuple[bool, int, str]:
    """Not ready before ready, cheap before dear, newest first; Kubernetes' order as far as one node has it."""
    try:
        cost = int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        cost = 0
    return is_ready(pod), cost, _inverted(pod.metadata.creation_timestamp)


def _inverted(timestamp: str) -> str:
    return "".join(chr(0x10FF - ord(c)) for c in timestamp)


def _bounds(deployment: Deployment, wanted: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers of pods; both default to 25 %, and never both to zero."""
    strategy = deployment.spec.strategy or {}
    if strategy.get("type") == "Recreate":
        return 0, wanted
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _share(value: object, of: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        part = of * int(value[:-1] or 0) / 100
        return ceil(part) if up else int(part)
    return int(value) if isinstance(value, int | str) else 0


def status(deployment: Deployment, pods: Sequence[Pod], now: str) -> DeploymentStatus:
    """Counts and the conditions Available and Progressing. A condition keeps its times while its status stays."""
    wanted = replicas(deployment)
    mark = template_hash(deployment.spec.template)
    alive = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    ready = sum(is_ready(pod) for pod in alive)
    updated = sum(pod.metadata.labels.get(HASH) == mark for pod in alive)
    _, unavailable = _bounds(deployment, wanted)
    available = ready >= wanted - unavailable
    complete = updated == wanted and ready >= wanted
    name = deployment.metadata.name
    conditions = [
        ("Available", available, "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
         f"Deployment {'has' if available else 'does not have'} minimum availability."),
        ("Progressing", True, "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated",
         f'Deployment "{name}" {"has successfully progressed" if complete else "is progressing"}.'),
    ]  # fmt: skip
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=len(alive), updated_replicas=updated, ready_replicas=ready, available_replicas=ready,
        unavailable_replicas=max(0, wanted - ready),
        terminating_replicas=len(pods) - len(alive) or None,
        conditions=[_condition(deployment, *condition, now) for condition in conditions],
    )  # fmt: skip


def _condition(deployment: Deployment, type_: str, true: bool, reason: str, message: str, now: str) -> DeploymentCondition:
    word = "True" if true else "False"
    old = next((c for c in deployment.status.conditions if c.type == type_), None)
    since = old.last_transition_time if old and old.status == word else now
    changed = old.last_update_time if old and (old.status, old.reason, old.message) == (word, reason, message) else now
    return DeploymentCondition(type_, word, reason, message, changed, since)
