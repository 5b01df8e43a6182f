"""What is to be done about one Build: from the Build, its Job, its pod and the queue to a status and at most one write. Pure.

Every step can be lost by a crash after it: the Job's name follows from the Build and the attempt, and the status from what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from builder.cluster import manifest, wire
from builder.cluster.queue import Place, over
from builder.cluster.settings import Settings
from kfn.api import batch, conditions
from kfn.api.batch import Job
from kfn.api.build import Build, BuildStatus
from kfn.api.core import ContainerStateTerminated, Pod
from kfn.api.meta import Condition
from kfn.clock import timestamp

TRANSIENT = 75
REFUSED_AGAIN = 30.0  # seconds
_LOG_LINE = 400
_LOG_LINES_BYTES = 16384


@dataclass(frozen=True, slots=True)
class Seen:
    """`job` is that of the present attempt. `lost` says that the Job which the status names is surely gone. `log` is the end of the pod's
    log, looked for once the Job is over."""

    build: Build
    place: Place
    job: Job | None = None
    pod: Pod | None = None
    lost: bool = False
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` and `delete` come before the status is written; `again_after` is in seconds."""

    status: BuildStatus
    create: Job | None = None
    delete: Job | None = None
    again_after: float | None = None


def attempt(build: Build) -> int:
    return max(build.status.attempts, 1)


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    build, job = seen.build, seen.job
    status = replace(build.status, observed_generation=build.metadata.generation)
    if over(build):
        return Plan(status, delete=job if job is not None and _ours(job, build) and not batch.ended(job) else None)
    if job is not None and not _ours(job, build):
        return _ended(status, build, "JobConflict", f"Job {job.metadata.name} is there and belongs to something else; delete it", now)
    if job is None:
        return _without_job(seen, status, settings, now)
    status = replace(
        status, job=job.metadata.name, attempts=attempt(build), queue_position=0, start_time=status.start_time or timestamp(now)
    )
    if batch.ended(job):
        return _over(seen, job, status, settings, now)
    if build.spec.cancel:
        return Plan(_mark(status, "Cancelling", "its Job is being deleted", now), delete=None if job.metadata.deletion_timestamp else job)
    left = _left(job, build, settings, now)
    if left <= 0:
        said = f"it did not end in {build.spec.timeout_seconds} s. {_stuck(seen)}".strip()
        return Plan(_ended(status, build, "Timeout", said, now).status, delete=job)
    return Plan(_mark(status, *_progress(seen), now), again_after=left)


def refused(build: Build, message: str, now: datetime) -> Plan:
    """The API server does not take the Job: a quota, a policy. It may some time later."""
    return Plan(_mark(build.status, "JobRefused", message, now), again_after=REFUSED_AGAIN)


def _without_job(seen: Seen, status: BuildStatus, settings: Settings, now: datetime) -> Plan:
    build, place = seen.build, seen.place
    started = bool(status.job)
    if seen.lost and (result := _result(seen)):
        return _told(result, seen, status, settings, now)  # it had ended, and was quicker than whoever deleted its Job
    if build.spec.cancel:
        if started and not seen.lost:
            return Plan(status, again_after=1.0)
        said = (
            "it was cancelled while it ran; what it had pushed by then has no tag unless it had ended" if started else "it had not started"
        )
        return _ended(status, build, "Cancelled", said, now)
    if started and seen.lost:
        return _ended(status, build, "JobDeleted", f"Job {status.job} was deleted before it ended; create another Build", now)
    if started:
        return Plan(status, again_after=1.0)  # the copy of the Jobs is behind
    if place.refused:
        return _ended(status, build, place.refused, place.why, now)
    if place.position:
        return Plan(_mark(replace(status, queue_position=place.position), "Queued", f"position {place.position}: {place.why}", now))
    pause = _pause(build, settings, now)
    if pause > 0:
        return Plan(status, again_after=pause)
    job = manifest.job(build, attempt(build), settings)
    started_at = status.start_time or timestamp(now)
    status = replace(status, job=job.metadata.name, attempts=attempt(build), queue_position=0, start_time=started_at)
    return Plan(
        _mark(status, "Starting", "its Job has been created", now), create=job, again_after=build.spec.timeout_seconds + settings.slack
    )


