"""The autoscaler on the real embedded API server, with real time: short windows, its scale subresource, its watches."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from autoscaler.app import Autoscaler
from autoscaler.settings import Settings
from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from kfn.api import kinds, names
from kfn.api.base import Json
from kfn.kube.client import Client
from kfn.load import RevisionKey, Sample

KEY = RevisionKey("default", "hello-00001")
DEPLOYMENT = names.deployment(KEY.name)
FAST = Settings(stable_window=1.0, tick=0.2)


def revision() -> Json:
    meta = {"name": KEY.name, "namespace": "default", "labels": {names.ROUTING_STATE: "active"}}
    spec = {"containerConcurrency": 10, "containers": [{"image": "kfn.local/default/hello:1"}]}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": meta, "spec": spec}


def deployment(replicas: int) -> Json:
    labels = {names.REVISION: KEY.name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "user-container", "image": "kfn.local/default/hello:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": DEPLOYMENT, "namespace": "default", "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


@asynccontextmanager
async def cluster(state: Path, replicas: int) -> AsyncIterator[Client]:
    async with open_server(state) as server:
        client = Client(LocalTransport(server))
        await client.create(kinds.REVISION, revision(), "default")
        await client.create(kinds.DEPLOYMENT, deployment(replicas), "default")
        yield client


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Autoscaler]:
    autoscaler = Autoscaler(client, FAST)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(autoscaler.run)
        with anyio.fail_after(30):
            while not autoscaler.decisions(KEY):
                await anyio.sleep(0.01)
        yield autoscaler
        tasks.cancel_scope.cancel()


async def set_ready(client: Client, ready: int) -> None:
    patch = {"status": {"readyReplicas": ready, "replicas": ready}}
    await client.patch(kinds.DEPLOYMENT, DEPLOYMENT, "default", patch, subresource="status")


async def until(client: Client, holds: Callable[[int], bool], seconds: float = 30) -> float:
    with anyio.fail_after(seconds):
        while not holds((await client.get(kinds.DEPLOYMENT, DEPLOYMENT, "default")).spec.replicas or 0):
            await anyio.sleep(0.002)
    return anyio.current_time()


async def test_from_zero_by_a_poke_and_back_when_the_window_is_empty(tmp_path: Path) -> None:
    async with cluster(tmp_path / "state.db", 0) as client, running(client) as autoscaler:
        autoscaler.poke(KEY, 25)
        await until(client, lambda n: n == 3)
        await set_ready(client, 3)
        await anyio.sleep(0.3)
        autoscaler.report([Sample(KEY, 4.0, 25, 0, 0.3)])
        last = anyio.current_time()
        gone = await until(client, lambda n: n == 0)
        assert 1.0 <= gone - last < 5


async def test_a_new_autoscaler_takes_over_what_runs(tmp_path: Path) -> None:
    async with cluster(tmp_path / "state.db", 4) as client:
        await set_ready(client, 4)
        async with running(client) as first:
            first.report([Sample(KEY, 20.0, 25, 0, 0.3)])
            await anyio.sleep(0.5)
        async with running(client) as second:
            began = anyio.current_time()
            assert second.decisions(KEY)[0].decision.replicas == 4
            gone = await until(client, lambda n: n == 0)
            assert gone - began >= 0.9
