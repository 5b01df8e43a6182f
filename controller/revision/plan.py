"""What a Revision's state is, from its Deployment and its pods. Pure.

Three rules differ from Knative's on purpose: a pod's error shows at once and not after the progress deadline; a cluster without room
is waited for and not given up; and an error seen on a later wake stays visible while scaled to zero, until an instance works again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from controller import marks, owner
from controller.marks import Mark
from controller.owner import Ownership
from controller.revision import resources
from controller.revision.advice import advised
from controller.revision.evidence import Evidence, examine, parse_time
from controller.revision.images import Trouble, name_of
from controller.settings import Settings
from kfn.api import conditions, core, names
from kfn.api.serving import ContainerDigest, Revision, RevisionStatus

RESOURCES = "ResourcesAvailable"
HEALTHY = "ContainerHealthy"
ACTIVE = "Active"
DEPLOYING = "Deploying"
RESOLVING = "ResolvingDigests"
_DIGEST = "@sha256:"
RETRY = timedelta(seconds=20)
PASSING = timedelta(seconds=10)  # a function that has worked is not failing because a pod is refused for so long: a quota may free itself
TRIES = 3  # a registry that does not answer has failed after so many


@dataclass(frozen=True, slots=True)
class Seen:
    """A Revision and what runs it. `foreign` names a child that is there and belongs to somebody else, `refused` says which one
    the API server did not take; `log` is the end of the log of the pod that `Plan.log_of` of an earlier look asked for, `events` those of
    `Plan.events_of`. `images` are
    those known by digest, by container; while some are still asked for, `resolving` is set, and `trouble` when that fails."""

    revision: Revision
    deployment: core.Deployment | None = None
    pods: Sequence[core.Pod] = ()
    foreign: str = ""
    refused: str = ""
    log: str = ""
    events: Sequence[core.Event] = ()
    followed_since: datetime | None = None  # without a break; kubelets, too, could not say anything before
    images: Mapping[str, str] = field(default_factory=dict)
    resolving: bool = False
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The status to show, when (in seconds) to look again although nothing changed, and the pods whose log or events would say more."""

    status: RevisionStatus
    look_again: float | None
    log_of: str = ""
    events_of: core.Pod | None = None
    retry_pods: bool = False  # tell the cluster to try again now to make pods: of itself it may wait for a quarter of an hour


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    revision, deployment = seen.revision, seen.deployment
    patience = resources.explicit_deadline(revision) or settings.initial_ready_timeout
    deadline = _deadline(revision, settings)
    overdue = deadline is not None and deadline <= now
    if overdue and not conditions.is_true(revision.status.conditions, RESOURCES):
        patience = 0.0  # the deadline counts from the Revision's creation: a process that started late has no more time than that
    evidence = examine(seen.pods, patience, now, seen.log, seen.events, seen.followed_since)
    said = [
        _resources_available(seen, evidence, overdue, now),
        _container_healthy(seen, evidence),
        _active(seen, evidence),
    ]
    status = replace(
        revision.status,
        observed_generation=revision.metadata.generation,
        conditions=marks.settle(conditions.REVISION, revision.status.conditions, said, now),
        container_statuses=_digests(revision.spec.containers, seen),
        init_container_statuses=_digests(revision.spec.init_containers, seen),
        actual_replicas=evidence.ready,
        desired_replicas=_wanted(deployment),
    )
    undecided = said[0].status == conditions.UNKNOWN or said[1].status == conditions.UNKNOWN
    refused = _pods_refused(deployment)
    retry_at = _retry_at(deployment, refused)
    coming = (
        refused.since + PASSING if refused else None, retry_at, now + RETRY if retry_at else None,
        evidence.unready_at, evidence.quiet_at, deadline if undecided else None,
    )  # fmt: skip
    due = [at for at in coming if at is not None and at > now]
    again = (min(due) - now).total_seconds() if due else None
    return Plan(status, again, evidence.silent, evidence.quiet, retry_pods=retry_at is not None and retry_at <= now)


def _resources_available(seen: Seen, evidence: Evidence, overdue: bool, now: datetime) -> Mark:
    deployment, before = seen.deployment, seen.revision.status.conditions
    if seen.foreign:
        return marks.false(RESOURCES, "NotOwned", f"There is an existing {seen.foreign} that we do not own.")
    if seen.refused:
        return marks.false(RESOURCES, "FailedCreate", advised("FailedCreate", seen.refused))
    if deployment is not None and owner.ownership(deployment.metadata, seen.revision) is not Ownership.OURS:
        return marks.unknown(RESOURCES, DEPLOYING, "An older Deployment of this name is being deleted.")
    if seen.resolving:
        return marks.unknown(RESOURCES, RESOLVING)
    if evidence.ready or (_born_asleep(seen.revision) and deployment is not None and not _wanted(deployment)):
        return marks.true(RESOURCES)
    refused = _pods_refused(deployment) if evidence.failure is None and not seen.pods else None
    had_worked = conditions.is_true(before, RESOURCES)
    if refused is not None and (not had_worked or refused.since + PASSING <= now):
        return marks.false(RESOURCES, refused.reason, refused.message)
    if had_worked:
        return marks.true(RESOURCES)
    if evidence.waiting is not None:
        return marks.unknown(RESOURCES, *evidence.waiting)
    unexplained = evidence.failure is None and not conditions.is_false(before, HEALTHY)
    for condition in deployment.status.conditions if deployment and unexplained else []:
        if condition.type == "Progressing" and condition.status == "False":
            return marks.false(RESOURCES, condition.reason or "ProgressDeadlineExceeded", condition.message)
    if overdue and unexplained:
        said = f"No instance became ready before the progress deadline.{_late(seen.pods)}"
        return marks.false(RESOURCES, "ProgressDeadlineExceeded", said)
    asleep = deployment is not None and not _wanted(deployment)
    if asleep and (old := conditions.find(before, RESOURCES)) and old.status == conditions.FALSE and old.reason != "NotOwned":
        return Mark(RESOURCES, old.status, old.reason, old.message)  # what is known stays visible until the next instance
    return marks.unknown(RESOURCES, DEPLOYING)


