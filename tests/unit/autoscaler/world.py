"""A Revision with its Deployment on an API server in memory, and a running autoscaler that looks after it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from msgspec.structs import replace

from autoscaler.app import Autoscaler
from autoscaler.settings import Settings
from kfn.api import kinds, names
from kfn.api.core import Deployment, DeploymentSpec, DeploymentStatus
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec
from kfn.kube.client import Client
from kfn.load import RevisionKey, Sample
from tests.fakes.kube import FakeApi

KEY = RevisionKey("default", "hello-00001")
DEPLOYMENT = names.deployment(KEY.name)


class World:
    """A Revision with its Deployment, and an autoscaler that looks after it."""

    def __init__(self, api: FakeApi, autoscaler: Autoscaler) -> None:
        self.api = api
        self.autoscaler = autoscaler

    @property
    def replicas(self) -> int:
        return self.api.the(kinds.DEPLOYMENT, DEPLOYMENT).spec.replicas or 0

    @property
    def scales(self) -> int:
        return sum(path.endswith("/scale") for _, path in self.api.writes)

    def deploy(self, replicas: int = 1, ready: int = 0) -> None:
        meta = ObjectMeta(name=DEPLOYMENT, namespace="default", labels={names.REVISION: KEY.name})
        status = DeploymentStatus(ready_replicas=ready)
        self.api.put(kinds.DEPLOYMENT, Deployment(metadata=meta, spec=DeploymentSpec(replicas=replicas), status=status))

    def ready(self, ready: int) -> None:
        deployment = self.api.the(kinds.DEPLOYMENT, DEPLOYMENT)
        self.api.put(kinds.DEPLOYMENT, replace(deployment, status=DeploymentStatus(ready_replicas=ready)))

    def revise(self, *, concurrency: int = 10, routing: str = "active", **annotations: str) -> None:
        notes = {f"autoscaling.knative.dev/{k.replace('_', '-')}": v for k, v in annotations.items()}
        meta = ObjectMeta(name=KEY.name, namespace="default", labels={names.ROUTING_STATE: routing}, annotations=notes)
        self.api.put(kinds.REVISION, Revision(metadata=meta, spec=RevisionSpec(container_concurrency=concurrency)))

    def load(self, concurrency: float, requests: int = 1, waiting: int = 0, gateway: str = "") -> None:
        self.autoscaler.report([Sample(KEY, concurrency, requests, waiting, 1.0)], gateway)

    async def until(self, holds: Callable[[], bool], *, within: float = 700, step: float = 0.05) -> float:
        """The time at which something became true, give or take a step."""
        with anyio.fail_after(within):
            while not holds():
                await anyio.sleep(step)
        return anyio.current_time()


@asynccontextmanager
async def world(
    *, replicas: int = 1, ready: int = 0, settings: Settings | None = None, concurrency: int = 10, **annotations: str
) -> AsyncIterator[World]:  # fmt: skip
    api = FakeApi()
    made = World(api, Autoscaler(Client(api), settings or Settings()))
    made.revise(concurrency=concurrency, **annotations)
    made.deploy(replicas, ready)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.autoscaler.run)
        await anyio.sleep(0.5)
        yield made
        tasks.cancel_scope.cancel()
