"""One pod: its containers, its port, its folder, its status and its place in the EndpointSlices, from start to removal."""

import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup

from embedded.node import environment, limits, podstatus, volumes
from embedded.node.cgroups import Cgroups
from embedded.node.container import ContainerRunner, Hooks, Start
from embedded.node.errors import BadPod, NodeError
from embedded.node.images import HINT, Images
from embedded.node.mirror import Mirror
from embedded.node.pipes import PipeReader
from embedded.node.pool import PLAIN, Pool
from embedded.node.ports import Ports
from embedded.node.recorder import Recorder
from embedded.node.settings import Settings
from embedded.node.slices import Address, Slices
from embedded.node.zygote import Launch
from kfn.api import kinds
from kfn.api.base import encode
from kfn.api.core import ConfigMap, Container, Pod, PodStatus, Secret
from kfn.clock import timestamp
from kfn.kube.client import Client
from kfn.kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger(__name__)

GATHER = 0.02  # seconds in which changes of a pod's status are gathered into one write
LAST_WORDS = 1.0  # seconds for a container's last output to be written once its process is gone


@dataclass(frozen=True)
class Machine:
    """What all pods of the node share."""

    settings: Settings
    client: Client
    tasks: TaskGroup
    images: Images
    pool: Pool
    ports: Ports
    slices: Slices
    recorder: Recorder
    base_env: Mapping[str, str]
    cgroups: Cgroups | None


