"""The admin doors of a platform's parts, asked for what they know of a revision: one door of an embedded platform, and on a cluster one
of each pod, through the API server's proxy and so with the user's own rights. Who may not ask is told nothing, and no error."""

import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kfn.api.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from cli.session import Session
    from kfn.kube.client import Client

Ask = Callable[[str, str, str], Awaitable[list[Any]]]
"""(part, page, revision as NAMESPACE/NAME) to what each door of that part says."""

PODS = 20  # of one part that are asked at most
PORT = 8081
SECONDS = 5.0


@asynccontextmanager
async def open_doors(session: "Session") -> AsyncIterator[Ask]:
    admin = (session.facts or {}).get("admin")
    if admin:
        token = await session.config.token()

        async def embedded(part: str, page: str, revision: str) -> list[Any]:
            return [_fetch(f"{admin}/{page}?revision={revision}", token)]

        yield embedded
        return
    async with session.client(timeout=SECONDS) as client:
        known: dict[str, list[str]] = {}

        async def proxied(part: str, page: str, revision: str) -> list[Any]:
            if part not in known:
                known[part] = await pods(client, part)
            return [await _through(client, path, page, revision) for path in known[part]]

        yield proxied


async def pods(client: "Client", part: str) -> list[str]:
    """The proxy paths of a part's running pods."""
    from kfn.api import kinds
    from kfn.kube import errors

    labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={part}"
    try:
        found, _ = await client.list(kinds.POD, SYSTEM_NAMESPACE, labels=labels, fields="status.phase=Running")
    except errors.KubeError:
        return []
    return [f"{kinds.POD.path(pod.metadata.namespace, pod.metadata.name)}:{PORT}/proxy" for pod in found[:PODS]]


async def _through(client: "Client", path: str, page: str, revision: str) -> Any:
    from kfn.kube import errors

    try:
        answer = await client.transport.request("GET", f"{path}/{page}", query={"revision": revision})
    except errors.KubeError:
        return None
    return answer.body if answer.status == 200 else None


def _fetch(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
    try:
        with direct.open(request, timeout=SECONDS) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None
