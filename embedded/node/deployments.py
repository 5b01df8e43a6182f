"""The Deployment controller: makes and deletes pods as `plan.py` decides, in the loop turn in which a Deployment changes.

The node is the only maker of pods here, so it plans from its own pods, which it knows before the API server does.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import msgspec
from anyio.abc import TaskGroup

from embedded.node.mirror import Mirror
from embedded.node.plan import HASH, deadline, plan, status, template_hash
from embedded.node.pod import PodRunner
from kfn.api import kinds
from kfn.api.base import encode
from kfn.api.core import Deployment, DeploymentStatus, Pod
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.clock import timestamp
from kfn.kube.client import Client
from kfn.kube.errors import AlreadyExists, KubeError, NotFound

log = logging.getLogger(__name__)

T = TypeVar("T")

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes uses in names: no vowels, so no words
GATHER = 0.05  # seconds in which changes of a Deployment's status are gathered: each write goes to the disk
FAILED_AGAIN = 1.0  # seconds until a failed pass is tried again


class Deployments:
    """Reacts to Deployments and to its own pods. `adopt` starts a pod that the API server has accepted."""

    def __init__(
        self, client: Client, tasks: TaskGroup, node: str, pods_of: Callable[[str], list[PodRunner]], adopt: Callable[[Pod], None],
        max_pods: Callable[[], int], load: Callable[[Sequence[Pod]], Mapping[str, int]] = lambda pods: {},
    ) -> None:  # fmt: skip
        self._client = client
        self._tasks = tasks
        self._node = node
        self._pods_of = pods_of
        self._adopt = adopt
        self._room = max_pods
        self._load = load
        self._known: dict[str, Deployment] = {}  # by uid
        self._dirty: set[str] = set()
        self._busy: set[str] = set()
        self._timed: dict[str, asyncio.TimerHandle] = {}  # the look at their progress deadline that is to come
        self._closed = False
        self._statuses: dict[str, Mirror[DeploymentStatus]] = {}

    def changed(self, old: Deployment | None, new: Deployment | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._known.pop(old.metadata.uid, None)
            self._statuses.pop(old.metadata.uid, None)
            timer = self._timed.pop(old.metadata.uid, None)
            if timer is not None:
                timer.cancel()
            self._again(old.metadata.uid)
        if new is not None:
            self._known[new.metadata.uid] = new
            self._again(new.metadata.uid)

    def pod_changed(self, runner: PodRunner) -> None:
        for owner in runner.pod.metadata.owner_references:
            if owner.kind == "Deployment" and owner.uid in self._known:
                self._again(owner.uid)

    def close(self) -> None:
        """The node stops: make no pod in place of those that go now."""
        self._closed = True
        for timer in self._timed.values():
            timer.cancel()

    def _again(self, uid: str) -> None:
        self._dirty.add(uid)
        if uid not in self._busy and not self._closed:
            self._busy.add(uid)
            self._tasks.start_soon(self._sync, uid)

    async def _sync(self, uid: str) -> None:
        """Passes over one Deployment until nothing changed during one."""
        try:
            while uid in self._dirty and not self._closed:
                self._dirty.discard(uid)
                try:
                    await self._pass(uid)
                except KubeError as error:
                    log.warning("Deployment %s: %s", self._name(uid), error)
                    await anyio.sleep(FAILED_AGAIN)
                    self._dirty.add(uid)
        finally:
            self._busy.discard(uid)

    async def _pass(self, uid: str) -> None:
        deployment = self._known.get(uid)
        runners = self._pods_of(uid)
        if deployment is None:
            await self._each(self._delete, [r.pod for r in runners if not r.stopping])
            return
        pods = [r.view for r in runners]
        decided = plan(deployment, pods, self._load(pods))
        create = min(decided.create, max(0, self._room()))
        if create < decided.create:
            log.error("Deployment %s: the node is full, %d pods are not started", self._name(uid), decided.create - create)
        await self._each(self._create, [deployment] * create)
        await self._each(self._delete, [r.pod for r in runners if r.pod.metadata.name in decided.delete])
        current = self._known.get(uid)
        if current is not None:
            self._tell(current)
            if uid not in self._timed and any(c.reason == "ReplicaSetUpdated" for c in self._known[uid].status.conditions):
                self._timed[uid] = asyncio.get_running_loop().call_later(deadline(current) + 1, self._at_deadline, uid)

    async def _each(self, do: Callable[[T], Coroutine[Any, Any, None]], objects: list[T]) -> None:
        if len(objects) == 1:
            await do(objects[0])
            return
        async with anyio.create_task_group() as tasks:
            for obj in objects:
                tasks.start_soon(do, obj)

    async def _create(self, deployment: Deployment) -> None:
        for _ in range(5):
            try:
                self._adopt(await self._client.create(kinds.POD, self.build(deployment), deployment.metadata.namespace))
                return
            except AlreadyExists:
                continue
            except KubeError as error:
                log.warning("Deployment %s: a pod cannot be made: %s", deployment.metadata.name, error)
                self._tasks.start_soon(self._later, deployment.metadata.uid)
                return

    async def _delete(self, pod: Pod) -> None:
        try:
            await self._client.delete(kinds.POD, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid)
        except NotFound:
            pass
        except KubeError as error:
            log.warning("pod %s/%s cannot be deleted: %s", pod.metadata.namespace, pod.metadata.name, error)
            for owner in pod.metadata.owner_references:
                self._tasks.start_soon(self._later, owner.uid)

    def _at_deadline(self, uid: str) -> None:
        del self._timed[uid]
        self._again(uid)

    async def _later(self, uid: str) -> None:
        await anyio.sleep(FAILED_AGAIN)
        self._again(uid)

    def build(self, deployment: Deployment) -> Pod:
        """A new pod of the Deployment, assigned to this node."""
        meta, template = deployment.metadata, deployment.spec.template
        suffix = "".join(secrets.choice(ALPHABET) for _ in range(5))
        owner = OwnerReference("apps/v1", "Deployment", meta.name, meta.uid, True, True)
        return Pod(
            metadata=ObjectMeta(
                name=f"{meta.name}-{suffix}", namespace=meta.namespace, owner_references=[owner],
                labels={**template.metadata.labels, HASH: template_hash(template)}, annotations=template.metadata.annotations,
            ),
            spec=msgspec.structs.replace(template.spec, node_name=self._node),
        )  # fmt: skip

    def _tell(self, deployment: Deployment) -> None:
        meta = deployment.metadata
        fresh = status(deployment, [r.view for r in self._pods_of(meta.uid)], timestamp())
        if fresh == deployment.status:
            return
        self._known[meta.uid] = msgspec.structs.replace(deployment, status=fresh)
        mirror = self._statuses.get(meta.uid)
        if mirror is None:

            async def write(value: DeploymentStatus) -> None:
                body = dict.fromkeys(_COUNTS) | encode(value)
                await self._client.patch(kinds.DEPLOYMENT, meta.name, meta.namespace, {"status": body}, subresource="status")

            what = f"status of Deployment {meta.namespace}/{meta.name}"
            mirror = self._statuses[meta.uid] = Mirror(self._tasks, what, write, after=GATHER)
        mirror.set(fresh)

    def _name(self, uid: str) -> str:
        known = self._known.get(uid)
        return f"{known.metadata.namespace}/{known.metadata.name}" if known else uid


_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "terminatingReplicas")
"""Set to null where they are zero, because a merge patch cannot otherwise take them away."""
