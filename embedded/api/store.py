"""Every object in memory, the one resourceVersion, and the history that watches resume from.

A change is published (to readers, watches and the garbage collector) only after it is on disk, and a number of replicas at once
(`ahead`): a start waits for it, and after a crash the autoscaler decides anew. Pods, EndpointSlices, Events and Leases are
volatile, memory only: they describe processes of this run, which die with it, so after a restart they would be lies; and it keeps
fsync off the path of a cold start. Leaves the meaning of a change to `write` and `deletion`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from embedded.api import status
from embedded.api.journal import Full, Journal, JournalError, Row
from embedded.api.settings import Settings
from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.kinds import Kind

VOLATILE = frozenset(k.qualified for k in (kinds.POD, kinds.ENDPOINT_SLICE, kinds.EVENT, kinds.LEASE))
Key = tuple[str, str]  # namespace ("" for cluster-scoped kinds), name


@dataclass(frozen=True, slots=True)
class Change:
    """One published change. `old` is None for ADDED; `new` is, for DELETED, the object as it was with the deletion's version."""

    kind: Kind[Any]
    key: Key
    type: str
    version: int
    old: Json | None
    new: Json


class Watcher(Protocol):
    """An open watch. Both calls return at once."""

    def deliver(self, change: Change) -> None: ...

    def end(self) -> None: ...


@dataclass
class Shelf:
    """All objects of one kind, and its recent changes."""

    kind: Kind[Any]
    objects: dict[Key, Json] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    oldest: int = 0  # a watch can resume from this version or later
    pending: dict[Key, "asyncio.Future[None]"] = field(default_factory=dict)  # one write in flight per object
    pending_versions: deque[int] = field(default_factory=deque)  # ascending: the journal commits in order
    watchers: dict[int, Watcher] = field(default_factory=dict)
    unsaved: set[Key] = field(default_factory=set)  # published ahead of a write that then failed


