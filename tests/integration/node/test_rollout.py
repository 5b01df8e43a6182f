"""Replacing a template, following logs, running plain pods, and tidying."""

from pathlib import Path

import anyio
import pytest

from embedded.node.errors import BadImage
from embedded.node.images import Images
from kfn.api import kinds
from tests.integration.node.platform import get, platform, ready
from tests.integration.node.test_node import HELLO

TICK = {"func.py": "import sys\nprint('up', flush=True)\ndef handle(request):\n    print('asked', flush=True)\n    return 'x'\n"}


async def test_a_new_image_replaces_the_old_one_without_a_gap(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO), replicas=2)
        await p.pods_when(lambda pods: sum(map(ready, pods)) == 2)
        old = {pod.metadata.name for pod in await p.pods()}
        second = p.image({"func.py": "def handle(request):\n    return 'second'\n"})
        await p.client.patch(
            kinds.DEPLOYMENT, "hello-deployment", "default",
            [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": second}], type="application/json-patch+json",
        )  # fmt: skip
        lowest, pods = 2, await p.pods()
        with anyio.fail_after(15):
            while old & {pod.metadata.name for pod in pods} or sum(map(ready, pods)) < 2:
                lowest = min(lowest, sum(piece.endpoints[0].conditions.ready is True for piece in await p.slices()))
                await anyio.sleep(0.002)
                pods = await p.pods()
        assert lowest == 2
        for piece in await p.slices():
            assert "second" in await get(piece)


async def test_a_log_is_followed_until_the_pod_is_gone(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(TICK))
        pod = await p.pod_when(ready)
        seen: list[bytes] = []

        async def follow() -> None:
            async with p.client.logs(pod.metadata.name, "default", follow=True) as chunks:
                async for chunk in chunks:
                    seen.append(chunk)  # noqa: PERF401 - read by the test meanwhile

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                await get((await p.slices())[0])
                while b"asked" not in b"".join(seen):
                    await anyio.sleep(0.01)
                await p.scale(0)
        text = b"".join(seen).decode()
        assert text.count("up\n") == 1 and text.count("asked\n") == 1


async def test_a_job_like_pod_runs_once_and_says_how_it_ended(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "echo out; exit 4"]}]}
        job = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job", "namespace": "default"}, "spec": spec}
        await p.client.create(kinds.POD, job, "default")
        pod = await p.pod_when(lambda pod: pod.status.phase == "Failed")
        over = pod.status.container_statuses[0].state.terminated
        assert over and (over.exit_code, over.reason, over.message) == (4, "Error", "out")


async def test_volumes_are_folders_that_the_environment_names(tmp_path: Path) -> None:
    source = {"func.py": "import os\ndef handle(request):\n    return open(os.environ['KFN_VOLUME_MY_CONF'] + '/a/b').read()\n"}
    async with platform(tmp_path) as p:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}, "data": {"k": "from the map"}}
        await p.client.create(kinds.CONFIG_MAP, made, "default")
        await p.deploy(p.image(source), replicas=0)
        volumes = [{"name": "my-conf", "configMap": {"name": "m", "items": [{"key": "k", "path": "a/b"}]}}]
        await p.client.patch(
            kinds.DEPLOYMENT, "hello-deployment", "default", {"spec": {"replicas": 1, "template": {"spec": {"volumes": volumes}}}}
        )
        await p.pod_when(ready)
        assert "from the map" in await get((await p.slices())[0])


async def test_deleting_a_deployment_removes_its_pods(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO), replicas=2)
        await p.pods_when(lambda pods: sum(map(ready, pods)) == 2)
        await p.client.delete(kinds.DEPLOYMENT, "hello-deployment", "default")
        await p.pods_when(lambda pods: not pods)
        assert await p.slices() == []


async def test_two_functions_without_dependencies_share_one_warm_parent(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO), name="one")
        await p.deploy(p.image({"func.py": "def handle(request):\n    return 'two'\n"}, name="default/two"), name="two")
        await p.pods_when(lambda pods: sum(map(ready, pods)) == 2)
        assert len([zygote for zygote in p.node.zygotes if zygote.warmth.path]) == 1


async def test_a_damaged_layer_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        reference = p.image({"func.py": "def handle(request):\n    return 'x'\n"}, runtime=False)
        image = Images(p.settings)
        layer = image._store.resolve(reference).layers[0]
        blob = image._store.blob_path(layer.digest)
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes().replace(b"'x'", b"'y'"))
        with pytest.raises(BadImage, match=r"is damaged: its digest is .* Build the function again"):
            await image.prepare(reference)
        assert not any(p.settings.layers.iterdir())


async def test_layers_that_nothing_uses_are_removed(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        images = Images(p.settings)
        kept, dropped = p.image(HELLO), p.image({"func.py": "x = 1"}, name="default/other")
        folders = [(await images.prepare(reference)).folders for reference in (kept, dropped)]
        await images.forget_but(lambda: {kept})
        assert all(folder.is_dir() for folder in folders[0])
        assert not folders[1][-1].is_dir()
