"""An API server in memory, at the lowest seam: a `Transport` with lists, watches, resourceVersions, merge patches, status and
scale subresources, and owner-reference garbage collection. It leaves defaults and validation to the real one (`embedded/api`).

    api = FakeApi(); client = Client(api)
    api.put(kinds.POD, pod)            # an actor's write (the cluster's), not recorded in `api.writes`
    api.writes                         # [("POST", "/apis/..."), ...]: every write that came through the client and changed something
    api.before = lambda method, path: ...   # may raise, to play a fault
"""

import copy
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from embedded.api.patch import json_patch
from kfn.api.base import decode, encode
from kfn.api.kinds import ALL, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Kind
from kfn.clock import timestamp, utcnow
from kfn.kube import errors
from kfn.kube.transport import Response

T = TypeVar("T")
Json = dict[str, Any]
KINDS = (*ALL, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)


@dataclass(frozen=True, slots=True)
class Change:
    """One write as watchers see it: `old` None is an addition, `new` None a deletion."""

    version: int
    kind: Kind[Any]
    old: Json | None
    new: Json | None


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed REST path."""

    kind: Kind[Any]
    namespace: str
    name: str
    subresource: str


class FakeApi:
    def __init__(self, now: Callable[[], datetime] = utcnow) -> None:
        self._now = now
        self.before: Callable[[str, str], None] | None = None
        self.writes: list[tuple[str, str]] = []
        self.log_text: dict[tuple[str, str], bytes] = {}
        self._objects: dict[tuple[str, str, str], Json] = {}
        self._history: list[Change] = []
        self._changed = anyio.Event()
        self._versions = itertools.count(1)
        self._version = 0
        self._uids = itertools.count(1)

    # What a test says and asks, as the rest of the cluster.

    def put(self, kind: Kind[T], obj: T) -> T:
        """Write an object whole, status included; create it if it is not there."""
        body = encode(obj)
        meta = body["metadata"]
        key = (kind.qualified, meta.get("namespace", ""), meta["name"])
        old = self._objects.get(key)
        if old is None:
            return decode(kind.type, self._create(kind, body))
        body["metadata"] |= {k: old["metadata"][k] for k in ("uid", "creationTimestamp", "generation", "resourceVersion")}
        return decode(kind.type, self._store(kind, key, old, body))

    def find(self, kind: Kind[T], name: str, namespace: str = "default") -> T | None:
        found = self._objects.get((kind.qualified, namespace if kind.namespaced else "", name))
        return None if found is None else decode(kind.type, found)

    def the(self, kind: Kind[T], name: str, namespace: str = "default") -> T:
        found = self.find(kind, name, namespace)
        assert found is not None, f"no {kind.qualified} {namespace}/{name}; there are {self.names(kind)}"
        return found

    def all(self, kind: Kind[T], namespace: str = "default") -> list[T]:
        return [decode(kind.type, o) for k, o in sorted(self._objects.items()) if k[:2] == (kind.qualified, namespace)]

    def names(self, kind: Kind[Any]) -> list[str]:
        return [key[2] for key in sorted(self._objects) if key[0] == kind.qualified]

    def versions(self, kind: Kind[T], name: str, namespace: str = "default") -> list[T]:
        """Every state that watchers have seen the object in, oldest first."""
        mine = [c.new for c in self._history if c.kind is kind and c.new and c.new["metadata"]["name"] == name]
        return [decode(kind.type, obj) for obj in mine if obj["metadata"].get("namespace", "") == namespace]

    def remove(self, kind: Kind[Any], name: str, namespace: str = "default") -> None:
        self._delete((kind.qualified, namespace, name))

    # The Transport.

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Response:
        await anyio.lowlevel.checkpoint()
        try:
            if self.before is not None:
                self.before(method, path)
            before = self._version
            answer = self._answer(method, _parse(path), dict(query or {}), copy.deepcopy(body), content_type)
            if self._version != before:
                self.writes.append((method, path))
            return Response(201 if method == "POST" else 200, copy.deepcopy(answer))
        except errors.ApiError as error:
            return Response(error.code, {"kind": "Status", "code": error.code, "reason": error.reason, "message": error.message})

    @asynccontextmanager
    async def watch(self, path: str, *, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Json]]:
        if self.before is not None:
            self.before("WATCH", path)
        yield self._events(_parse(path), dict(query))

    @asynccontextmanager
    async def text(self, path: str, *, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        at = _parse(path)

        async def chunks() -> AsyncIterator[bytes]:
            yield self.log_text.get((at.namespace, at.name), b"")

        yield chunks()

    async def aclose(self) -> None:
        return None

    # Inside.

    def _answer(self, method: str, at: Address, query: dict[str, str], body: Any, content_type: str) -> Any:
        key = (at.kind.qualified, at.namespace, at.name)
        if method == "POST":
            body.setdefault("metadata", {}).setdefault("namespace", at.namespace)
            return self._create(at.kind, body)
        if method == "GET" and not at.name:
            items = [o for o in self._objects.values() if _selected(at, query, o)]
            return {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        old = self._objects.get(key)
        if old is None:
            raise errors.NotFound(404, "NotFound", f'{at.kind.qualified} "{at.name}" not found')
        if method == "GET":
            return old
        if method == "DELETE":
            wanted = ((body or {}).get("preconditions") or {}).get("uid")
            if wanted and wanted != old["metadata"]["uid"]:
                raise errors.Conflict(409, "Conflict", "the uid in the precondition does not match")
            self._let_go(key)
            return old
        if method == "PATCH":
            if content_type not in ("application/merge-patch+json", "application/json-patch+json"):
                raise errors.ApiError(415, "UnsupportedMediaType", f"the fake takes merge and JSON patches only, not {content_type}")
            body = json_patch(old, body) if "json-patch" in content_type else _merged(old, body)
        new = self._write(at, key, old, body)
        if new["metadata"].get("deletionTimestamp"):
            self._let_go(key)
        return new

    def _create(self, kind: Kind[Any], body: Json) -> Json:
        meta = body["metadata"]
        if not meta.get("name"):
            meta["name"] = f"{meta['generateName']}{next(self._uids):05d}"
        key = (kind.qualified, meta.get("namespace", ""), meta["name"])
        if key in self._objects:
            raise errors.AlreadyExists(409, "AlreadyExists", f'{kind.qualified} "{meta["name"]}" already exists')
        meta.setdefault("uid", f"uid-{next(self._uids)}")
        meta.setdefault("creationTimestamp", timestamp(self._now()))
        meta["generation"] = 1
        return self._store(kind, key, None, body)

    def _write(self, at: Address, key: tuple[str, str, str], old: Json, body: Json) -> Json:
        sent = body["metadata"].get("resourceVersion")
        if sent and sent != old["metadata"]["resourceVersion"]:
            raise errors.Conflict(409, "Conflict", f'{at.kind.qualified} "{at.name}": the object has been modified')
        if at.subresource == "status":
            new = {**old, "status": body.get("status", {})}
        elif at.subresource == "scale":
            new = {**old, "spec": {**old.get("spec", {}), "replicas": body["spec"]["replicas"]}}
        else:
            kept = {k: old["metadata"][k] for k in ("uid", "creationTimestamp", "generation", "resourceVersion")}
            new = {**body, "metadata": {**body["metadata"], **kept}}
            if "status" in at.kind.subresources:
                new.pop("status", None)
                new.update({"status": old["status"]} if "status" in old else {})
        return self._store(at.kind, key, old, new)

    def _store(self, kind: Kind[Any], key: tuple[str, str, str], old: Json | None, new: Json) -> Json:
        new = {"apiVersion": kind.api_version, "kind": kind.kind, **new}
        if old == new:
            return old
        new["metadata"] = dict(new["metadata"])
        if old is not None:
            changed = _without(old) != _without(new)
            new["metadata"]["generation"] = old["metadata"]["generation"] + (1 if changed else 0)
        self._record(kind, key, old, new)
        return self._objects[key]

    def _let_go(self, key: tuple[str, str, str]) -> None:
        """Mark an object that finalizers hold, remove any other."""
        obj = self._objects[key]
        if not obj["metadata"].get("finalizers"):
            self._delete(key)
        elif not obj["metadata"].get("deletionTimestamp"):
            kind = next(k for k in KINDS if k.qualified == key[0])
            self._store(kind, key, obj, {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": timestamp(self._now())}})

    def _delete(self, key: tuple[str, str, str]) -> None:
        """Remove an object and, at once, everything whose only living owner it was."""
        old = self._objects.pop(key)
        kind = next(k for k in KINDS if k.qualified == key[0])
        self._record(kind, key, old, None)
        uid = old["metadata"]["uid"]
        for other, obj in list(self._objects.items()):
            owners = obj["metadata"].get("ownerReferences") or []
            if other in self._objects and owners and all(owner.get("uid") == uid for owner in owners):
                self._let_go(other)

    def _record(self, kind: Kind[Any], key: tuple[str, str, str], old: Json | None, new: Json | None) -> None:
        self._version = next(self._versions)
        if new is not None:
            new["metadata"]["resourceVersion"] = str(self._version)
            self._objects[key] = copy.deepcopy(new)
        self._history.append(Change(self._version, kind, copy.deepcopy(old), copy.deepcopy(new)))
        self._changed.set()
        self._changed = anyio.Event()

    async def _events(self, at: Address, query: dict[str, str]) -> AsyncIterator[Json]:
        seen = int(query.get("resourceVersion") or 0)
        end = anyio.current_time() + float(query.get("timeoutSeconds") or 290)
        while True:
            changed = self._changed
            for change in [c for c in self._history if c.version > seen]:
                seen = change.version
                if change.kind is at.kind and (event := _event(at, query, change)):
                    yield event
            if changed is not self._changed:
                continue
            with anyio.move_on_after(end - anyio.current_time()) as scope:
                await changed.wait()
            if scope.cancelled_caught:
                return


def _parse(path: str) -> Address:
    parts = path.strip("/").split("/")
    group, rest = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = next((k for k in KINDS if k.group == group and k.plural == rest[0]), None)
    if kind is None:
        raise errors.NotFound(404, "NotFound", f"no such resource: {path}")
    return Address(kind, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")


def _event(at: Address, query: dict[str, str], change: Change) -> Json | None:
    was = change.old is not None and _selected(at, query, change.old)
    now = change.new is not None and _selected(at, query, change.new)
    if now:
        return {"type": "MODIFIED" if was else "ADDED", "object": copy.deepcopy(change.new)}
    if was:
        gone = copy.deepcopy(change.new or change.old) or {}
        gone["metadata"]["resourceVersion"] = str(change.version)
        return {"type": "DELETED", "object": gone}
    return None


def _selected(at: Address, query: dict[str, str], obj: Json) -> bool:
    meta = obj["metadata"]
    if (obj["apiVersion"], obj["kind"]) != (at.kind.api_version, at.kind.kind) or at.namespace not in ("", meta.get("namespace", "")):
        return False
    labels = meta.get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, found, value = term.partition("=")
        if name not in labels or (found and labels[name] != value.lstrip("=")):
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        field, _, value = term.partition("=")
        place: Any = obj
        for part in field.split("."):
            place = place.get(part, "") if isinstance(place, dict) else ""
        if place != value.lstrip("="):
            return False
    return True


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = _merged(new.get(name), value)
    return new


def _without(obj: Json) -> Json:
    """What counts for the generation: everything but metadata and status."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}
