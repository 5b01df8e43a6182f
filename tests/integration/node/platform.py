"""A node on a real API server (in memory of this process), with an image store to put functions into."""

import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httptools

import kfn
from builder.oci import CONFIG, LAYER_TAR, MANIFEST
from builder.store import ImageStore
from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from embedded.api.server import ApiServer
from embedded.node.app import Node
from embedded.node.settings import Settings
from kfn.api import kinds
from kfn.api.core import EndpointSlice, Pod
from kfn.kube.client import Client

PORT = 8080


@dataclass
class Platform:
    """What a test has in its hands."""

    client: Client
    node: Node
    settings: Settings
    api: ApiServer

    def image(self, source: dict[str, str], *, name: str = "default/hello", runtime: bool = True, **labels: str) -> str:
        """Put an image into the store; answers its reference."""
        store = ImageStore(self.settings.images)
        trees = [("source", {f"func/{path}": text.encode() for path, text in source.items()})]
        if runtime:
            trees.insert(0, ("runtime", _runtime()))
        layers, diff_ids = [], []
        with store.writing():
            for kind, files in trees:
                blob = _tar(files)
                digest = store.put(blob)
                diff_ids.append(digest)
                layers.append({"mediaType": LAYER_TAR, "digest": digest, "size": len(blob), "annotations": {"dev.kfn.layer": kind}})
            found = {"dev.kfn.runtime": "python", "dev.kfn.handler": "func:handle", **{f"dev.kfn.{k}": v for k, v in labels.items()}}
            config = json.dumps({"config": {"Labels": found}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
            described = {"mediaType": CONFIG, "digest": store.put(config), "size": len(config)}
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
            return store.add(f"kfn.local/{name}", json.dumps(manifest).encode()).reference

    async def deploy(
        self, image: str, *, name: str = "hello", replicas: int | None = 1, grace: int = 2, **container: Any
    ) -> None:  # fmt: skip
        """A Deployment as the controller makes it, and its private Service."""
        labels = {"serving.knative.dev/revision": name, "app": name}
        spec = {"name": "user-container", "image": image, "ports": [{"name": "http-port", "containerPort": PORT}], **container}
        spec = {k: v for k, v in spec.items() if v is not None}
        pod = {"containers": [spec], "terminationGracePeriodSeconds": grace}
        deployment = {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": f"{name}-deployment", "namespace": "default", "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }  # fmt: skip
        service = {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": f"{name}-private", "namespace": "default", "labels": labels},
            "spec": {"selector": {"serving.knative.dev/revision": name}, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]},
        }  # fmt: skip
        await self.client.create(kinds.CORE_SERVICE, service, "default")
        await self.client.create(kinds.DEPLOYMENT, deployment, "default")

    async def scale(self, replicas: int, name: str = "hello") -> None:
        await self.client.scale(kinds.DEPLOYMENT, f"{name}-deployment", "default", replicas)

    async def pods(self) -> list[Pod]:
        return (await self.client.list(kinds.POD, "default"))[0]

    async def slices(self) -> list[EndpointSlice]:
        return (await self.client.list(kinds.ENDPOINT_SLICE, "default"))[0]

    async def pod_when(self, holds: Callable[[Pod], bool], limit: float = 40) -> Pod:
        return (await self.pods_when(lambda pods: any(map(holds, pods)), limit))[0]

    async def pods_when(self, holds: Callable[[list[Pod]], bool], limit: float = 40) -> list[Pod]:
        pods: list[Pod] = []
        with anyio.move_on_after(limit):
            while not holds(pods := await self.pods()):
                await anyio.sleep(0.005)
            return pods
        raise AssertionError(f"not within {limit} s: {[p.status for p in pods]}")

    async def log(self, pod: Pod, **wanted: Any) -> str:
        async with self.client.logs(pod.metadata.name, "default", **wanted) as chunks:
            return b"".join([chunk async for chunk in chunks]).decode()


def ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


@asynccontextmanager
async def platform(folder: Path, **settings: Any) -> AsyncIterator[Platform]:
    chosen = replace(Settings(folder / "data", folder / "images"), **settings)
    chosen.data.mkdir(exist_ok=True)
    async with open_server(folder / "state.db") as api, anyio.create_task_group() as tasks:
        client = Client(LocalTransport(api))
        node = Node(client, chosen)
        api.logs = node.logs
        tasks.start_soon(node.run)
        await node.ready.wait()
        yield Platform(client, node, chosen, api)
        tasks.cancel_scope.cancel()


async def get(address: EndpointSlice, path: str = "/") -> str:
    """The raw answer of an instance to one GET."""
    async with await anyio.connect_tcp(address.endpoints[0].addresses[0], address.ports[0].port or 0) as stream:
        await stream.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while True:
            try:
                data += await stream.receive()
            except anyio.EndOfStream:
                return data.decode()


def _runtime() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for package in (Path(kfn.__file__).parent, Path(httptools.__file__).parent):
        for path in package.rglob("*"):
            wanted = path.suffix in (".py", ".so") and not {"api", "kube", "observe"} & set(path.parts)
            if path.is_file() and wanted:
                files[f"opt/kfn/runtime/{path.relative_to(package.parent)}"] = path.read_bytes()
    return files


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
