"""The API server's core, without HTTP: a request in, an answer or a watch out. Read this first; the verbs are in their own files."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from embedded.api import deletes, paths, reads, scale, status, virtual, writes
from embedded.api.logs import log_stream
from embedded.api.request import Answer, Request
from embedded.api.settings import Settings
from embedded.api.store import Store
from embedded.api.watch import Watch


class Logs(Protocol):
    """Where pod logs come from; the node sets it. Raises `StatusError` or `LookupError` for a container it does not have."""

    def __call__(
        self, namespace: str, pod: str, container: str, follow: bool, tail: int | None, previous: bool, since: int | None, timestamps: bool
    ) -> AsyncIterator[bytes]: ...


@dataclass
class ApiServer:
    """One per platform. `handle` never raises for what a client did: a refusal is an answer with a `metav1.Status`."""

    store: Store
    settings: Settings
    logs: Logs | None = None

    async def handle(self, request: Request) -> Answer:
        try:
            target = paths.parse(request.path)
            if target is not None:
                return await self._resource(target, request)
            answer = virtual.answer(request)
            if answer is None:
                raise status.unknown_path()
            return answer
        except status.UnknownPath as error:
            return Answer(error.code, error.body(), text=error.text)
        except status.StatusError as error:
            return Answer(error.code, error.body())
        except RecursionError:
            return Answer(400, status.bad_request("the object provided is nested too deeply").body())

    async def _resource(self, target: paths.Target, request: Request) -> Answer:
        if target.subresource == "scale":
            return await scale.handle(self.store, target, request)
        if target.subresource == "log":
            raise status.method_not_allowed()  # a stream: see `log`
        if target.name:
            match request.method:
                case "GET":
                    return Answer(200, reads.get(self.store, target), table="object")
                case "PUT":
                    return await writes.update(self.store, target, request)
                case "PATCH":
                    return await writes.patched(self.store, target, request)
                case "DELETE":
                    return await deletes.delete(self.store, target, request)
        else:
            match request.method:
                case "GET":
                    return reads.list_(self.store, target, request)
                case "POST":
                    return await writes.create(self.store, target, request)
                case "DELETE":
                    return await deletes.delete_collection(self.store, target, request)
        raise status.method_not_allowed()

    @contextmanager
    def watch(self, request: Request) -> Iterator[Watch]:
        """An open watch on a collection. Raises `StatusError`: 410 when the version asked for is too old."""
        target = paths.parse(request.path)
        if target is None:
            raise status.unknown_path()
        if target.subresource:
            raise status.method_not_allowed()
        selector = reads.selection(target, request)
        watch = Watch(self.store, self.store.shelves[target.kind.qualified], target.namespace, selector, request, self.settings)
        try:
            yield watch
        finally:
            watch.close()

    def end_watches(self) -> None:
        """End every open watch, so that a server that stops need not wait for its clients."""
        for shelf in self.store.shelves.values():
            for watch in list(shelf.watchers.values()):
                watch.end()

    def log(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A pod's log as a byte stream. Raises `StatusError`."""
        return log_stream(self, request)
