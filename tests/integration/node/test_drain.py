"""Ending a pod while requests are under way: a node and a gateway over one API server, and programs that die at once on SIGTERM."""

import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from embedded.node.app import Node
from embedded.node.settings import Settings
from gateway.app import Gateway
from gateway.settings import Settings as GatewaySettings
from kfn.api import kinds
from kfn.api.core import Pod
from kfn.kube.client import Client
from kfn.load import RevisionKey
from tests.fakes.routed import HttpClient, Sink
from tests.integration.node.platform import Platform, ready

HOST = "hello.default.localhost"
KEY = RevisionKey("default", "hello")

# A plain server: it keeps connections alive, takes as long as its path says, and knows nothing of SIGTERM.
PLAIN = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(float(self.path[1:] or 0))
        body = os.environ["POD"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class Stage:
    """The platform of a test, its gateway, and what callers got."""

    platform: Platform
    gateway: Gateway
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def deploy(self, replicas: int, *, grace: int = 30) -> None:
        name = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        await self.platform.deploy("plain", replicas=replicas, grace=grace, command=[sys.executable, "-c", PLAIN], env=name)
        await self.ready(replicas)

    async def ready(self, replicas: int) -> list[Pod]:
        return await self.platform.pods_when(lambda pods: len(pods) == replicas and all(map(ready, pods)))

    async def ask(self, seconds: float = 0, times: int = 1) -> None:
        """Requests one after the other on one connection."""
        client = await HttpClient.connect(self.gateway.port)
        try:
            for _ in range(times):
                answer = await client.ask("GET", f"/{seconds}", HOST)
                if answer.status == 200:
                    self.answers[answer.text] += 1
                else:
                    self.wrong.append(f"{answer.status} {answer.text}")
        finally:
            await client.close()

    async def until_under_way(self, requests: int) -> None:
        with anyio.fail_after(30):
            while sum(self.gateway.in_flight(KEY).values()) < requests:
                await anyio.sleep(0.002)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    (folder / "data").mkdir()
    async with open_server(folder / "state.db") as api, anyio.create_task_group() as tasks:
        client = Client(LocalTransport(api))
        gateway = Gateway(client, Sink(), GatewaySettings(port=0, drain=0.5))
        chosen = Settings(folder / "data", folder / "images")
        node = Node(client, chosen, gateway)
        tasks.start_soon(node.run)
        await node.ready.wait()
        await _objects(client)
        started = anyio.Event()

        async def serve() -> None:
            await gateway.run(started=started.set)

        tasks.start_soon(serve)
        await started.wait()
        yield Stage(Platform(client, node, chosen, api), gateway)
        tasks.cancel_scope.cancel()


async def _objects(client: Client) -> None:
    """What the controller would have made."""
    meta = {"name": "hello", "namespace": "default"}
    spec = {"containers": [{"name": "user-container", "image": "plain"}], "timeoutSeconds": 60}
    await client.create(kinds.REVISION, {"metadata": meta, "spec": spec}, "default")
    traffic = [{"revisionName": "hello", "percent": 100}]
    await client.create(kinds.ROUTE, {"metadata": meta, "spec": {"traffic": traffic}}, "default")
    status = {"url": f"http://{HOST}", "traffic": traffic}
    await client.patch(kinds.ROUTE, "hello", "default", {"status": status}, subresource="status")


async def test_scaling_down_under_load_fails_no_request_of_a_server_that_dies_on_sigterm(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.deploy(4)
        async with anyio.create_task_group() as callers:
            for _ in range(12):
                callers.start_soon(s.ask, 0.01, 60)
            await s.until_under_way(8)
            await s.platform.scale(1)
            await s.ready(1)
        assert s.wrong == []
        assert s.answers.total() == 12 * 60


async def test_a_long_request_is_finished_before_its_instance_gets_sigterm(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.deploy(1)
        async with anyio.create_task_group() as callers:
            callers.start_soon(s.ask, 1.5)
            await s.until_under_way(1)
            await s.platform.scale(0)
            await s.platform.pods_when(lambda pods: bool(pods) and bool(pods[0].metadata.deletion_timestamp))
            assert (await s.platform.pods())[0].status.container_statuses[0].state.running, "it lives while it works"
        assert (s.answers.total(), s.wrong) == (1, [])
        await s.platform.pods_when(lambda pods: not pods)


async def test_the_wait_for_a_request_ends_with_the_grace_period(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.deploy(1, grace=1)
        async with anyio.create_task_group() as callers:
            callers.start_soon(s.ask, 50)
            await s.until_under_way(1)
            await s.platform.scale(0)
            await s.platform.pods_when(lambda pods: not pods)
        assert len(s.wrong) == 1 and s.wrong[0].startswith("502")


async def test_removing_a_pod_by_force_waits_for_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.deploy(1, grace=50)
        async with anyio.create_task_group() as callers:
            callers.start_soon(s.ask, 50)
            await s.until_under_way(1)
            pod = (await s.platform.pods())[0].metadata
            await s.platform.scale(0)
            await s.platform.pods_when(lambda pods: bool(pods[0].metadata.deletion_timestamp))
            await s.platform.client.delete(kinds.POD, pod.name, "default", grace_seconds=0)
        assert len(s.wrong) == 1 and s.wrong[0].startswith("502")


async def test_the_idle_instance_goes_and_the_busy_one_stays(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.deploy(1)
        busy = (await s.platform.pods())[0].metadata.name
        async with anyio.create_task_group() as callers:
            callers.start_soon(s.ask, 2)
            await s.until_under_way(1)
            await s.platform.scale(3)
            await s.ready(3)
            await s.platform.scale(1)
            left = await s.ready(1)
            assert [pod.metadata.name for pod in left] == [busy]
        assert s.answers == {busy: 1}
