"""What a Revision's pods say: it works, it fails and why, or it waits and for what. Pure.

The words come from the cluster: exit codes, waiting reasons, pod conditions, and the last log lines, which the kubelet (and the
local node) puts into the termination message.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.revision.advice import advised
from kfn.api import core

# A container that waits for one of these waits in vain until somebody changes something.
HOPELESS = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)

# What the kubelet tells of a pod whose containers wait without a reason. It goes on trying, and so may all but a missing thing pass.
NEWS = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "FailedPrepareDynamicResources", "NetworkNotReady"}
)
MISSING = re.compile(r"not found|references non-existent")
QUIET = 2.0  # seconds after which a pod that is not started is asked why
QUIET_AGAIN = 5.0
HEARD = 20.0  # seconds in which every kubelet has told again what it could not tell: they try every 10 s

# A pod that ended for one of these says nothing about the function; its Deployment makes another.
DISRUPTIONS = frozenset({"Evicted", "Preempting", "Shutdown", "NodeShutdown", "NodeLost", "NodeAffinity", "Terminated"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """`failure` and `waiting` are (reason, message). `unready_at` is when a silent process will count as a failure;
    `silent` names the pod of one that does, whose log may tell more than the pod. `quiet` is a pod that does not start and does not
    say why, whose events may, and `quiet_at` when one will be that."""

    ready: int = 0
    failure: tuple[str, str] | None = None
    waiting: tuple[str, str] | None = None
    unready_at: datetime | None = None
    silent: str = ""
    quiet: core.Pod | None = None
    quiet_at: datetime | None = None


def examine(
    pods: Sequence[core.Pod],
    patience: float,
    now: datetime,
    log: str = "",
    events: Sequence[core.Event] = (),
    since: datetime | None = None,
) -> Evidence:
    """Look at every pod that is not on its way out. A process may live without being ready for `patience` seconds; `log` is
    the end of what it has written, and `events` are those of the quiet pod, where somebody has looked. `since` is when the API server was
    last found again: what became ready while it was away is told by the kubelets a little later."""
    alive = [pod for pod in pods if not pod.metadata.deletion_timestamp]
    ready = sum(1 for pod in alive if is_ready(pod))
    failures = [found for pod in alive if (found := _failure(pod))]
    placing = [found for pod in alive if (found := _unschedulable(pod))]
    waiting = [found for found in placing if not MISSING.search(found[1])]
    failures += [found for found in placing if MISSING.search(found[1])]
    quiet = [] if failures or ready else sorted(((at, pod) for pod in alive if (at := _quiet_since(pod))), key=lambda found: found[0])
    news = _news(events)
    if quiet and news is not None:
        (failures if news[0] == "FailedMount" and MISSING.search(news[1]) else waiting).append(news)
    silent = [] if failures or ready else [(at, pod) for pod in alive if (at := _silent_until(pod, patience, since)) is not None]
    silent.sort(key=lambda found: found[0])
    hangs = silent[0][1] if silent and silent[0][0] <= now else None
    if hangs is not None:
        failures = [_silence(hangs, (now - silent[0][0]).total_seconds() + patience, log)]
    asked = quiet[0][1] if quiet and quiet[0][0] <= now else None
    return Evidence(
        ready=ready,
        failure=_with_advice(failures),
        waiting=_with_advice(waiting),
        quiet=asked,
        quiet_at=None if not quiet else quiet[0][0] if asked is None else now + timedelta(seconds=QUIET_AGAIN),
        unready_at=silent[0][0] if silent and hangs is None else None,
        silent=hangs.metadata.name if hangs is not None else "",
    )


def _with_advice(found: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    return (found[0][0], advised(*found[0])) if found else None


def _quiet_since(pod: core.Pod) -> datetime | None:
    """When a pod that has a node and no container that says anything is to be asked why."""
    placed = next((c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "True"), None)
    if placed is None or pod.status.phase != "Pending":
        return None
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waits = status.state.waiting
        if waits is None or waits.reason not in ("", "ContainerCreating", "PodInitializing"):
            return None
    since = parse_time(placed.last_transition_time)
    return since + timedelta(seconds=QUIET) if since else None


def _news(events: Sequence[core.Event]) -> tuple[str, str] | None:
    """The newest of a pod's events if it says what is being waited for."""
    told = [e for e in events if e.reason in NEWS or e.reason in ("Pulling", "Pulled")]
    newest = max(told, key=lambda e: e.last_timestamp or e.event_time, default=None)
    # It passes in a moment: the kubelet has not heard of a ConfigMap or Secret that is there.
    if newest is None or newest.reason == "Pulled" or "failed to sync" in newest.message:
        return None
    return newest.reason, newest.message


