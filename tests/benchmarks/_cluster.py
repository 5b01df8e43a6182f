"""What benchmarks on a cluster share: an image on its nodes, Deployments of one pod, what is seen on watches, and raw requests."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import replace

from kfn.api import kinds, names
from kfn.api.core import Deployment, DeploymentSpec, LabelSelector, Pod, PodSpec, PodTemplateSpec
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta
from kfn.kube import config as kube
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport

NAMESPACE = "kfn-bench"
IMAGE = "dev.local/peer:1"  # of dev.local no registry is asked for a digest
WATCHED = 3600  # seconds, longer than a benchmark
PATIENCE = 120.0  # seconds for one thing to happen; it takes less than one


def load_image() -> str:
    """The small server of the cluster tests, on every node of a cluster of ours; elsewhere KFN_BENCH_IMAGE names one with port 8080."""
    if given := os.environ.get("KFN_BENCH_IMAGE"):
        return given
    from tests.cluster import images, lifecycle, tools
    from tests.cluster.layout import cluster_name

    cluster = lifecycle.existing(cluster_name())
    if cluster is None:
        raise SystemExit(f"there is no cluster {cluster_name()} of ours: make cluster-up, or name an image that listens in KFN_BENCH_IMAGE")
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as folder:
        archive = Path(folder) / "peer.tar"
        images.write(archive, IMAGE, tools.program("peer"), "serve")
        lifecycle.load(cluster, archive)
    return IMAGE


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    transport = HttpTransport(kube.load())
    try:
        yield Client(transport)
    finally:
        await transport.aclose()


@dataclass
class Seen:
    """What came on watches, in order, with the time of its arrival; `wait` looks at each as it comes."""

    events: list[tuple[float, Any]] = field(default_factory=list)
    _news: anyio.Event = field(default_factory=anyio.Event)

    async def follow(self, client: Client, kind: Kind[Any], task_status: anyio.abc.TaskStatus[None]) -> None:
        _, version = await client.list(kind, NAMESPACE)
        async with client.watch(kind, NAMESPACE, resource_version=version, timeout_seconds=WATCHED) as events:
            task_status.started()
            async for event in events:
                self.events.append((time.monotonic(), event.object))
                self._news.set()
                self._news = anyio.Event()

    async def wait(self, found: Callable[[Any], object]) -> Any:
        at = 0
        with anyio.fail_after(PATIENCE):
            while True:
                for _, thing in self.events[at:]:
                    if found(thing):
                        return thing
                at = len(self.events)
                await self._news.wait()

    def first(self, found: Callable[[Any], object]) -> float | None:
        return next((at for at, thing in self.events if found(thing)), None)


def is_pod(thing: Any, prefix: str) -> bool:
    return isinstance(thing, Pod) and thing.metadata.name.startswith(f"{prefix}-")


def is_ready(thing: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in thing.status.conditions)


async def deploy(client: Client, name: str, template: PodTemplateSpec | PodSpec) -> None:
    """A Deployment of no pods yet. Labels of a Revision are left out, or its Service would send to it."""
    spec = template.spec if isinstance(template, PodTemplateSpec) else template
    labels = {"bench": name}
    meta = ObjectMeta(name=name, namespace=NAMESPACE, labels=labels)
    pods = PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=replace(spec, restart_policy="Always"))
    body = Deployment(metadata=meta, spec=DeploymentSpec(replicas=0, selector=LabelSelector(match_labels=labels), template=pods))
    try:
        await client.delete(kinds.DEPLOYMENT, name, NAMESPACE)
    except errors.NotFound:
        pass
    await gone(client, name)
    for _ in range(100):
        try:
            await client.create(kinds.DEPLOYMENT, body, NAMESPACE)
            return
        except errors.AlreadyExists:
            await anyio.sleep(0.1)


async def service(client: Client, name: str, image: str, *, concurrency: int = 0, window: str = "6s") -> str:
    """A function; returns its host once it is ready."""
    notes = {"autoscaling.knative.dev/window": window}
    container = {"image": image, "imagePullPolicy": "IfNotPresent"}
    spec = {"containerConcurrency": concurrency, "containers": [container]}
    body = {
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"template": {"metadata": {"annotations": notes}, "spec": spec}},
    }  # fmt: skip
    try:
        await client.create(kinds.SERVICE, body, NAMESPACE)
    except errors.AlreadyExists:
        await client.patch(kinds.SERVICE, name, NAMESPACE, {"spec": body["spec"]})
    with anyio.fail_after(PATIENCE):
        while True:
            found = await client.get(kinds.SERVICE, name, NAMESPACE)
            if is_ready(found) and found.status.url:
                return found.status.url.partition("://")[2]
            await anyio.sleep(0.1)


def deployment_of(service: str) -> str:
    return names.deployment(f"{service}-00001")


async def gone(client: Client, prefix: str) -> None:
    """No pod of that Deployment is left, in whatever state."""
    with anyio.fail_after(PATIENCE):
        while any(is_pod(pod, prefix) for pod in (await client.list(kinds.POD, NAMESPACE))[0]):
            await anyio.sleep(0.05)


async def request(address: tuple[str, int], host: str, path: str = "/", headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own. Raises OSError."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{extra}\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12] or 0), body


async def first_answer(host: str, port: int) -> None:
    """Ask in a tight loop until the answer is 200."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                if (await request((host, port), host))[0] == 200:
                    return
            except OSError:
                pass
            await anyio.sleep(0.001)
