"""The local node: plays Deployment controller and kubelet with processes of this machine. Read this first.

A Deployment changes -> `deployments.py` (decided in `plan.py`) makes a Pod -> `pod.py` -> `container.py` forks it from a warm
parent (`zygote.py`) -> `slices.py` tells where it is, `health.py` when it is ready.
"""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from embedded.node import cgroups, leftovers, logkeep, logread
from embedded.node.deployments import Deployments
from embedded.node.errors import NodeError
from embedded.node.images import Images
from embedded.node.logfile import LogFile
from embedded.node.pod import Machine, PodRunner
from embedded.node.pool import MARKER, Pool
from embedded.node.ports import Ports
from embedded.node.prepare import Supplies
from embedded.node.recorder import Recorder
from embedded.node.settings import Settings
from embedded.node.slices import MANAGED_BY, MANAGER, Slices
from embedded.node.traffic import NoTraffic, Traffic
from embedded.node.zygote import Zygote
from kfn.api import kinds, names
from kfn.api.core import Deployment, Pod
from kfn.kube.client import Client
from kfn.kube.errors import KubeError
from kfn.kube.informer import Informer
from kfn.load import RevisionKey

log = logging.getLogger(__name__)

REMOVAL = 2.0  # seconds beyond the grace period for what follows a process's end
TIDY = 60.0  # seconds between looks for zygotes, layers and logs that nothing needs
# All that a function sees of the environment of `kfn up`: what programs need to run at all. A container would see nothing of it, and
# what else is there (cloud keys, KUBECONFIG, proxies with passwords) is nobody's business; a function names what it needs.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "SSL_CERT_FILE",
)


