"""A pod's status, from what its containers are doing, shaped exactly as the kubelet shapes it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kfn.api.core import ContainerState, ContainerStateWaiting, ContainerStatus, Pod, PodCondition, PodIP, PodStatus

CREATING = ContainerState(waiting=ContainerStateWaiting("ContainerCreating"))


@dataclass(frozen=True, slots=True)
class View:
    """One container as it is now. `problem` says why it is not ready although it runs."""

    name: str
    image: str
    image_id: str = ""
    container_id: str = ""
    state: ContainerState = field(default=CREATING)
    last_state: ContainerState = field(default=ContainerState())
    ready: bool = False
    started: bool = False
    restarts: int = 0
    problem: str = ""
    over: bool = False  # ended, and will not be started again


def build(pod: Pod, views: Sequence[View], init: Sequence[View], ip: str, start_time: str, now: str) -> PodStatus:
    initialised = all(v.over and v.state.terminated and v.state.terminated.exit_code == 0 for v in init)
    ready = bool(views) and all(v.ready for v in views)
    phase = _phase(views, init)
    unready = [v.name for v in views if not v.ready]
    over = phase in ("Succeeded", "Failed")
    reason = "" if ready else "PodCompleted" if phase == "Succeeded" else "PodFailed" if phase == "Failed" else "ContainersNotReady"
    problems = "; ".join(v.problem for v in views if v.problem)
    message = "" if ready or over else problems or f"containers with unready status: [{' '.join(unready)}]"
    conditions = [
        ("Initialized", initialised, "" if initialised else "ContainersNotInitialized", ""),
        ("Ready", ready, reason, message),
        ("ContainersReady", ready, reason, message),
        ("PodScheduled", True, "", ""),
    ]
    return PodStatus(
        phase=phase,
        conditions=[_condition(pod, *c, now) for c in conditions],
        container_statuses=[_container(v) for v in views],
        init_container_statuses=[_container(v) for v in init],
        pod_ip=ip, pod_ips=[PodIP(ip)], host_ip=ip, start_time=start_time,
    )  # fmt: skip


def _phase(views: Sequence[View], init: Sequence[View]) -> str:
    if any(v.over and v.state.terminated and v.state.terminated.exit_code for v in init):
        return "Failed"
    if views and all(v.over for v in views):
        return "Failed" if any(v.state.terminated and v.state.terminated.exit_code for v in views) else "Succeeded"
    begun = all(v.state.running or v.state.terminated or v.last_state.terminated for v in views)
    return "Running" if begun and views else "Pending"


def _container(view: View) -> ContainerStatus:
    return ContainerStatus(
        name=view.name, image=view.image, image_id=view.image_id, container_id=view.container_id, ready=view.ready,
        started=view.started, restart_count=view.restarts, state=view.state, last_state=view.last_state,
    )  # fmt: skip


def _condition(pod: Pod, type_: str, true: bool, reason: str, message: str, now: str) -> PodCondition:
    word = "True" if true else "False"
    old = next((c for c in pod.status.conditions if c.type == type_), None)
    since = old.last_transition_time if old and old.status == word else now
    return PodCondition(type_, word, reason, message, since)
