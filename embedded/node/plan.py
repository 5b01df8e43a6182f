"""The Deployment controller's decision: which pods to make and which to delete, and what the status says. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

import msgspec

from kfn.api.core import Deployment, DeploymentCondition, DeploymentStatus, Pod, PodTemplateSpec

HASH = "pod-template-hash"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
NOTHING: Mapping[str, int] = {}


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


def plan(deployment: Deployment, pods: Sequence[Pod], load: Mapping[str, int] = NOTHING) -> Plan:
    """`pods` are the Deployment's, terminating ones included (they count for nothing). `load` has the requests under way on each."""
    wanted = 0 if deployment.metadata.deletion_timestamp else replicas(deployment)
    mark = template_hash(deployment.spec.template)
    alive = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    over = [pod for pod in alive if pod.status.phase in ("Failed", "Succeeded")]
    alive = [pod for pod in alive if pod not in over]
    new = [pod for pod in alive if pod.metadata.labels.get(HASH) == mark]
    old = [pod for pod in alive if pod.metadata.labels.get(HASH) != mark]
    surge, unavailable = _bounds(deployment, wanted)

    def first_to_go(pod: Pod) -> tuple[bool, int, int, str]:
        """Not ready before ready, cheap before dear, newest first: Kubernetes' order as far as one node has it. Of equally dear ones
        the idle go first, and then those that have least to finish."""
        return is_ready(pod), _cost(pod), load.get(pod.metadata.name, 0), _inverted(pod.metadata.creation_timestamp)

    delete = over + sorted(new, key=first_to_go)[: max(0, len(new) - wanted)]
    ready = sum(is_ready(pod) for pod in alive if pod not in delete)
    for pod in sorted(old, key=first_to_go):
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


def _cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0


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


def deadline(deployment: Deployment) -> int:
    """Seconds in which a Deployment must make progress."""
    given = deployment.spec.progress_deadline_seconds
    return 600 if given is None else given


def status(deployment: Deployment, pods: Sequence[Pod], now: str) -> DeploymentStatus:
    """Counts and the conditions Available and Progressing. A condition keeps its times while its status stays."""
    wanted = replicas(deployment)
    mark = template_hash(deployment.spec.template)
    alive = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    ready = sum(is_ready(pod) for pod in alive)
    updated = sum(pod.metadata.labels.get(HASH) == mark for pod in alive)
    _, unavailable = _bounds(deployment, wanted)
    available = ready >= wanted - unavailable
    found = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=len(alive), updated_replicas=updated, ready_replicas=ready, available_replicas=ready,
        unavailable_replicas=max(0, wanted - ready),
        terminating_replicas=len(pods) - len(alive) or None,
    )  # fmt: skip
    word = "has" if available else "does not have"
    reason = "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable"
    conditions = [
        _condition(deployment, "Available", available, reason, f"Deployment {word} minimum availability.", now),
        _progressing(deployment, found, now),
    ]
    return msgspec.structs.replace(found, conditions=conditions)


def _progressing(deployment: Deployment, found: DeploymentStatus, now: str) -> DeploymentCondition:
    """Once a template's pods were all there, scaling does not count as progress any more, as in Kubernetes."""
    wanted, name, before = replicas(deployment), deployment.metadata.name, deployment.status
    old = next((c for c in before.conditions if c.type == "Progressing"), None)
    complete = found.updated_replicas >= wanted and found.ready_replicas >= wanted
    was_complete = old is not None and old.reason == "NewReplicaSetAvailable" and found.updated_replicas == found.replicas
    if complete or was_complete:
        message = f'Deployment "{name}" has successfully progressed.'
        return _condition(deployment, "Progressing", True, "NewReplicaSetAvailable", message, now)
    counts = (found.updated_replicas, found.ready_replicas)
    moved = old is None or old.reason == "NewReplicaSetAvailable" or any(
        a > b for a, b in zip(counts, (before.updated_replicas, before.ready_replicas), strict=True)
    )  # fmt: skip
    if old is not None and not moved and _seconds(old.last_update_time, now) >= deadline(deployment):
        message = f'Deployment "{name}" has timed out progressing.'
        return _condition(deployment, "Progressing", False, "ProgressDeadlineExceeded", message, now)
    fresh = _condition(deployment, "Progressing", True, "ReplicaSetUpdated", f'Deployment "{name}" is progressing.', now)
    return msgspec.structs.replace(fresh, last_update_time=now) if moved else fresh


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _condition(deployment: Deployment, type_: str, true: bool, reason: str, message: str, now: str) -> DeploymentCondition:
    word = "True" if true else "False"
    old = next((c for c in deployment.status.conditions if c.type == type_), None)
    since = old.last_transition_time if old and old.status == word else now
    changed = old.last_update_time if old and (old.status, old.reason, old.message) == (word, reason, message) else now
    return DeploymentCondition(type_, word, reason, message, changed, since)