class Node:
    """`run` until cancelled; then every instance is ended. `logs` serves what they wrote; `traffic` is asked before a pod is ended."""

    def __init__(self, client: Client, settings: Settings, traffic: Traffic | None = None) -> None:
        self._client = client
        self._settings = settings
        self._images = Images(settings)
        self._pods: dict[str, PodRunner] = {}  # by uid
        self._deployments = Informer(client, kinds.DEPLOYMENT)
        self._pod_informer = Informer(client, kinds.POD)
        self._services = Informer(client, kinds.CORE_SERVICE)
        self._traffic = traffic or NoTraffic()
        self._machine: Machine | None = None
        self._warming: set[str] = set()
        self.ready = anyio.Event()  # set when it has heard what there is to run

    async def run(self) -> None:
        settings = self._settings
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(settings.pods, ignore_errors=True))  # a crash may have left Secrets there
        for folder in (settings.layers, settings.logs, settings.pods):
            folder.mkdir(parents=True, exist_ok=True)
        marker = await anyio.to_thread.run_sync(leftovers.end, settings.data)
        await self._forget_last_run()
        closing = anyio.Event()
        async with anyio.create_task_group() as outer:
            with anyio.CancelScope(shield=True):  # cancelled in `start`, anyio would wait for the house, and that waits for `closing`
                tasks: TaskGroup = await outer.start(_house, closing)
            try:
                with Pool(tasks, marker) as pool:
                    await self._serve(tasks, outer, pool)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end()
                closing.set()

    def logs(
        self, namespace: str, pod: str, container: str, follow: bool = False, tail: int | None = None, previous: bool = False,
        since: int | None = None, timestamps: bool = False,
    ) -> AsyncIterator[bytes]:  # fmt: skip
        """A container's log, as the API server serves it. Reading raises NoLog, a LookupError, if there is none."""
        path = self._settings.logs / namespace / pod / f"{container}.log"
        if previous:
            path = path.with_name(f"{container}.previous.log")
        writer = (lambda: None) if previous else self._writer(namespace, pod, container)
        return logread.read(path, logread.Wanted(follow, tail, since, timestamps), writer)

    @property
    def zygotes(self) -> list[Zygote]:
        """The warm parents that run now."""
        return self._machine.supplies.pool.zygotes if self._machine else []

    def _writer(self, namespace: str, pod: str, container: str) -> Callable[[], LogFile | None]:
        def current() -> LogFile | None:
            for runner in self._pods.values():
                meta = runner.pod.metadata
                if (meta.namespace, meta.name) == (namespace, pod) and (found := runner.runner(container)):
                    return None if runner.gone.is_set() else found.log
            return None

        return current

    async def _serve(self, tasks: TaskGroup, outer: TaskGroup, pool: Pool) -> None:
        settings = self._settings
        slices = Slices(self._client, tasks, settings.name)
        recorder = Recorder(self._client, tasks, settings.name)
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"PYTHONUNBUFFERED": "1"}
        groups = cgroups.find(pool.marker[MARKER])
        supplies = Supplies(settings, self._client, self._images, pool, Ports(settings.address), env, groups)
        self._machine = Machine(settings, self._client, tasks, supplies, slices, recorder, self._traffic)
        controller = Deployments(
            self._client, tasks, settings.name, self._pods_of, self._adopt, lambda: settings.max_pods - len(self._pods), self._load
        )  # fmt: skip
        self._controller = controller
        self._services.on_change(slices.service_changed)
        self._pod_informer.on_change(self._pod_changed)
        for informer in (self._services, self._pod_informer):
            outer.start_soon(informer.run)
            await informer.synced()
        self._deployments.on_change(self._warm)
        self._deployments.on_change(controller.changed)
        outer.start_soon(self._deployments.run)
        await self._deployments.synced()
        self.ready.set()
        while True:
            await anyio.sleep(TIDY)
            await self._tidy(pool)

    def _pods_of(self, uid: str) -> list[PodRunner]:
        return [r for r in self._pods.values() if any(o.uid == uid for o in r.pod.metadata.owner_references)]

    def _load(self, pods: Sequence[Pod]) -> dict[str, int]:
        """Requests under way on each of a Deployment's pods."""
        revisions = {RevisionKey(pod.metadata.namespace, pod.metadata.labels.get(names.REVISION, "")) for pod in pods}
        return {pod: load for revision in revisions for pod, load in self._traffic.in_flight(revision).items()}

    def _adopt(self, pod: Pod) -> None:
        """Start a pod, unless it is started already: the watch and the maker of the pod both tell."""
        machine = self._machine
        if machine is None or pod.metadata.uid in self._pods or pod.metadata.deletion_timestamp:
            return
        runner = self._pods[pod.metadata.uid] = PodRunner(machine, pod, self._controller.pod_changed)
        machine.tasks.start_soon(self._run_pod, runner)

    async def _run_pod(self, runner: PodRunner) -> None:
        await runner.run()
        if runner.stopping:
            await runner.gone.wait()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        machine = self._machine
        if machine is None:
            return
        replaced = old is not None and (new is None or new.metadata.uid != old.metadata.uid)
        if old is not None and replaced and (runner := self._pods.get(old.metadata.uid)):
            machine.tasks.start_soon(self._stop, runner, 0.0)  # removed by force, or by this node itself
        if new is None:
            return
        runner = self._pods.get(new.metadata.uid)
        if runner is None:
            if new.spec.node_name in ("", self._settings.name) and new.status.phase not in ("Succeeded", "Failed"):
                self._adopt(new)
        elif new.metadata.deletion_timestamp and not runner.stopping:
            runner.pod = msgspec.structs.replace(runner.pod, metadata=new.metadata)
            machine.tasks.start_soon(self._stop, runner, None)

    async def _stop(self, runner: PodRunner, grace: float | None) -> None:
        await runner.stop(grace)
        await runner.gone.wait()
        self._pods.pop(runner.pod.metadata.uid, None)
        self._controller.pod_changed(runner)

    def _warm(self, _: Deployment | None, new: Deployment | None) -> None:
        """Unpack the image and start its zygote as soon as a Deployment names it, at zero replicas too."""
        machine = self._machine
        for container in new.spec.template.spec.containers if new else ():
            if machine and not container.command and container.image not in self._warming and not self._images.prepared(container.image):
                self._warming.add(container.image)
                machine.tasks.start_soon(self._warm_up, machine, container.image)

    async def _warm_up(self, machine: Machine, reference: str) -> None:
        try:
            image = await self._images.prepare(reference)
            if image.warmth:
                machine.supplies.pool.get(image.warmth)
        except NodeError as error:
            log.info("image %s is not warm: %s", reference, error)
        except Exception:
            log.exception("image %s is not warm", reference)  # its pods will tell; the node and everybody else go on
        finally:
            self._warming.discard(reference)

    async def _tidy(self, pool: Pool) -> None:
        if not self._warming:
            await self._images.forget_but(self._used)
        pool.keep(self._images.warmths())
        present = {(r.pod.metadata.namespace, r.pod.metadata.name) for r in self._pods.values()}
        deployments = {(d.metadata.namespace, d.metadata.name) for d in self._deployments.list()}
        settings = self._settings
        await anyio.to_thread.run_sync(logkeep.tidy, settings.logs, present, settings.pods_kept, deployments, settings.logs_orphaned)

    def _used(self) -> set[str]:
        used = {c.image for d in self._deployments.list() for c in d.spec.template.spec.containers}
        return used | {c.image for r in self._pods.values() for c in (*r.pod.spec.containers, *r.pod.spec.init_containers)}

    async def _forget_last_run(self) -> None:
        """Pods and slices that a node before this one left in the API server: their processes are gone."""
        try:
            for pod in (await self._client.list(kinds.POD))[0]:
                if pod.spec.node_name == self._settings.name:
                    await self._client.delete(kinds.POD, pod.metadata.name, pod.metadata.namespace, grace_seconds=0)
            for piece in (await self._client.list(kinds.ENDPOINT_SLICE, labels=f"{MANAGED_BY}={MANAGER}"))[0]:
                await self._client.delete(kinds.ENDPOINT_SLICE, piece.metadata.name, piece.metadata.namespace)
        except KubeError as error:
            log.warning("what the last run left in the API server stays there: %s", error)

    async def _end(self) -> None:
        """The node stops: every process gets SIGTERM, a bounded time, then SIGKILL."""
        if self._machine is None:
            return
        self._controller.close()
        with anyio.move_on_after(self._settings.shutdown + REMOVAL):
            async with anyio.create_task_group() as ending:
                for runner in list(self._pods.values()):
                    ending.start_soon(runner.stop, self._settings.shutdown)
        if groups := self._machine.supplies.cgroups:
            groups.remove_all()
        self._machine = None


async def _house(closing: anyio.Event, *, task_status: TaskStatus[TaskGroup]) -> None:
    """The tasks of pods and zygotes: when the node is cancelled they go on until it has ended them in order."""
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            task_status.started(tasks)
            await closing.wait()
            tasks.cancel_scope.cancel()
