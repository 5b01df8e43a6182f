"""One pod: its containers, its port, its folder, its status and its place in the EndpointSlices, from start to removal."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import msgspec
from anyio.abc import TaskGroup

from embedded.node import podstatus
from embedded.node.container import ContainerRunner, Hooks
from embedded.node.mirror import Mirror
from embedded.node.prepare import Preparer, Supplies
from embedded.node.recorder import Recorder
from embedded.node.settings import Settings
from embedded.node.slices import Address, Slices
from embedded.node.traffic import Traffic
from kfn.api import kinds
from kfn.api.base import encode
from kfn.api.core import Container, Pod, PodStatus
from kfn.clock import timestamp
from kfn.kube.client import Client
from kfn.kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger(__name__)

GATHER = 0.02  # seconds in which changes of a pod's status are gathered into one write
LEAST_GRACE = 2.0  # seconds from SIGTERM to SIGKILL when draining has used up the grace period; the kubelet gives as much
LAST_WORDS = 1.0  # seconds for a container's last output to be written once its process is gone


@dataclass(frozen=True)
class Machine:
    """What all pods of the node share."""

    settings: Settings
    client: Client
    tasks: TaskGroup
    supplies: Supplies
    slices: Slices
    recorder: Recorder
    traffic: Traffic


class PodRunner:
    """Runs one pod. `on_change` is called, without waiting, whenever its status changed."""

    def __init__(self, machine: Machine, pod: Pod, on_change: Callable[["PodRunner"], None]) -> None:
        self.pod = pod
        self.stopping = False
        self.gone = anyio.Event()
        self._over = anyio.Event()
        self._removed = False
        self._draining: anyio.CancelScope | None = None
        self._deadline = 0.0  # of the grace period, once it stops
        self._machine = machine
        self._on_change = on_change
        self._started = timestamp()
        self._preparer = Preparer(machine.supplies, pod, self._refresh)
        meta = pod.metadata
        self._status: Mirror[PodStatus] = Mirror(
            machine.tasks, f"status of pod {meta.namespace}/{meta.name}", self._write_status, after=GATHER
        )
        self._init = [self._runner(c, "OnFailure" if self._restarts == "Always" else self._restarts) for c in pod.spec.init_containers]
        self._containers = [self._runner(c, self._restarts) for c in pod.spec.containers]

    @property
    def view(self) -> Pod:
        """The pod as it is now, ahead of what the API server has heard."""
        return self.pod

    def runner(self, container: str) -> ContainerRunner | None:
        return next((r for r in (*self._containers, *self._init) if r.container.name == container), None)

    async def run(self) -> None:
        """Until every container is over for good, or `stop` has ended them."""
        try:
            for runner in self._init:
                await runner.run()
                ended = runner.view.state.terminated
                if self.stopping or ended is None or ended.exit_code:
                    return
            async with anyio.create_task_group() as tasks:
                for runner in self._containers:
                    tasks.start_soon(runner.run)
        except Exception:
            log.exception("pod %s/%s failed", self.pod.metadata.namespace, self.pod.metadata.name)
        finally:
            self._over.set()

    async def stop(self, grace: float | None = None) -> None:
        """Terminating in the slices, wait for what is under way, SIGTERM, wait, SIGKILL, then remove the pod from the API server.

        A second call while it waits, by force or because the node stops, ends that wait.
        """
        if grace is None:
            own = self.pod.spec.termination_grace_period_seconds
            asked = self.pod.metadata.deletion_grace_period_seconds
            grace = float(asked if asked is not None else own if own is not None else self._machine.settings.grace)
        deadline = anyio.current_time() + grace
        if self.stopping:
            self._deadline = min(self._deadline, deadline)
            if self._draining is not None:
                self._draining.cancel()
            return
        self.stopping, self._deadline = True, deadline
        self._refresh()
        runners = (*self._containers, *self._init)
        for runner in runners:
            runner.retire()
        await self._drain(grace)
        self._machine.recorder.note(self.pod, "Normal", "Killing", "Stopping the pod's containers")
        left = max(self._deadline - anyio.current_time(), min(grace, LEAST_GRACE))
        async with anyio.create_task_group() as tasks:
            for runner in runners:
                tasks.start_soon(runner.stop, left)
        with anyio.move_on_after(LAST_WORDS):
            await self._over.wait()
        await self._remove()

    async def _drain(self, grace: float) -> None:
        """A container may die at SIGTERM with requests in its hands, so it comes when there are none, or when their time is over."""
        meta = self.pod.metadata
        with anyio.CancelScope() as self._draining:
            if grace and not await self._machine.traffic.drained(meta.namespace, meta.name, grace):
                log.warning("pod %s/%s is ended with requests under way: %g s are over", meta.namespace, meta.name, grace)
        self._draining = None

    async def _remove(self) -> None:
        meta = self.pod.metadata
        self._removed = True
        await self._machine.slices.remove(self.pod)
        try:
            await self._machine.client.delete(kinds.POD, meta.name, meta.namespace, grace_seconds=0, uid=meta.uid)
        except (NotFound, Conflict):
            pass
        except KubeError as error:
            log.warning("pod %s/%s is stopped but cannot be removed: %s", meta.namespace, meta.name, error)
        await self._preparer.give_back()
        self.gone.set()

    @property
    def _restarts(self) -> str:
        return self.pod.spec.restart_policy or "Always"

    def _runner(self, container: Container, restart_policy: str) -> ContainerRunner:
        meta, preparer = self.pod.metadata, self._preparer

        def note(kind: str, reason: str, message: str) -> None:
            self._machine.recorder.note(self.pod, kind, reason, message)

        hooks = Hooks(preparer.start, self._refresh, note, preparer.command, preparer.oom_killed)
        path = self._machine.settings.logs / meta.namespace / meta.name / f"{container.name}.log"
        return ContainerRunner(self._machine.settings, container, restart_policy, path, hooks)

    def _refresh(self) -> None:
        """Something changed: slices first, because requests wait for them, then the pod's status, then who asked to know."""
        now = timestamp()
        views, init = [r.view for r in self._containers], [r.view for r in self._init]
        status = podstatus.build(self.pod, views, init, self._machine.settings.address, self._started, now)
        meta = self.pod.metadata
        if self.stopping and not meta.deletion_timestamp:
            meta = msgspec.structs.replace(meta, deletion_timestamp=now)
        changed = status != self.pod.status
        self.pod = msgspec.structs.replace(self.pod, status=status, metadata=meta)
        ready = any(c.type == "Ready" and c.status == "True" for c in status.conditions)
        serving = self._serving()
        if serving and serving.port and not self._removed:
            ip = self._machine.settings.address
            address = Address(ip, serving.port, ready and not self.stopping, self.stopping, ready)
            self._machine.slices.publish(self.pod, address)
        if changed:
            self._status.set(status)
        self._on_change(self)

    def _serving(self) -> ContainerRunner | None:
        """The container that carries the traffic: the first that declares a port, else the first."""
        return next((r for r in self._containers if r.container.ports), self._containers[0] if self._containers else None)

    async def _write_status(self, status: PodStatus) -> None:
        meta = self.pod.metadata
        await self._machine.client.patch(kinds.POD, meta.name, meta.namespace, {"status": encode(status)}, subresource="status")
