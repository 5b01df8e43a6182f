"""A Deployment becomes processes: the node on a real API server, with real function servers."""

import time
from pathlib import Path

import anyio

from kfn.api import kinds
from tests.integration.node.platform import get, platform, ready

HELLO = {"func.py": "print('imported', flush=True)\ndef handle(request):\n    return 'hello'\n"}


async def test_a_deployment_becomes_a_running_function_with_an_endpoint(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO))
        pod = await p.pod_when(ready)
        [piece] = await p.slices()
        assert "hello" in await get(piece)
        assert piece.metadata.labels["kubernetes.io/service-name"] == "hello-private"
        assert piece.metadata.labels["serving.knative.dev/revision"] == "hello"
        assert piece.endpoints[0].conditions.ready
        assert piece.endpoints[0].target_ref and piece.endpoints[0].target_ref.name == pod.metadata.name
        assert pod.status.phase == "Running"
        assert pod.metadata.name.startswith("hello-deployment-")
        assert "imported" in await p.log(pod)


async def test_scale_to_zero_and_back(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO), replicas=0)
        assert await p.pods() == []
        await p.scale(2)
        await p.pods_when(lambda pods: sum(map(ready, pods)) == 2)
        await p.scale(0)
        await p.pods_when(lambda pods: not pods)
        assert await p.slices() == []
        deployment = await p.client.get(kinds.DEPLOYMENT, "hello-deployment", "default")
        assert deployment.status.replicas == 0 or await _settles(p)


async def _settles(p: object) -> bool:
    await anyio.sleep(0.2)
    deployment = await p.client.get(kinds.DEPLOYMENT, "hello-deployment", "default")  # type: ignore[attr-defined]
    return bool(deployment.status.replicas == 0)


async def test_from_scale_patch_to_listening_is_quick(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO), replicas=0)
        await p.scale(1)
        await p.pod_when(ready)
        took = []
        for _ in range(10):
            await p.scale(0)
            await p.pods_when(lambda pods: not pods)
            began = time.perf_counter()
            await p.scale(1)
            while not any(s.endpoints[0].conditions.ready for s in await p.slices()):
                await anyio.sleep(0.0005)
            took.append(time.perf_counter() - began)
        took.sort()
        print("scale to ready, ms:", [round(t * 1000, 1) for t in took])
        assert took[5] < 0.5
