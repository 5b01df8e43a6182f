"""The Deployment controller over an API server in memory: what it keeps for Deployments, and that it lets go of it."""

import asyncio

import anyio
import msgspec

from embedded.node.deployments import Deployments
from kfn.api import kinds
from kfn.api.core import Deployment, DeploymentSpec
from kfn.api.meta import ObjectMeta
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi


async def test_the_wait_for_a_progress_deadline_goes_with_its_deployment() -> None:
    client = Client(FakeApi())
    async with anyio.create_task_group() as tasks:
        deployments = Deployments(client, tasks, "node", lambda uid: [], lambda pod: None, lambda: 100)
        before = _waiting()
        known = []
        for i in range(20):
            wanted = Deployment(metadata=ObjectMeta(name=f"f{i}", namespace="default", uid=f"u{i}"), spec=DeploymentSpec(replicas=1))
            made = await client.create(kinds.DEPLOYMENT, wanted, "default")
            known.append(msgspec.structs.replace(wanted, metadata=msgspec.structs.replace(made.metadata, uid=f"u{i}")))
            deployments.changed(None, known[-1])
        await anyio.sleep(1)
        assert _waiting() >= before + 20
        for deployment in known:
            deployments.changed(deployment, None)
        await anyio.sleep(1)
        assert _waiting() == before


def _waiting() -> int:
    """Tasks and timers."""
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return len(asyncio.all_tasks()) + sum(not timer.cancelled() for timer in timers)
