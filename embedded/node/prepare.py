"""What a container needs before it can start: image, volumes, environment, port, limits. One `Preparer` a pod, which also gives
everything back. Starting and watching are `container.py`'s."""

import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import anyio

from embedded.node import environment, limits, volumes
from embedded.node.cgroups import Cgroups
from embedded.node.container import Start
from embedded.node.errors import BadPod, NodeError
from embedded.node.images import HINT, Images, Prepared
from embedded.node.pipes import PipeReader
from embedded.node.pool import PLAIN, Pool
from embedded.node.ports import Ports, is_free
from embedded.node.process import Launch
from embedded.node.settings import Settings
from kfn.api import kinds
from kfn.api.core import ConfigMap, Container, Pod, Secret
from kfn.api.kinds import Kind
from kfn.kube.client import Client
from kfn.kube.errors import KubeError, NotFound

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Supplies:
    """Where containers of this node get what they need."""

    settings: Settings
    client: Client
    images: Images
    pool: Pool
    ports: Ports
    base_env: Mapping[str, str]
    cgroups: Cgroups | None


class Preparer:
    """For one pod. `waiting` is called before something that takes long."""

    def __init__(self, supplies: Supplies, pod: Pod, waiting: Callable[[], None]) -> None:
        self._supplies = supplies
        self._pod = pod
        self._waiting = waiting
        self._dir = supplies.settings.pods / pod.metadata.uid
        self._ports: dict[str, int] = {}
        self._groups: dict[str, tuple[Path, int]] = {}  # with the number of processes killed for memory before this run
        self._volumes: dict[str, Path] | None = None

    async def start(self, container: Container, *, running: bool = False) -> Start:
        """Everything for one start. Nothing here waits when the image is unpacked and no Secret or ConfigMap is named."""
        supplies = self._supplies
        image = await self._image(container)
        env = await self._environment(container, image, running)
        words = (*container.command, *container.args) if container.command else ()
        argv = tuple(environment.expand(word, env) for word in words)
        if not argv and image and image.command:
            argv = (*image.command, *(environment.expand(word, env) for word in container.args))
        group = self._group(container)
        bounds = limits.rlimits(limits.of(container), supplies.settings.open_files, in_cgroup=group is not None)
        warmth = PLAIN if argv or image is None or image.warmth is None else image.warmth
        source = image.source if image else ""
        launch = Launch(
            self._pod.metadata.name, env, container.working_dir or source or self._own_folder(), (source,) if source else (), argv, bounds,
            (str(group / "cgroup.procs"),) if group else (),
        )  # fmt: skip
        return Start(supplies.pool.get(warmth), launch, self._ports[container.name], image.digest if image else container.image)

    async def command(self, container: Container, argv: list[str]) -> int:
        """Run an exec probe in the container's surroundings; its exit code. Cancelling kills it."""
        start = await self.start(container, running=True)
        output = PipeReader(lambda _: None)
        process = None
        try:
            process = await self._supplies.pool.get(PLAIN).start(replace(start.launch, argv=tuple(argv)), output.write_fd, None)
            return (await process.gone()).exit_code
        finally:
            if process is not None:
                process.signal(signal.SIGKILL, group=True)
            output.close()

    def oom_killed(self, container: Container) -> bool:
        group, before = self._groups.get(container.name, (None, 0))
        return group is not None and Cgroups.oom_kills(group) > before

    async def give_back(self) -> None:
        for port in self._ports.values():
            self._supplies.ports.give_back(port)
        for group, _ in self._groups.values():
            Cgroups.remove(group)
        if self._dir.exists():
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._dir, ignore_errors=True))

    async def _image(self, container: Container) -> Prepared | None:
        """None: there is no such image here, and none is needed because the container says what to run."""
        images = self._supplies.images
        try:
            image = images.prepared(container.image)
            if image is None:
                self._waiting()
                image = await images.prepare(container.image)
        except NodeError:
            if not container.command:
                raise
            return None
        if not image.runs and not container.command:
            raise BadPod(f"{container.image} is not a kfn function image and the container names no command. {HINT}")
        return image

    async def _environment(self, container: Container, image: Prepared | None, running: bool) -> dict[str, str]:
        supplies, address = self._supplies, self._supplies.settings.address
        if self._volumes is None:
            self._volumes = await volumes.materialise(supplies.client, self._pod, self._dir) if self._pod.spec.volumes else {}
        port = {"PORT": str(self._port(container, address, running))}
        env = {**supplies.base_env, **supplies.pool.marker, **(image.env if image else {}), **volumes.variables(self._volumes), **port}
        env |= {"KFN_HOST": address, "KFN_NAMESPACE": self._pod.metadata.namespace}
        if image and image.warmth:
            env["PYTHONPATH"] = ":".join(
                (*image.warmth.path, *image.warmth.deps)
            )  # for what the function starts itself: the image's own paths are not here
        if image and image.source:
            env |= {"KFN_SOURCE": image.source} | ({"KFN_HANDLER": image.handler} if image.handler else {})
        needed = environment.needs(container)
        secrets: dict[str, Secret] = {}
        config_maps: dict[str, ConfigMap] = {}
        if needed != environment.Needs():
            secrets = await self._objects(kinds.SECRET, needed.secrets)
            config_maps = await self._objects(kinds.CONFIG_MAP, needed.config_maps)
        env = environment.resolve(self._pod, container, address, env, secrets, config_maps)
        return env | port | volumes.at_nats(self._volumes) | {"KFN_SPAWNED_AT": f"{time.time():.6f}"}

    def _port(self, container: Container, address: str, running: bool) -> int:
        """The container's port, the same after a restart unless somebody else listens there by then."""
        held = self._supplies.ports
        port = self._ports.get(container.name, 0)
        if port and not running and not is_free(address, port):
            held.give_back(port)
            port = 0
        if not port:
            port = self._ports[container.name] = held.take()
        return port

    async def _objects(self, kind: Kind[T], names: frozenset[str]) -> dict[str, T]:
        found: dict[str, T] = {}
        for name in names:
            try:
                found[name] = await self._supplies.client.get(kind, name, self._pod.metadata.namespace)
            except NotFound:
                pass
            except KubeError as error:
                raise BadPod(f"its {kind.singular} {name} cannot be read: {error}") from error
        return found

    def _group(self, container: Container) -> Path | None:
        """The container's cgroup, if it has limits and this machine lets us make one."""
        wanted, cgroups = limits.of(container), self._supplies.cgroups
        if cgroups is None or wanted == limits.Limits():
            return None
        try:
            group = cgroups.make(f"{self._pod.metadata.uid}-{container.name}", wanted)
        except OSError as error:
            log.warning("container %s of pod %s gets no cgroup: %s", container.name, self._pod.metadata.name, error)
            return None
        self._groups[container.name] = (group, cgroups.oom_kills(group))
        return group

    def _own_folder(self) -> str:
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadPod(f"the pod's folder cannot be made: {error}") from error
        return str(self._dir)
