"""Garbage collection: dependents follow their owners, finalizers of foreground and orphan deletion end, namespaces empty.

Level-based: an object is looked at again whenever something it depends on changes, and everything once at the start, so that a
kill between an owner's deletion and its dependents' loses nothing.
"""

import logging
from typing import Any

import anyio

from embedded.api import deletes, status
from embedded.api.deletion import FOREGROUND, ORPHAN, Options
from embedded.api.store import Change, Key, Store
from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.kinds import NAMESPACE

log = logging.getLogger(__name__)
_BACKGROUND = Options()
_FOREGROUND = Options(propagation="Foreground")
_RETRY_SECONDS = 1.0
_AT_ONCE = 64
Place = tuple[str, Key]


class Collector:
    """Feed it every change with `see`; `run()` works until cancelled."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due: dict[Place, None] = {}  # an ordered set
        self._wake = anyio.Event()
        for qualified, shelf in store.shelves.items():
            for key, obj in shelf.objects.items():
                if obj["metadata"].get("ownerReferences") or obj["metadata"].get("deletionTimestamp"):
                    self._add((qualified, key))

    def see(self, change: Change) -> None:
        """Note what may have to follow from a change. Called synchronously, so it only looks things up."""
        place, meta = (change.kind.qualified, change.key), change.new["metadata"]
        if change.type == "DELETED":
            for dependent in self._store.dependents.get(meta["uid"], ()):
                self._add(dependent)
            if change.key[0]:
                self._add_namespace_if_ending(change.key[0])
            for reference in meta.get("ownerReferences") or ():
                self._add_owner(reference, change.key[0])
        elif meta.get("deletionTimestamp") and (meta.get("finalizers") or change.kind is NAMESPACE):
            self._add(place)
        elif change.kind.namespaced and change.type == "ADDED":
            self._add_namespace_if_ending(change.key[0])
        if change.type != "DELETED" and meta.get("ownerReferences") and not self._owners_fine(meta):
            self._add(place)

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._due:
                batch = list(self._due)[:_AT_ONCE]
                failed: list[Place] = []
                for place in batch:
                    del self._due[place]
                # Together, so that a cascade's writes share their commits.
                async with anyio.create_task_group() as tasks:
                    for place in batch:
                        tasks.start_soon(self._look, place, failed)
                if failed:
                    await anyio.sleep(_RETRY_SECONDS)
                    for place in failed:
                        self._add(place)

    def _add(self, place: Place) -> None:
        self._due[place] = None
        self._wake.set()

    def _add_owner(self, reference: Json, namespace: str) -> None:
        kind = kinds.find(reference.get("apiVersion", ""), reference.get("kind", ""))
        if kind is not None:
            self._add((kind.qualified, (namespace if kind.namespaced else "", reference.get("name", ""))))

    def _add_namespace_if_ending(self, namespace: str) -> None:
        obj = self._store.get(NAMESPACE, ("", namespace))
        if obj is not None and obj["metadata"].get("deletionTimestamp"):
            self._add((NAMESPACE.qualified, ("", namespace)))

    def _owners_fine(self, meta: Json) -> bool:
        """No owner is gone, and none waits for its dependents to go."""
        return all(not self._absent(r) and not self._waiting(r, meta.get("namespace", "")) for r in meta["ownerReferences"])

    def _absent(self, reference: Json) -> bool:
        """Only owners of kinds that live here can be known to be gone."""
        known = kinds.find(reference.get("apiVersion", ""), reference.get("kind", "")) is not None
        return known and reference.get("uid", "") not in self._store.uids

    def _waiting(self, reference: Json, namespace: str) -> bool:
        kind = kinds.find(reference.get("apiVersion", ""), reference.get("kind", ""))
        owner = kind and self._store.get(kind, (namespace if kind.namespaced else "", reference.get("name", "")))
        return bool(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ())  # type: ignore[index]

    async def _look(self, place: Place, failed: list[Place]) -> None:
        try:
            await self._examine(place)
        except status.StatusError as error:
            if error.code != 404:
                log.warning("garbage collection of %s %s: %s; trying again", place[0], "/".join(place[1]), error.message)
                failed.append(place)

    async def _examine(self, place: Place) -> None:
        shelf, key = self._store.shelves[place[0]], place[1]
        obj = shelf.objects.get(key)
        if obj is None:
            return
        meta = obj["metadata"]
        finalizers = meta.get("finalizers") or ()
        if meta.get("deletionTimestamp"):
            if shelf.kind is NAMESPACE:
                await self._empty(key[1])
            if ORPHAN in finalizers:
                await self._orphan(shelf.kind, key, meta["uid"])
            elif FOREGROUND in finalizers:
                await self._foreground(shelf.kind, key, meta["uid"])
            return
        await self._follow(shelf.kind, key, meta)

    async def _follow(self, kind: kinds.Kind[Any], key: Key, meta: Json) -> None:
        """Delete a dependent all of whose owners are gone; if only some are, forget those."""
        references = meta.get("ownerReferences") or ()
        absent = {r.get("uid") for r in references if self._absent(r)}
        if references and len(absent) == len(references):
            await deletes.delete_one(self._store, kind, key, Options(uid=meta["uid"]))
        elif absent:
            await deletes.modify(self._store, kind, key, lambda o: _without_owners(o, absent))
        elif any(self._waiting(r, key[0]) for r in references):
            await deletes.delete_one(self._store, kind, key, _FOREGROUND)

    async def _foreground(self, kind: kinds.Kind[Any], key: Key, uid: str) -> None:
        blocking = False
        for qualified, dependent in list(self._store.dependents.get(uid, ())):
            shelf = self._store.shelves[qualified]
            obj = shelf.objects.get(dependent)
            if obj is None:
                continue
            if not obj["metadata"].get("deletionTimestamp"):
                await deletes.delete_one(self._store, shelf.kind, dependent, _FOREGROUND)
            still = shelf.objects.get(dependent)
            if still is not None and any(r.get("uid") == uid and r.get("blockOwnerDeletion") for r in still["metadata"]["ownerReferences"]):
                blocking = True
        if not blocking:
            await deletes.modify(self._store, kind, key, lambda o: _without_finalizer(o, FOREGROUND))

    async def _orphan(self, kind: kinds.Kind[Any], key: Key, uid: str) -> None:
        for qualified, dependent in list(self._store.dependents.get(uid, ())):
            await deletes.modify(self._store, self._store.shelves[qualified].kind, dependent, lambda o: _without_owners(o, {uid}))
        await deletes.modify(self._store, kind, key, lambda o: _without_finalizer(o, ORPHAN))

    async def _empty(self, namespace: str) -> None:
        left = False
        for shelf in self._store.shelves.values():
            for key in [k for k in shelf.objects if k[0] == namespace]:
                if not shelf.objects[key]["metadata"].get("deletionTimestamp"):
                    try:
                        await deletes.delete_one(self._store, shelf.kind, key, _BACKGROUND)
                    except status.StatusError as error:
                        if error.code != 404:
                            raise
                left = left or key in shelf.objects
        if not left:
            await deletes.modify(self._store, NAMESPACE, ("", namespace), lambda o: {**o, "spec": {}})


def _without_owners(obj: Json, uids: set[Any]) -> Json:
    references = [r for r in obj["metadata"].get("ownerReferences") or () if r.get("uid") not in uids]
    meta = {**obj["metadata"], "ownerReferences": references}
    if not references:
        del meta["ownerReferences"]
    return {**obj, "metadata": meta}


def _without_finalizer(obj: Json, finalizer: str) -> Json:
    finalizers = [f for f in obj["metadata"].get("finalizers") or () if f != finalizer]
    meta = {**obj["metadata"], "finalizers": finalizers}
    if not finalizers:
        meta.pop("finalizers")
    return {**obj, "metadata": meta}
