"""`GET pods/NAME/log`: reads the query, finds the container, and asks whoever keeps the logs. Unlike a cluster's, also for a pod
that is gone, as long as the node keeps what it wrote."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from embedded.api import paths, reads, status
from embedded.api.request import Request
from kfn.api.kinds import POD
from kfn.api.names import DEFAULT_CONTAINER

if TYPE_CHECKING:
    from embedded.api.server import ApiServer, Logs

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@asynccontextmanager
async def log_stream(server: "ApiServer", request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
    """The log's bytes. Raises `StatusError` when the pod or its container is not there."""
    target = paths.parse(request.path)
    if target is None or target.kind is not POD or target.subresource != "log":
        raise status.unknown_path()
    try:
        pod = reads.get(server.store, target)
    except status.StatusError as absent:
        async with _of_the_gone(server, request, target, absent) as lines:
            yield lines
        return
    names = [c.get("name", "") for field in ("containers", "initContainers") for c in pod.get("spec", {}).get(field) or ()]
    container = request.query.get("container", "")
    if not container:
        if len(names) > 1 and DEFAULT_CONTAINER not in names:
            text = f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
            raise status.bad_request(text)
        container = DEFAULT_CONTAINER if DEFAULT_CONTAINER in names or not names else names[0]
    elif container not in names:
        raise status.bad_request(f"container {container} is not valid for pod {target.name}")
    if server.logs is None:
        raise status.StatusError(503, "ServiceUnavailable", "no node has started here yet, so there are no logs")
    lines = _asked(server.logs, request, target, container)
    try:
        yield _refusable(lines, container, target.name)
    finally:
        await _close(lines)


@asynccontextmanager
async def _of_the_gone(
    server: "ApiServer", request: Request, target: paths.Target, absent: status.StatusError
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The log of a pod that was here and is no more, while the node keeps it: at zero it is all there is. Else the plain 404."""
    container = request.query.get("container") or DEFAULT_CONTAINER
    # Both become parts of a file's path, and no object vouches for them.
    if server.logs is None or not all(NAME.fullmatch(text) for text in (target.namespace, target.name, container)):
        raise absent
    lines = _asked(server.logs, request, target, container)
    try:
        try:
            first = await anext(lines, b"")
        except LookupError:
            raise absent from None
        yield _again(first, lines)
    finally:
        await _close(lines)


def _asked(logs: "Logs", request: Request, target: paths.Target, container: str) -> AsyncIterator[bytes]:
    numbers = {n: request.number(n, 0) if request.query.get(n) else None for n in ("tailLines", "sinceSeconds")}
    return logs(
        target.namespace, target.name, container, request.flag("follow"), numbers["tailLines"], request.flag("previous"),
        numbers["sinceSeconds"], request.flag("timestamps"),
    )  # fmt: skip


async def _close(lines: AsyncIterator[bytes]) -> None:
    close = getattr(lines, "aclose", None)
    if close is not None:
        await close()


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _refusable(lines: AsyncIterator[bytes], container: str, pod: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in lines:
            yield chunk
    except LookupError as error:
        raise status.bad_request(f'container "{container}" in pod "{pod}" has no such log: {error}') from error
