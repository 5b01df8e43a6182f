"""How requests reach an API server. One protocol, two transports: HTTP (`kfn.kube.http`) and, inside the
embedded platform's own process, a direct call (`embedded`)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Response:
    """A finished answer: status code and decoded JSON body (None when there is none)."""

    status: int
    body: Any
    retry_after: float | None = None  # seconds, where the server says when to ask again


class Transport(Protocol):
    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Response:
        """Send one request. `body` is JSON-able. Raises `kfn.kube.errors.Unreachable` when no answer came."""
        ...

    def watch(self, path: str, *, query: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Open a watch: decoded `{"type": ..., "object": ...}` events until the server ends it.

        Raises `kfn.kube.errors.ApiError` if the server refuses (410 included), `Unreachable` if it goes away.
        """
        ...

    def text(self, path: str, *, query: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a byte stream, such as a pod's log."""
        ...

    async def aclose(self) -> None: ...
