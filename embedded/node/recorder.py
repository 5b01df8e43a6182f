"""Kubernetes Events about pods, for `kubectl describe`. Best effort: an event that cannot be written is dropped."""

import hashlib
import logging
from collections import deque

import anyio
from anyio.abc import TaskGroup

from kfn.api import kinds
from kfn.api.core import Event, ObjectReference, Pod
from kfn.api.meta import ObjectMeta
from kfn.clock import timestamp
from kfn.kube.client import Client
from kfn.kube.errors import KubeError, NotFound

log = logging.getLogger(__name__)

WAITING = 500  # events not yet written; beyond it the oldest go
COMPONENT = "kubelet"


class Recorder:
    """One writer for all pods, so that events never hold up a start."""

    def __init__(self, client: Client, tasks: TaskGroup, node: str) -> None:
        self._client = client
        self._node = node
        self._tasks = tasks
        self._queue: deque[Event] = deque(maxlen=WAITING)
        self._running = False

    def note(self, pod: Pod, type_: str, reason: str, message: str) -> None:
        meta, now = pod.metadata, timestamp()
        mark = hashlib.sha256(f"{meta.uid} {reason} {message}".encode()).hexdigest()[:16]
        self._queue.append(
            Event(
                metadata=ObjectMeta(name=f"{meta.name}.{mark}", namespace=meta.namespace),
                involved_object=ObjectReference("v1", "Pod", meta.namespace, meta.name, meta.uid),
                reason=reason,
                message=message[:1024],
                type=type_,
                count=1,
                first_timestamp=now,
                last_timestamp=now,
                reporting_component=COMPONENT,
                reporting_instance=self._node,
                source={"component": COMPONENT, "host": self._node},
            )
        )
        if not self._running:
            self._running = True
            self._tasks.start_soon(self._write)

    async def _write(self) -> None:
        try:
            await anyio.sleep(0.05)  # after whatever made them: a start comes first
            while self._queue:
                event = self._queue.popleft()
                try:
                    await self._put(event)
                except KubeError as error:
                    log.debug("event %s is lost: %s", event.metadata.name, error)
        finally:
            self._running = False

    async def _put(self, event: Event) -> None:
        name, namespace = event.metadata.name, event.metadata.namespace
        try:
            known = await self._client.get(kinds.EVENT, name, namespace)
        except NotFound:
            await self._client.create(kinds.EVENT, event, namespace)
        else:
            await self._client.patch(kinds.EVENT, name, namespace, {"count": known.count + 1, "lastTimestamp": event.last_timestamp})