class Store:
    """Owned by one event loop. Objects handed out are the stored ones: callers must copy before they change or give them away."""

    def __init__(self, journal: Journal, settings: Settings) -> None:
        self._journal = journal
        self._settings = settings
        self.shelves: dict[str, Shelf] = {k.qualified: Shelf(k) for k in kinds.ALL}
        self.dependents: dict[str, set[tuple[str, Key]]] = {}  # owner's uid -> who names it
        self.uids: set[str] = set()
        self.on_change: Callable[[Change], None] = lambda _: None
        rows, ceiling = journal.load()
        self.version = ceiling
        self._ceiling = ceiling
        for row in rows:
            shelf = self.shelves.get(row.resource)
            if shelf is not None and row.body is not None:
                shelf.objects[(row.namespace, row.name)] = row.body
                self._index(shelf, (row.namespace, row.name), None, row.body)
        for shelf in self.shelves.values():
            shelf.oldest = ceiling

    async def start(self) -> None:
        """Reserve the first block of versions; until then nothing may be written."""
        await self._reserve()

    def get(self, kind: Kind[Any], key: Key) -> Json | None:
        return self.shelves[kind.qualified].objects.get(key)

    def visible_version(self, shelf: Shelf) -> int:
        """The version up to which every change of this kind has been published: what a list may promise."""
        return shelf.pending_versions[0] - 1 if shelf.pending_versions else self.version

    async def turn(self, kind: Kind[Any], key: Key) -> None:
        """Wait until no write to this object is in flight."""
        pending = self.shelves[kind.qualified].pending
        for _ in range(self._settings.max_waits):
            waiting = pending.get(key)
            if waiting is None:
                return
            await asyncio.wait([waiting])
        raise status.conflict(kind, key[1], "too many writes to this object are waiting; please try again")

    def put(self, kind: Kind[Any], key: Key, new: Json, *, ahead: bool = False) -> "asyncio.Future[None] | None":
        """Store `new` under a fresh version, written into its metadata. None: done; else await the future with `settled`.

        With `ahead` it is published now. Whoever awaits still hears only of the disk; versions never go back in a crash, for
        they are reserved in blocks.
        """
        return self._change(kind, key, new, removed=False, ahead=ahead)

    def saved(self, kind: Kind[Any], key: Key) -> bool:
        """What is published of this object is on disk too, or on its way."""
        return key not in self.shelves[kind.qualified].unsaved

    def remove(self, kind: Kind[Any], key: Key, last: Json) -> "asyncio.Future[None] | None":
        """Remove the object; `last` is what DELETED carries."""
        return self._change(kind, key, last, removed=True)

    def forget_old_events(self) -> None:
        """Keep no more Events than the settings say."""
        shelf = self.shelves[kinds.EVENT.qualified]
        while len(shelf.objects) > self._settings.events:
            key, oldest = next(iter(shelf.objects.items()))
            self.remove(shelf.kind, key, {**oldest, "metadata": dict(oldest["metadata"])})

    def _change(self, kind: Kind[Any], key: Key, new: Json, *, removed: bool, ahead: bool = False) -> "asyncio.Future[None] | None":
        shelf = self.shelves[kind.qualified]
        old = shelf.objects.get(key)
        if self.version >= self._ceiling:  # only after half a million writes on a disk that stayed full
            raise status.storage_full("no resourceVersion can be reserved in the state file")
        self.version += 1
        version = self.version
        if self._ceiling - version < self._settings.version_block // 2:
            self._extend()
        new["metadata"]["resourceVersion"] = str(version)
        change = Change(kind, key, "DELETED" if removed else "ADDED" if old is None else "MODIFIED", version, old, new)
        if kind.qualified in VOLATILE:
            self._publish(shelf, change)
            return None
        done = self._journal.write(Row(kind.qualified, key[0], key[1], version, None if removed else new))
        shelf.pending[key] = done
        if ahead and not shelf.pending_versions:  # else a watch would see this version before lower ones
            self._publish(shelf, change)
            done.add_done_callback(lambda f: self._followed(shelf, key, f))
            return done
        shelf.pending_versions.append(version)
        # Published from the callback, not by whoever awaits: a cancelled request must not hide a write that is on disk.
        done.add_done_callback(lambda f: self._committed(shelf, change, f))
        return done

    def _followed(self, shelf: Shelf, key: Key, done: "asyncio.Future[None]") -> None:
        """The disk's answer on a change that was published ahead of it. It stays published: the next write has all of it."""
        shelf.pending.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            shelf.unsaved.add(key)
        else:
            shelf.unsaved.discard(key)

    def _committed(self, shelf: Shelf, change: Change, done: "asyncio.Future[None]") -> None:
        shelf.pending.pop(change.key, None)
        shelf.pending_versions.remove(change.version)
        if not done.cancelled() and done.exception() is None:
            shelf.unsaved.discard(change.key)
            self._publish(shelf, change)

    def _publish(self, shelf: Shelf, change: Change) -> None:
        if change.type == "DELETED":
            del shelf.objects[change.key]
            self._index(shelf, change.key, change.old, None)
        else:
            shelf.objects[change.key] = change.new
            self._index(shelf, change.key, change.old, change.new)
        shelf.history.append(change)
        if len(shelf.history) > self._settings.history:
            shelf.oldest = shelf.history.popleft().version
        for watcher in tuple(shelf.watchers.values()):
            watcher.deliver(change)
        self.on_change(change)

    def _index(self, shelf: Shelf, key: Key, old: Json | None, new: Json | None) -> None:
        place = (shelf.kind.qualified, key)
        before, after = _owners(old), _owners(new)
        for uid in before - after:
            self.dependents[uid].discard(place)
            if not self.dependents[uid]:
                del self.dependents[uid]
        for uid in after - before:
            self.dependents.setdefault(uid, set()).add(place)
        if new is None and old is not None:
            self.uids.discard(old["metadata"].get("uid", ""))
        elif new is not None:
            self.uids.add(new["metadata"].get("uid", ""))

    async def _reserve(self) -> None:
        ceiling = self.version + self._settings.version_block
        try:
            await self._journal.write(None, ceiling)
        except JournalError as error:
            raise failure(error) from error
        self._ceiling = ceiling

    def _extend(self) -> None:
        """Reserve the next block in the background, once half of this one is used."""
        ceiling = self._ceiling + self._settings.version_block
        old, self._ceiling = self._ceiling, ceiling
        done = self._journal.write(None, ceiling)
        done.add_done_callback(lambda f: self._extended(f, old))

    def _extended(self, done: "asyncio.Future[None]", old: int) -> None:
        if done.cancelled() or done.exception() is not None:
            self._ceiling = old  # tried again at the next write; half a block is left


async def settled(done: "asyncio.Future[None] | None") -> None:
    """Wait for the disk. Raises the refusal if the write failed; being cancelled here leaves the write alone."""
    if done is None:
        return
    try:
        await asyncio.shield(done)
    except JournalError as error:
        raise failure(error) from error


def failure(error: JournalError) -> status.StatusError:
    return status.storage_full(str(error)) if isinstance(error, Full) else status.internal(str(error))


def _owners(obj: Json | None) -> set[str]:
    references = (obj or {}).get("metadata", {}).get("ownerReferences") or ()
    return {r.get("uid", "") for r in references}
