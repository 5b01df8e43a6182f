"""Kubernetes Events about objects, for `kubectl describe`: what changed for the better or worse, with the reason. Best effort.

Nobody waits for them, and they never hold up or fail what they tell of: they are written one after the other, few a second, not more than a
few about one object, and one that is said again only counts. What is not written when the process ends is lost.
"""

import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import anyio

from kfn.api import kinds
from kfn.api.core import Event, ObjectReference
from kfn.api.meta import ObjectMeta
from kfn.clock import timestamp, utcnow
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)

WAITING = 500  # not yet written; beyond it the oldest go
REMEMBERED = 2000  # objects, and events that may be counted up
BURST = 10  # about one object ...
REFILL = 60.0  # ... and then one in so many seconds
PAUSE = 0.1  # seconds between two writes
MESSAGE = 1024  # bytes that Kubernetes takes


class Recorder:
    """`say` returns at once; `run` writes until it is cancelled."""

    def __init__(self, client: Client, component: str, now: Callable[[], datetime] = utcnow) -> None:
        self.dropped = 0
        self._client, self._component, self._now = client, component, now
        self._queue: deque[Event] = deque()
        self._more = anyio.Event()
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()  # by namespace and name of the Event
        self._places: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by uid: how many may be said, as of when

    def say(self, about: Any, type_: str, reason: str, message: str) -> None:
        """`about` is the object, `type_` Normal or Warning."""
        meta = about.metadata
        if not self._may(meta.uid) or len(self._queue) >= WAITING:
            self.dropped += 1
            return
        mark = hashlib.sha256(f"{meta.uid} {type_} {reason} {message}".encode()).hexdigest()[:16]
        at = timestamp(self._now())
        self._queue.append(
            Event(
                metadata=ObjectMeta(name=f"{meta.name[:230]}.{mark}", namespace=meta.namespace),
                involved_object=ObjectReference(about.api_version, about.kind, meta.namespace, meta.name, meta.uid, meta.resource_version),
                reason=reason,
                message=message.encode()[:MESSAGE].decode("utf-8", "ignore"),
                type=type_,
                count=1,
                first_timestamp=at,
                last_timestamp=at,
                reporting_component=self._component,
                source={"component": self._component},
            )
        )
        self._more.set()

    async def run(self) -> None:
        while True:
            while self._queue:
                event = self._queue.popleft()
                try:
                    await self._write(event)
                except errors.KubeError as error:
                    self.dropped += 1
                    log.debug("event %s is lost: %s", event.metadata.name, error)
                await anyio.sleep(PAUSE)
            self._more = anyio.Event()
            await self._more.wait()

    async def _write(self, event: Event) -> None:
        """Counted up where we have written it before and it is still there: Kubernetes forgets Events after an hour."""
        key = event.metadata.namespace, event.metadata.name
        if count := self._counts.get(key, 0):
            patch = {"count": count + 1, "lastTimestamp": event.last_timestamp}
            try:
                await self._client.patch(kinds.EVENT, key[1], key[0], patch)
                self._remember(key, count + 1)
                return
            except errors.NotFound:
                pass
        try:
            await self._client.create(kinds.EVENT, event, key[0])
        except errors.AlreadyExists:  # by the leader before us
            await self._client.patch(kinds.EVENT, key[1], key[0], {"lastTimestamp": event.last_timestamp})
        self._remember(key, 1)

    def _remember(self, key: tuple[str, str], count: int) -> None:
        self._counts[key] = count
        self._counts.move_to_end(key)
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def _may(self, uid: str) -> bool:
        now = anyio.current_time()
        places, at = self._places.pop(uid, (float(BURST), now))
        places = min(float(BURST), places + (now - at) / REFILL)
        self._places[uid] = (places - 1 if places >= 1 else places, now)
        if len(self._places) > REMEMBERED:
            self._places.popitem(last=False)
        return places >= 1