def _over(seen: Seen, job: Job, status: BuildStatus, settings: Settings, now: datetime) -> Plan:
    """The Job has ended: what it told, or what can be known without."""
    result = _result(seen)
    if result is None and seen.build.spec.cancel:
        return _ended(status, seen.build, "Cancelled", "it was cancelled before it could say anything", now)
    end = batch.ended(job)
    lost = result is None and end is not None and end.type == "Complete" and _terminated(seen.pod) is None
    if lost and status.attempts < settings.attempts:
        # It did succeed, and where its pod is gone nothing tells with which digest: everything is cached, so it is told at once.
        return _again(status, "its Job has succeeded, and the result was lost with its pod", settings, now)
    if result is None:
        return _ended(_with_log(status, seen), seen.build, *_untold(seen, job), now)
    return _told(result, seen, status, settings, now)


def _told(result: wire.Result, seen: Seen, status: BuildStatus, settings: Settings, now: datetime) -> Plan:
    """What the runner itself said."""
    build = seen.build
    status = replace(
        status,
        exit_code=result.code,
        phases=list(result.phases),
        cache_hits=result.cache_hits,
        warnings=list(result.warnings),
        commit=result.commit,
    )
    if result.result == wire.OK:
        done = replace(status, image=result.image, digest=result.digest, completion_time=timestamp(now))
        return Plan(replace(done, conditions=_conditions(status, conditions.TRUE, "", "", now)))
    status = _with_log(status, seen)
    if result.result == wire.CANCELLED and build.spec.cancel:
        return _ended(status, build, "Cancelled", result.message, now)
    if result.code == TRANSIENT and status.attempts < settings.attempts and not build.spec.cancel:
        return _again(status, result.message, settings, now)
    return _ended(status, build, result.reason or "Failed", result.message, now)


def _again(status: BuildStatus, why: str, settings: Settings, now: datetime) -> Plan:
    again = replace(status, attempts=status.attempts + 1, job="")
    said = f"attempt {status.attempts} of {settings.attempts}: {why}"
    return Plan(_mark(again, "Retrying", said, now), again_after=settings.retry_after)


def _result(seen: Seen) -> wire.Result | None:
    """From the termination message, else from the last line of the log."""
    state = _terminated(seen.pod)
    for text in (state.message if state else "", *reversed(seen.log[-3:])):
        if text and (found := wire.read_result(text, seen.build)):
            if state and found.result == wire.OK and state.exit_code:
                continue  # it said ok and was ended by something else
            return found
    return None


def _untold(seen: Seen, job: Job) -> tuple[str, str]:
    """A reason and a message for a Job whose runner said nothing."""
    end, state = batch.ended(job), _terminated(seen.pod)
    if end is not None and end.reason == "DeadlineExceeded":
        return "Timeout", f"it did not end in {seen.build.spec.timeout_seconds} s. {_stuck(seen)}".strip()
    if state is not None and state.reason == "OOMKilled":
        return "OutOfMemory", "the builder was killed for using more memory than its limit; raise spec.resources.limits.memory"
    if state is not None and state.exit_code in (137, 143):
        return "Killed", f"the builder was killed (exit code {state.exit_code}); create another Build"
    if seen.pod is not None and seen.pod.status.reason:
        return seen.pod.status.reason, seen.pod.status.message or "the pod was ended by its node"
    if state is None and end is not None and end.type == "Failed" and end.reason not in ("", "BackoffLimitExceeded"):
        return end.reason, end.message
    if state is not None:
        return "Failed", f"the builder ended with exit code {state.exit_code} and said nothing more"
    return "ResultLost", "the Job has ended and its pod is gone, so nothing tells how; create another Build"


