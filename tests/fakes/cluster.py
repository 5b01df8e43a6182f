"""The rest of a cluster, in memory, on a `FakeApi`: a Deployment controller and a kubelet whose processes do as they are told."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from kfn.api import core, kinds, names
from kfn.api.meta import ObjectMeta
from kfn.clock import timestamp
from tests.fakes.kube import FakeApi

RUNNING = core.ContainerState(running=core.ContainerStateRunning())


class FakeCluster:
    """Plays one pod a Deployment, when a test says so."""

    def __init__(self, api: FakeApi, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now

    def works(self, revision: str) -> None:
        """An instance of the revision becomes ready."""
        self._pod(revision, core.ContainerStatus(ready=True, started=True, state=self._since_now()), ready="True")

    def crashes(self, revision: str, code: int = 1, log: str = "boom") -> None:
        """An instance exits and is to be restarted."""
        ended = core.ContainerStateTerminated(exit_code=code, reason="Error", message=log)
        waiting = core.ContainerState(waiting=core.ContainerStateWaiting("CrashLoopBackOff", "back-off 10s restarting"))
        status = core.ContainerStatus(restart_count=1, state=waiting, last_state=core.ContainerState(terminated=ended))
        self._pod(revision, status, ready="False")

    def waits(self, revision: str, reason: str, message: str = "") -> None:
        """The container cannot be started, for a reason in the kubelet's words."""
        status = core.ContainerStatus(state=core.ContainerState(waiting=core.ContainerStateWaiting(reason, message)))
        self._pod(revision, status, ready="False")

    def is_silent(self, revision: str, message: str = "nothing listens on port 8080") -> None:
        """The process lives and does not become ready."""
        self._pod(revision, core.ContainerStatus(state=self._since_now()), ready="False", message=message)

    def has_no_room(self, revision: str) -> None:
        """The pod cannot be placed."""
        self._pod(revision, None, ready="", scheduled="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")

    def sleeps(self, revision: str) -> None:
        """The autoscaler takes the revision to zero."""
        self._api.remove(kinds.POD, _pod_name(revision))
        self.scale(revision, 0)

    def scale(self, revision: str, replicas: int) -> None:
        deployment = self._api.the(kinds.DEPLOYMENT, names.deployment(revision))
        self._api.put(kinds.DEPLOYMENT, replace(deployment, spec=replace(deployment.spec, replicas=replicas)))

    def _since_now(self) -> core.ContainerState:
        return core.ContainerState(running=core.ContainerStateRunning(timestamp(self._now())))

    def _pod(self, revision: str, status: core.ContainerStatus | None, *, ready: str, message: str = "", scheduled: str = "") -> None:
        deployment = self._api.the(kinds.DEPLOYMENT, names.deployment(revision))
        template = deployment.spec.template
        conditions = []
        if ready:
            conditions += [core.PodCondition(type, ready, message=message) for type in ("Ready", "ContainersReady")]
        if scheduled:
            conditions.append(core.PodCondition("PodScheduled", "False", "Unschedulable", scheduled))
        statuses = [] if status is None else [replace(status, name=c.name, image=c.image) for c in template.spec.containers]
        self._api.put(
            kinds.POD,
            core.Pod(
                metadata=ObjectMeta(name=_pod_name(revision), namespace=deployment.metadata.namespace, labels=template.metadata.labels),
                spec=template.spec,
                status=core.PodStatus(phase="Running" if status else "Pending", conditions=conditions, container_statuses=statuses),
            ),
        )


def _pod_name(revision: str) -> str:
    return f"{revision}-pod"