def is_ready(pod: core.Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def _failure(pod: core.Pod) -> tuple[str, str] | None:
    if is_ready(pod) or (pod.status.phase == "Failed" and pod.status.reason in DISRUPTIONS):
        return None
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        state = status.state
        if state.waiting is not None and state.waiting.reason in HOPELESS:
            return state.waiting.reason, state.waiting.message or f'The container "{status.name}" cannot start: {state.waiting.reason}.'
        ended = state.terminated or status.last_state.terminated
        if ended is not None and not status.ready and not _finished_init(pod, status, ended):
            return _exit(pod, status, ended)
    if pod.status.phase == "Failed":
        return pod.status.reason or "PodFailed", pod.status.message or f'The pod "{pod.metadata.name}" failed.'
    return None


def _finished_init(pod: core.Pod, status: core.ContainerStatus, ended: core.ContainerStateTerminated) -> bool:
    return ended.exit_code == 0 and any(status.name == c.name for c in pod.spec.init_containers)


def _exit(pod: core.Pod, status: core.ContainerStatus, ended: core.ContainerStateTerminated) -> tuple[str, str]:
    said = ended.message.strip()
    if ended.reason == "OOMKilled":
        limit = next((c.resources.limits.get("memory") for c in pod.spec.containers if c.name == status.name and c.resources), None)
        more = f"than its limit of {limit}: raise resources.limits.memory" if limit else "than its node has: set resources.limits.memory"
        return f"ExitCode{ended.exit_code}", f"Container failed with: it was killed because it used more memory {more}. {said}".strip()
    if not said:
        why = f" ({ended.reason})" if ended.reason not in ("", "Error", "Completed") else ""
        said = f"it exited with code {ended.exit_code}{why} and wrote nothing to its log"
    if ended.reason in ("StartError", "ContainerCannotRun"):
        said = advised(ended.reason, said)
    return f"ExitCode{ended.exit_code}", f"Container failed with: {said}"


def _unschedulable(pod: core.Pod) -> tuple[str, str] | None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason or "Unschedulable", condition.message
    return None


def _silent_until(pod: core.Pod, patience: float, since: datetime | None) -> datetime | None:
    """When a pod that runs but is not ready has been so for too long. A startup probe has its own bound, kept by the kubelet."""
    statuses = pod.status.container_statuses
    if is_ready(pod) or not statuses or any(s.state.running is None for s in statuses):
        return None
    if any(c.startup_probe is not None for c in pod.spec.containers) and not all(s.started for s in statuses):
        return None
    started = [at for s in statuses if s.state.running and (at := parse_time(s.state.running.started_at))]
    # One that was ready and is not any more gets the same time from then on.
    started += [at for c in pod.status.conditions if c.type == "Ready" and started and (at := parse_time(c.last_transition_time))]
    if not started:
        return None
    due = max(started) + timedelta(seconds=patience)
    return max(due, since + timedelta(seconds=HEARD)) if since else due


def _silence(pod: core.Pod, lived: float, log: str) -> tuple[str, str]:
    said = [c.message for type in ("ContainersReady", "Ready") for c in pod.status.conditions if c.type == type and c.message]
    return "ContainerNotReady", f"The container runs but is not ready after {lived:.0f} s: {said[0] if said else 'its probe fails'}" + (
        f". Its log ends with: {log}" if log else ""
    )


def parse_time(text: str) -> datetime | None:
    """A Kubernetes timestamp; None when there is none or it cannot be read."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