def _progress(seen: Seen) -> tuple[str, str]:
    pod, secrets = seen.pod, manifest.secrets(seen.build.spec)
    if pod is None or pod.status.phase in ("", "Pending"):
        with_them = f" (it needs {', '.join(f'Secret {name}' for name in secrets)})" if secrets else ""
        return "Starting", _waiting(pod) or f"its pod is being started{with_them}"
    return "Building", f"in pod {pod.metadata.name}"


def _stuck(seen: Seen) -> str:
    """Why a build has not ended: its pod has not even started, perhaps for want of a Secret, of which only an event tells."""
    known, secrets = conditions.find(seen.build.status.conditions, "Succeeded"), manifest.secrets(seen.build.spec)
    if known is None or known.reason != "Starting" or not secrets or _waiting(seen.pod):
        return _waiting(seen.pod)
    return f"Its pod did not start. Are there the Secrets {', '.join(secrets)} in namespace {seen.build.metadata.namespace}?"


def _waiting(pod: Pod | None) -> str:
    """Why a pod does not run, as its node or the scheduler says it."""
    if pod is None:
        return ""
    for container in pod.status.container_statuses:
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
            return f"The pod waits: {waiting.reason}: {waiting.message}"[:500]
    unscheduled = next((c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False"), None)
    return f"The pod waits: {unscheduled.message}"[:500] if unscheduled else ""


def _terminated(pod: Pod | None) -> ContainerStateTerminated | None:
    statuses = pod.status.container_statuses if pod is not None else []
    return next((c.state.terminated for c in statuses if c.name == manifest.CONTAINER), None)


def _with_log(status: BuildStatus, seen: Seen) -> BuildStatus:
    return replace(status, log_tail=bounded_log(seen.log))


def bounded_log(lines: Sequence[str]) -> list[str]:
    """The last lines, none too long, not too many together: a status is read by everybody who lists."""
    kept: list[str] = []
    size = 0
    for line in reversed(lines):
        cut = "".join(c if c.isprintable() else "?" for c in line[:_LOG_LINE])
        size += len(cut.encode("utf-8", "replace"))
        if size > _LOG_LINES_BYTES:
            break
        kept.append(cut)
    return kept[::-1]


def _ended(status: BuildStatus, build: Build, reason: str, message: str, now: datetime) -> Plan:
    ended = replace(status, completion_time=timestamp(now), queue_position=0)
    return Plan(replace(ended, conditions=_conditions(status, conditions.FALSE, reason, message, now)))


def _mark(status: BuildStatus, reason: str, message: str, now: datetime) -> BuildStatus:
    return replace(status, conditions=_conditions(status, conditions.UNKNOWN, reason, message, now))


def _conditions(status: BuildStatus, value: str, reason: str, message: str, now: datetime) -> list[Condition]:
    return conditions.BUILD.mark(status.conditions, "Succeeded", value, reason, message, now)


def _ours(job: Job, build: Build) -> bool:
    return any(ref.controller and ref.uid == build.metadata.uid for ref in job.metadata.owner_references)


def _left(job: Job, build: Build, settings: Settings, now: datetime) -> float:
    """Seconds until the Job must have ended, twice the slack after its own deadline: then nobody looks after it."""
    since = parse_time(job.metadata.creation_timestamp) or now
    return build.spec.timeout_seconds + 2 * settings.slack - (now - since).total_seconds()


def _pause(build: Build, settings: Settings, now: datetime) -> float:
    """Seconds that a second attempt still waits."""
    found = conditions.find(build.status.conditions, "Succeeded")
    since = parse_time(found.last_transition_time) if found is not None and found.reason == "Retrying" else None
    return settings.retry_after - (now - since).total_seconds() if since else 0.0


def parse_time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