def _late(pods: Sequence[core.Pod]) -> str:
    """What the first of its pods is at, where that is known: nothing has failed, it only takes too long."""
    for pod in pods:
        waits = [s.state.waiting.reason for s in pod.status.container_statuses if s.state.waiting and s.state.waiting.reason]
        if not pod.metadata.deletion_timestamp:
            return f' The pod "{pod.metadata.name}" is {waits[0] if waits else pod.status.phase or "not started"}.'
    return ""


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    message: str
    since: datetime


def _pods_refused(deployment: core.Deployment | None) -> _Refusal | None:
    """What keeps the cluster from making pods at all: a quota, a policy, somebody's webhook."""
    for condition in deployment.status.conditions if deployment else []:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            reason = condition.reason or "FailedCreate"
            since = parse_time(condition.last_transition_time) or datetime.fromtimestamp(0, UTC)
            return _Refusal(reason, advised(reason, condition.message), since)
    return None


def _retry_at(deployment: core.Deployment | None, refused: _Refusal | None) -> datetime | None:
    """When to ask for the pods that were refused once more."""
    if deployment is None or refused is None or not _wanted(deployment):
        return None
    asked = parse_time(deployment.metadata.annotations.get(names.PODS_RETRIED, ""))
    return max(refused.since, asked or refused.since) + RETRY


def _container_healthy(seen: Seen, evidence: Evidence) -> Mark:
    revision, deployment = seen.revision, seen.deployment
    if seen.trouble is not None:
        said = f'Unable to fetch image "{seen.trouble.image}": {seen.trouble.why}'
        hopeless = seen.trouble.lasting or seen.trouble.failures >= TRIES
        return marks.false(HEALTHY, "ContainerMissing", said) if hopeless else marks.unknown(HEALTHY, RESOLVING, said)
    if seen.resolving:
        return marks.unknown(HEALTHY, RESOLVING)
    if evidence.ready:
        return marks.true(HEALTHY)
    if evidence.failure is not None:
        return marks.false(HEALTHY, *evidence.failure)
    asleep = deployment is not None and not _wanted(deployment)
    otherwise = marks.true(HEALTHY) if asleep and _born_asleep(revision) else marks.unknown(HEALTHY, DEPLOYING)
    return marks.as_it_was(revision.status.conditions, HEALTHY, otherwise)


def _active(seen: Seen, evidence: Evidence) -> Mark:
    deployment = seen.deployment
    if seen.resolving:
        return marks.unknown(ACTIVE, RESOLVING)
    if evidence.ready:
        return marks.true(ACTIVE)
    if deployment is not None and not _wanted(deployment):
        return marks.false(ACTIVE, "NoTraffic", "The target is not receiving traffic.")
    if evidence.failure is not None:
        return marks.false(ACTIVE, *evidence.failure)
    if evidence.waiting is not None:
        return marks.unknown(ACTIVE, *evidence.waiting)
    if refused := _pods_refused(deployment):
        return marks.unknown(ACTIVE, refused.reason, refused.message)
    return marks.unknown(ACTIVE, "Queued", "Requests to the target are being buffered as resources are provisioned.")


def _wanted(deployment: core.Deployment | None) -> int:
    if deployment is None:
        return 0
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def _born_asleep(revision: Revision) -> bool:
    """Whether the user asked for no instance at the start, so that readiness cannot wait for one."""
    try:
        return float(revision.metadata.annotations.get(resources.INITIAL_SCALE, "1")) == 0
    except ValueError:
        return False


def _deadline(revision: Revision, settings: Settings) -> datetime | None:
    created = parse_time(revision.metadata.creation_timestamp)
    return created + timedelta(seconds=resources.progress_deadline(revision, settings)) if created else None


def _digests(containers: Sequence[core.Container], seen: Seen) -> list[ContainerDigest]:
    """The digest in the image's name, else the one that is known, else the one that a pod reports to have pulled, else none."""
    running = {s.name: s.image_id for pod in seen.pods for s in (*pod.status.container_statuses, *pod.status.init_container_statuses)}
    return [
        ContainerDigest(name, c.image if _DIGEST in c.image else seen.images.get(name) or _pulled(running, name))
        for c in containers
        for name in (name_of(c),)
    ]


def _pulled(running: dict[str, str], container: str) -> str:
    image = running.get(container, "").removeprefix("docker-pullable://")
    return image if _DIGEST in image else ""
