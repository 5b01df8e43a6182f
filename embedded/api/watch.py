"""One open watch: what it missed from the history, then changes as they are published, bookmarks in between, until its time is up."""

import asyncio
from collections import deque
from typing import Any

from embedded.api import status
from embedded.api.request import Request
from embedded.api.selectors import Selector
from embedded.api.settings import Settings
from embedded.api.store import Change, Shelf, Store
from kfn.api.base import Json

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """An async iterator of `{"type", "object"}`; the objects are the stored ones. Close it when done: it is registered until then."""

    def __init__(self, store: Store, shelf: Shelf, namespace: str, selector: Selector, request: Request, settings: Settings) -> None:
        self.kind = shelf.kind
        self._store = store
        self._shelf = shelf
        self._namespace = namespace
        self._selector = selector
        self._limit = settings.watch_backlog
        self._events: deque[Json] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._bookmarks = request.flag("allowWatchBookmarks")
        self._bookmark_seconds = settings.bookmark_seconds
        self._catch_up(request)
        shelf.watchers[id(self)] = self
        loop = asyncio.get_running_loop()
        seconds = min(request.number("timeoutSeconds", 0) or settings.watch_seconds, settings.watch_seconds)
        self._timers = [loop.call_later(seconds, self.end)]
        if self._bookmarks:
            self._timers.append(loop.call_later(self._bookmark_seconds, self._bookmark))

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> Json:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._events.popleft()

    def end(self) -> None:
        """No more events after those already queued."""
        self._ended = True
        self._shelf.watchers.pop(id(self), None)
        self._wake()

    def close(self) -> None:
        self.end()
        for timer in self._timers:
            timer.cancel()

    def _catch_up(self, request: Request) -> None:
        since = request.version()
        if since == 0:
            for key in sorted(self._shelf.objects):
                obj = self._shelf.objects[key]
                if self._sees(key, obj):
                    self._events.append({"type": "ADDED", "object": obj})
            if request.flag("sendInitialEvents"):
                self._mark({INITIAL_EVENTS_END: "true"})
            return
        if since > self._store.version or (since < self._shelf.oldest and not self._unchanged_since(since)):
            raise status.gone(since, self._shelf.oldest)
        for change in self._shelf.history:
            if change.version > since:
                self._offer(change)

    def _unchanged_since(self, since: int) -> bool:
        """A watch on one object whose current version the client has missed nothing, however old that is (kn's wait does this)."""
        if not self._selector.name or not (self._namespace or not self.kind.namespaced):
            return False
        obj = self._shelf.objects.get((self._namespace, self._selector.name))
        return obj is not None and int(obj["metadata"]["resourceVersion"]) <= since

    def _sees(self, key: tuple[str, str], obj: Json) -> bool:
        return (not self._namespace or key[0] == self._namespace) and self._selector.matches(obj)

    def deliver(self, change: Change) -> None:
        self._offer(change)
        if len(self._events) > self._limit:
            self._events.append({"type": "ERROR", "object": status.gone(change.version, change.version).body()})
            self.end()
        elif self._events:
            self._wake()

    def _offer(self, change: Change) -> None:
        """A change that moves an object into or out of the selection is ADDED or DELETED to this watch."""
        if self._namespace and change.key[0] != self._namespace:
            return
        now = change.type != "DELETED" and self._selector.matches(change.new)
        before = change.old is not None and self._selector.matches(change.old)
        if now:
            self._events.append({"type": "MODIFIED" if before else "ADDED", "object": change.new})
        elif before:
            self._events.append({"type": "DELETED", "object": change.new})

    def _bookmark(self) -> None:
        if self._ended:
            return
        if not self._events:
            self._mark({})
            self._wake()
        self._timers[-1] = asyncio.get_running_loop().call_later(self._bookmark_seconds, self._bookmark)

    def _mark(self, annotations: dict[str, str]) -> None:
        meta: dict[str, Any] = {"resourceVersion": str(self._store.visible_version(self._shelf))}
        if annotations:
            meta["annotations"] = annotations
        body = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": meta}
        self._events.append({"type": "BOOKMARK", "object": body})

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
