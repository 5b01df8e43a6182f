"""A local copy of one kind's objects, kept true by list and watch. Readers get a plain dictionary; writers use the client.

Resumes a broken watch from the last resourceVersion, lists again when that is gone (410), and never tells a handler about
an object that did not change. Which changes matter is the handler's business.
"""

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import anyio

from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)

_FIRST = 0.05  # seconds until the first try again
_LASTING = 1.0  # seconds after which a watch has been one

T = TypeVar("T")
Handler = Callable[[T | None, T | None], None]
"""Called with (old, new) after the store changed: (None, x) added, (x, y) modified, (x, None) deleted. It must not wait."""


class Informer(Generic[T]):
    """Lists, then watches, one kind. `run` does it for ever; `synced` returns once the first list is in the store."""

    def __init__(
        self, client: Client, kind: Kind[T], *, namespace: str | None = None, labels: str = "", fields: str = "", backoff_max: float = 5.0,
        keep: Callable[[T], T] | None = None,
    ) -> None:  # fmt: skip
        """`keep` makes the smaller object that is stored, where there may be many: handlers get the whole new one once, when it changes."""
        self.kind = kind
        self._keep = keep
        self._client = client
        self._labels, self._fields = labels, fields
        self._namespace = namespace
        self._backoff_max = backoff_max
        self._store: dict[tuple[str, str], T] = {}
        self._handlers: list[Handler[T]] = []
        self._synced = anyio.Event()
        self._version = ""
        self._lost: float | None = None  # since when the API server cannot be followed
        self._kept: float | None = None  # since when it is followed without a break

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler` for every later change, and now for every object already here."""
        self._handlers.append(handler)
        for obj in list(self._store.values()):
            self._tell(handler, None, obj)

    def __len__(self) -> int:
        return len(self._store)

    def get(self, namespace: str, name: str) -> T | None:
        return self._store.get((namespace, name))

    def list(self, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> "list[T]":
        return [
            obj
            for (ns, _), obj in self._store.items()
            if (namespace is None or ns == namespace) and (not labels or labels.items() <= _meta(obj).labels.items())
        ]

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def stale(self) -> float:
        """For how many seconds the copy may have fallen behind, because the API server cannot be followed. 0: it is being followed."""
        return 0.0 if self._lost is None else anyio.current_time() - self._lost

    @property
    def followed(self) -> float:
        """For how many seconds the copy has been kept up without a break. What it says of before may be from before the break."""
        return anyio.current_time() - self._kept if self._lost is None and self._kept is not None else 0.0

    async def synced(self) -> None:
        await self._synced.wait()

    async def run(self) -> None:
        """List and watch until cancelled. An API server that goes away is asked again, at most `backoff_max` seconds apart."""
        delay, said, listed = _FIRST, "", -_LASTING
        self._lost = anyio.current_time()
        while True:
            try:
                if not self._version:
                    await self._relist()
                    listed = anyio.current_time()
                await self._follow()
                delay, said = _FIRST, ""
                continue
            except errors.Gone as error:
                self._version = ""
                if anyio.current_time() - listed >= _LASTING:  # history goes by; one that is over at once is a server in trouble
                    log.info("%s: the watch has expired, listing again", self.kind.qualified)
                    continue
                why: errors.KubeError = error
            except errors.KubeError as error:
                why = error
            if self._lost is None:
                self._lost, delay = anyio.current_time(), _FIRST
            pause = delay * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come at once to a server that is back
            level = logging.DEBUG if str(why) == said else logging.WARNING
            log.log(level, "%s: %s; trying again in %.2g s", self.kind.qualified, why, pause)
            said = str(why)
            await anyio.sleep(pause)
            delay = min(delay * 2, self._backoff_max)
            if isinstance(why, errors.ApiError) and not _passes(why):
                self._version = ""

    async def _relist(self) -> None:
        """What the list says is so, even where its versions are older: a cluster may have been restored from a backup."""
        items, version = await self._client.list(self.kind, self._namespace, labels=self._labels, fields=self._fields, lenient=True)
        fresh = {_key(obj): obj for obj in items}
        for key in [k for k in self._store if k not in fresh]:
            self._set(key, None)
        for key, obj in fresh.items():
            old = self._store.get(key)
            if old is None or (_meta(old).uid, _meta(old).resource_version) != (_meta(obj).uid, _meta(obj).resource_version):
                self._put(key, old, obj)
        self._version = version
        self._synced.set()

    async def _follow(self) -> None:
        watch = self._client.watch(
            self.kind, self._namespace, resource_version=self._version, labels=self._labels, fields=self._fields, lenient=True
        )
        before, opened = self._lost, anyio.current_time()
        try:
            async with watch as events:
                if self._lost is not None:
                    self._lost, self._kept = None, anyio.current_time()
                async for event in events:
                    if event.type != "BOOKMARK":
                        key = _key(event.object)
                        self._set(key, None if event.type == "DELETED" else event.object)
                    self._version = event.resource_version or self._version
        except errors.KubeError:
            if anyio.current_time() - opened < _LASTING:
                self._lost = before  # it was accepted and not served: a proxy does that whose server is away
            raise

    def _set(self, key: tuple[str, str], new: T | None) -> None:
        old = self._store.get(key)
        if new is None:
            if old is None:
                return
            self._put(key, old, None)
        elif old is None or _is_newer(_meta(new), _meta(old)):  # else it is a repeated event
            self._put(key, old, new)

    def _put(self, key: tuple[str, str], old: T | None, new: T | None) -> None:
        if new is None:
            del self._store[key]
        else:
            self._store[key] = new if self._keep is None else self._keep(new)
        for handler in self._handlers:
            self._tell(handler, old, new)

    def _tell(self, handler: Handler[T], old: T | None, new: T | None) -> None:
        """A handler's bug must not cost the others their news."""
        try:
            handler(old, new)
        except Exception:
            log.exception("%s: a change handler failed on %s/%s", self.kind.qualified, *_key(new if new is not None else old))


def _passes(error: errors.ApiError) -> bool:
    """A server with too much to do, or one that starts: what we have of it is still good, and to list all again would not help it."""
    return error.code in (429, 500, 502, 503, 504) and "resource version" not in error.message


def _meta(obj: Any) -> ObjectMeta:
    meta: ObjectMeta = obj.metadata
    return meta


def _key(obj: Any) -> tuple[str, str]:
    meta = _meta(obj)
    return meta.namespace, meta.name


def _is_newer(new: ObjectMeta, old: ObjectMeta) -> bool:
    """Kubernetes promises since 1.35 that resourceVersions of one kind compare as integers; others are only compared for equality."""
    if new.uid != old.uid:
        return True
    if new.resource_version.isdecimal() and old.resource_version.isdecimal():
        return int(new.resource_version) > int(old.resource_version)
    return new.resource_version != old.resource_version
