"""A reconciler over kfn's own API server, without a disk and without a bus."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio

from embedded.api.local import LocalTransport
from eventing.leader import run
from eventing.resolve import Resolver
from eventing.watched import Watched, World
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done
from tests.unit.embedded_api.memory import Memory


class Reconciler(Protocol):
    async def reconcile(self, key: str) -> Done: ...


@asynccontextmanager
async def reconciling(
    pick: Callable[[World], Watched[Any]], make: Callable[[Client, Informer[Any], Resolver], Reconciler]
) -> AsyncIterator[Client]:
    """It runs while the block does. Sinks are found by their URI only."""
    client = Client(LocalTransport((await Memory.open()).server))
    watched = pick(World(client))
    watched.informer.on_change(lambda old, new: watched.dirty(new or old))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watched.informer.run)
        tasks.start_soon(run, watched.keys, make(client, watched.informer, Resolver(client, [])).reconcile)
        yield client
        tasks.cancel_scope.cancel()


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(30):
        while not await is_so():
            await anyio.sleep(0.01)
