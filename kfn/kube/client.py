"""A typed client over any Transport: get, list, create, update, patch, delete, watch, logs."""

import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
import msgspec

from kfn.api.base import decode, encode
from kfn.api.kinds import POD, Kind
from kfn.kube import errors
from kfn.kube.transport import Transport

log = logging.getLogger(__name__)

T = TypeVar("T")

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

TRIES = 5  # of a request that an API server with too much to do sends away
LONGEST = 5.0  # seconds between two of them, whatever it says


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark carries only a resourceVersion."""

    type: str
    object: T
    resource_version: str


class Client:
    """Talks to one API server. Objects are typed by their `Kind`; failures are `kfn.kube.errors`."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def get(self, kind: Kind[T], name: str, namespace: str | None = None) -> T:
        return decode(kind.type, await self._call("GET", kind.path(namespace, name)))

    async def list(
        self, kind: Kind[T], namespace: str | None = None, *, labels: str = "", fields: str = "", resource_version: str = "",
        lenient: bool = False,
    ) -> tuple[list[T], str]:  # fmt: skip
        """Every object, and the resourceVersion to watch from. `labels` and `fields` are selectors as kubectl takes them.

        Objects come in pieces. When the rest of a list has expired, which takes a server that is busy for minutes, all are asked for at
        once. `managedFields` are left out: nobody here reads them, and they are half of many an object.
        """
        query = _query(labelSelector=labels, fieldSelector=fields, resourceVersion=resource_version, limit="500")
        items: list[T] = []
        while True:
            try:
                body = await self._call("GET", kind.path(namespace), query=query)
            except errors.Gone:
                if "continue" not in query:
                    raise
                items, query = [], _query(labelSelector=labels, fieldSelector=fields)
                continue
            items += [one for item in body.get("items") or [] if (one := _decode(kind, item, lenient)) is not None]
            more = (body.get("metadata") or {}).get("continue")
            if not more:
                return items, str((body.get("metadata") or {}).get("resourceVersion") or "")
            query = {**query, "continue": more}
            query.pop("resourceVersion", None)

    async def create(self, kind: Kind[T], obj: T | dict[str, Any], namespace: str | None = None) -> T:
        return decode(kind.type, await self._call("POST", kind.path(namespace), body=encode(obj)))

    async def update(self, kind: Kind[T], obj: T | dict[str, Any], *, subresource: str | None = None) -> T:
        body = encode(obj)
        meta = body["metadata"]
        return decode(kind.type, await self._call("PUT", kind.path(meta.get("namespace"), meta["name"], subresource), body=body))

    async def patch(
        self, kind: Kind[T], name: str, namespace: str | None, patch: Any, *, type: str = MERGE, subresource: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:  # fmt: skip
        path = kind.path(namespace, name, subresource)
        body = await self._call("PATCH", path, body=patch, content_type=type, query=query)
        return decode(kind.type, body)

    async def scale(self, kind: Kind[Any], name: str, namespace: str, replicas: int) -> None:
        """Set `spec.replicas` through the scale subresource."""
        path = kind.path(namespace, name, "scale")
        await self._call("PATCH", path, body={"spec": {"replicas": replicas}}, content_type=MERGE)

    async def delete(
        self, kind: Kind[Any], name: str, namespace: str | None = None, *, propagation: str = "Background", uid: str = "",
        grace_seconds: int | None = None,
    ) -> None:  # fmt: skip
        options: dict[str, Any] = {"propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self._call("DELETE", kind.path(namespace, name), body=options)

    @asynccontextmanager
    async def watch(
        self, kind: Kind[T], namespace: str | None = None, *, resource_version: str = "", labels: str = "", fields: str = "",
        timeout_seconds: int = 290, lenient: bool = False,
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:  # fmt: skip
        """Changes after `resource_version`, in order, bookmarks included. Raises `errors.Gone` when that is too old."""
        query = _query(
            watch="true", allowWatchBookmarks="true", resourceVersion=resource_version, labelSelector=labels, fieldSelector=fields,
            timeoutSeconds=str(timeout_seconds),
        )  # fmt: skip
        async with self.transport.watch(kind.path(namespace), query=query) as raw:
            yield _decoded(kind, raw, lenient)

    def logs(
        self, pod: str, namespace: str, *, follow: bool = False, tail: int | None = None, previous: bool = False,
        since_seconds: int | None = None, timestamps: bool = False, container: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:  # fmt: skip
        query = _query(
            follow="true" if follow else "", tailLines="" if tail is None else str(tail), previous="true" if previous else "",
            sinceSeconds="" if since_seconds is None else str(since_seconds), timestamps="true" if timestamps else "",
            container=container,
        )  # fmt: skip
        return self.transport.text(POD.path(namespace, pod, "log"), query=query)

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Any:
        """Sent again when the API server has too much to do (429): it has not looked at it then."""
        for left in reversed(range(TRIES)):
            answer = await self.transport.request(method, path, query=query, body=body, content_type=content_type)
            if answer.status != 429 or not left:
                break
            pause = min(LONGEST, 1.0 if answer.retry_after is None else answer.retry_after)
            await anyio.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311 - later, but not all at once
        if answer.status >= 400:
            raise errors.from_status(answer.status, answer.body)
        return answer.body


def _query(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


async def _decoded(kind: Kind[T], raw: AsyncIterator[dict[str, Any]], lenient: bool) -> AsyncIterator[WatchEvent[T]]:
    async for event in raw:
        obj = event["object"]
        if event["type"] == "ERROR":
            raise errors.from_status(int(obj.get("code") or 500), obj)
        version = str((obj.get("metadata") or {}).get("resourceVersion") or "")
        decoded = _decode(kind, obj, lenient)
        if decoded is not None:
            yield WatchEvent(event["type"], decoded, version)


def _decode(kind: Kind[T], item: dict[str, Any], lenient: bool) -> T | None:
    """None for one that cannot be read, if that is wanted: it is said in the log, and costs the others nothing."""
    meta = item.get("metadata")
    if isinstance(meta, dict) and "managedFields" in meta:
        item = {**item, "metadata": {name: value for name, value in meta.items() if name != "managedFields"}}
    try:
        return decode(kind.type, {"apiVersion": kind.api_version, "kind": kind.kind, **item})
    except msgspec.ValidationError as error:
        if not lenient:
            raise
        name = f"{meta.get('namespace', '')}/{meta.get('name', '')}" if isinstance(meta, dict) else "?"
        log.error("%s %s cannot be read and is left out: %s", kind.qualified, name, error)
        return None
