"""A Transport that writes only while it may: what a leader uses, so that a write that comes late (the process was stopped and goes on,
a call was queued) is refused here when the lease may be another's by now. Reading is always allowed."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from kfn.kube import errors
from kfn.kube.transport import Response, Transport


class Fenced:
    """`may` is asked before each write."""

    def __init__(self, transport: Transport, may: Callable[[], bool]) -> None:
        self._transport, self._may = transport, may

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Response:
        if method != "GET" and not self._may():
            raise errors.Unreachable(f"{method} {path} is not sent: the lease is not held any more")
        return await self._transport.request(method, path, query=query, body=body, content_type=content_type)

    def watch(self, path: str, *, query: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        return self._transport.watch(path, query=query)

    def text(self, path: str, *, query: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._transport.text(path, query=query)

    async def aclose(self) -> None:
        await self._transport.aclose()