class PodRunner:
    """Runs one pod. `on_change` is called, without waiting, whenever its status changed."""

    def __init__(self, machine: Machine, pod: Pod, on_change: Callable[["PodRunner"], None]) -> None:
        self.pod = pod
        self.stopping = False
        self.gone = anyio.Event()
        self._over = anyio.Event()
        self._removed = False
        self._machine = machine
        self._on_change = on_change
        self._started = timestamp()
        self._dir = machine.settings.pods / pod.metadata.uid
        self._ports: dict[str, int] = {}
        self._groups: dict[str, tuple[Path, int]] = {}  # with the number of processes killed for memory before this run
        self._volumes: dict[str, Path] | None = None
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
        """Out of the slices, SIGTERM, wait, SIGKILL, then remove the pod from the API server."""
        if self.stopping:
            return
        self.stopping = True
        self._refresh()
        if grace is None:
            own = self.pod.spec.termination_grace_period_seconds
            asked = self.pod.metadata.deletion_grace_period_seconds
            grace = float(asked if asked is not None else own if own is not None else self._machine.settings.grace)
        self._machine.recorder.note(self.pod, "Normal", "Killing", "Stopping the pod's containers")
        async with anyio.create_task_group() as tasks:
            for runner in (*self._containers, *self._init):
                tasks.start_soon(runner.stop, grace)
        with anyio.move_on_after(LAST_WORDS):
            await self._over.wait()
        await self._remove()

    async def _remove(self) -> None:
        meta = self.pod.metadata
        self._removed = True
        for port in self._ports.values():
            self._machine.ports.give_back(port)
        for group, _ in self._groups.values():
            if self._machine.cgroups:
                self._machine.cgroups.remove(group)
        await self._machine.slices.remove(self.pod)
        try:
            await self._machine.client.delete(kinds.POD, meta.name, meta.namespace, grace_seconds=0, uid=meta.uid)
        except (NotFound, Conflict):
            pass
        except KubeError as error:
            log.warning("pod %s/%s is stopped but cannot be removed: %s", meta.namespace, meta.name, error)
        if self._dir.exists():
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._dir, ignore_errors=True))
        self.gone.set()

    @property
    def _restarts(self) -> str:
        return self.pod.spec.restart_policy or "Always"

    def _runner(self, container: Container, restart_policy: str) -> ContainerRunner:
        recorder, meta = self._machine.recorder, self.pod.metadata
        hooks = Hooks(
            self._prepare, self._refresh, lambda kind, reason, message: recorder.note(self.pod, kind, reason, message), self._command,
            self._oom_killed,
        )  # fmt: skip
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

    async def _prepare(self, container: Container) -> Start:
        """Image, volumes and environment. Nothing here waits when the image is unpacked and no Secret or ConfigMap is named."""
        machine = self._machine
        command = (*container.command, *container.args)
        try:
            image = machine.images.prepared(container.image)
            if image is None:
                self._refresh()  # ContainerCreating: it takes a while
                image = await machine.images.prepare(container.image)
        except NodeError:
            if not container.command:
                raise
            image = None
        if image and not image.warmth and not container.command:
            raise BadPod(f"{container.image} is not a kfn function image and the container names no command. {HINT}")
        folders = await self._mounted()
        port = self._ports.setdefault(container.name, 0) or machine.ports.take()
        self._ports[container.name] = port
        base = {**machine.base_env, **machine.pool.marker, **(image.env if image else {}), **volumes.variables(folders)}
        base |= {"PORT": str(port), "KFN_HOST": machine.settings.address, "KFN_NAMESPACE": self.pod.metadata.namespace}
        if image and image.warmth:
            base["PYTHONPATH"] = ":".join(image.warmth.path)  # for what the function starts itself; the image's own paths are not here
        if image and image.source:
            base |= {"KFN_SOURCE": image.source} | ({"KFN_HANDLER": image.handler} if image.handler else {})
        secrets, config_maps = await self._referenced(environment.needs(container))
        env = environment.resolve(self.pod, container, machine.settings.address, base, secrets, config_maps)
        env |= {"PORT": str(port), "KFN_SPAWNED_AT": f"{time.time():.6f}"}
        cwd = container.working_dir or (image.source if image else "") or str(self._made_dir())
        argv = tuple(environment.expand(word, env) for word in command) if container.command else ()
        group = self._group(container)
        bounds = limits.rlimits(limits.of(container), machine.settings.open_files, in_cgroup=group is not None)
        warmth = PLAIN if argv or image is None or image.warmth is None else image.warmth
        path = (image.source,) if image and image.source else ()
        launch = Launch(self.pod.metadata.name, env, cwd, path, argv, bounds, (str(group / "cgroup.procs"),) if group else ())
        return Start(machine.pool.get(warmth), launch, port, f"{container.image}" if image is None else image.digest)

    def _group(self, container: Container) -> Path | None:
        """The container's cgroup, if it has limits and this machine lets us make one."""
        wanted, cgroups = limits.of(container), self._machine.cgroups
        if cgroups is None or wanted == limits.Limits():
            return None
        try:
            group = cgroups.make(f"{self.pod.metadata.uid}-{container.name}", wanted)
        except OSError as error:
            log.warning("container %s of pod %s gets no cgroup: %s", container.name, self.pod.metadata.name, error)
            return None
        self._groups[container.name] = (group, cgroups.oom_kills(group))
        return group

    def _oom_killed(self, container: Container) -> bool:
        group, before = self._groups.get(container.name, (None, 0))
        return group is not None and self._machine.cgroups is not None and self._machine.cgroups.oom_kills(group) > before

    async def _mounted(self) -> dict[str, Path]:
        if self._volumes is None:
            self._volumes = await volumes.materialise(self._machine.client, self.pod, self._dir) if self.pod.spec.volumes else {}
        return self._volumes

    def _made_dir(self) -> Path:
        self._dir.mkdir(parents=True, exist_ok=True)
        return self._dir

    async def _referenced(self, needs: environment.Needs) -> tuple[dict[str, Secret], dict[str, ConfigMap]]:
        secrets: dict[str, Secret] = {}
        config_maps: dict[str, ConfigMap] = {}
        namespace = self.pod.metadata.namespace
        try:
            for name in needs.secrets:
                try:
                    secrets[name] = await self._machine.client.get(kinds.SECRET, name, namespace)
                except NotFound:
                    pass
            for name in needs.config_maps:
                try:
                    config_maps[name] = await self._machine.client.get(kinds.CONFIG_MAP, name, namespace)
                except NotFound:
                    pass
        except KubeError as error:
            raise BadPod(f"its Secrets and ConfigMaps cannot be read: {error}") from error
        return secrets, config_maps

    async def _command(self, container: Container, argv: list[str]) -> int:
        """An exec probe: run in the container's surroundings; the exit code."""
        start = await self._prepare(container)
        output = PipeReader(lambda _: None)
        process = None
        try:
            zygote = self._machine.pool.get(PLAIN)
            process = await zygote.start(replace(start.launch, argv=tuple(argv)), output.write_fd, None)
            return (await process.gone()).exit_code
        finally:
            if process is not None:
                process.signal(signal.SIGKILL, group=True)
            output.close()

    async def _write_status(self, status: PodStatus) -> None:
        meta = self.pod.metadata
        await self._machine.client.patch(kinds.POD, meta.name, meta.namespace, {"status": encode(status)}, subresource="status")
