"""What a `kfn gateway` needs around it: an API server over TLS with one function on it, an autoscaler that listens, instances."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from starlette.applications import Starlette

from autoscaler.receive import Listener, Receiver
from kfn.api import kinds, names
from kfn.load import RevisionKey, Sample
from kfn.observe import web
from tests.fakes.routed import HttpClient
from tests.integration.embedded_api.served import Served, served

KEY = RevisionKey("default", "hello-00001")
HOST = "hello.default.localhost"
TOKEN = "token-of-the-autoscaler"


@dataclass
class Heard:
    """An autoscaler that only listens. `load` is each gateway's newest sample."""

    pokes: list[tuple[str, int]] = field(default_factory=list)
    load: dict[str, Sample] = field(default_factory=dict)
    requests: int = 0
    gone_gateways: list[str] = field(default_factory=list)
    on_poke: Callable[[], Awaitable[None]] | None = None

    def poke(self, revision: RevisionKey, waiting: int, gateway: str) -> None:
        self.pokes.append((gateway, waiting))

    def report(self, samples: Sequence[Sample], gateway: str, age: float) -> None:
        for sample in samples:
            self.load[gateway] = sample
            self.requests += sample.requests

    def arrived(self, gateway: str) -> None:
        pass

    def gone(self, gateway: str) -> None:
        self.gone_gateways.append(gateway)


@dataclass
class Process:
    """One `kfn gateway`."""

    process: asyncio.subprocess.Process
    log: Path
    port: int = 0
    https: int = 0
    admin: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    async def ready(self, seconds: float = 60) -> None:
        assert self.process.stdout is not None
        with anyio.fail_after(seconds):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("ready "), f"{line!r}\n{self.text[-3000:]}"
        said = dict(word.split("=", 1) for word in line.split()[1:])
        self.https = int(said.get("https", "0").rpartition(":")[2])
        self.port, self.admin = int(said["gateway"].rpartition(":")[2]), said["admin"]

    async def ended(self, seconds: float = 60) -> int:
        with anyio.fail_after(seconds):
            return await self.process.wait()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def get(self, path: str = "/") -> tuple[int, str]:
        """A request for the function, on a connection of its own."""
        client = await HttpClient.connect(self.port)
        try:
            answer = await client.ask("GET", path, HOST)
            return answer.status, answer.text
        finally:
            await client.close()

    async def ask(self, path: str) -> httpx.Response:
        """A request to the admin port."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            return await http.get(self.admin + path)

    async def number(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name with these labels."""
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        lines = [line for line in (await self.ask("/metrics")).text.splitlines() if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(one in line for one in wanted))


@dataclass
class Stage:
    api: Served
    heard: Heard
    autoscaler: str
    path: Path
    _count: int = 0

    async def instance(self, port: int) -> None:
        """A ready instance of the function."""
        meta = {
            "name": f"pod-{port}", "namespace": "default",
            "labels": {names.REVISION: KEY.name, names.SERVICE_NAME: f"{KEY.name}-private"},
        }  # fmt: skip
        endpoint = {"addresses": ["127.0.0.1"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": f"pod-{port}"}}
        doc = {"metadata": meta, "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "http", "port": port}]}
        await self.api.client.create(kinds.ENDPOINT_SLICE, {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **doc}, "default")

    async def start(self, *args: str, env: dict[str, str] | None = None) -> Process:
        """Not ready yet."""
        self._count += 1
        log = self.path / f"gateway-{self._count}.log"
        given = ("--port", "0", "--admin-port", "0", "--autoscaler", self.autoscaler, "--kubeconfig", str(self.api.kubeconfig))
        with log.open("wb") as err:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli.main", "gateway", *given, *args,
                env={**os.environ, "KFN_AUTOSCALER_TOKEN": TOKEN, **(env or {})}, stdout=asyncio.subprocess.PIPE, stderr=err,
            )  # fmt: skip
        return Process(process, log)

    @asynccontextmanager
    async def gateway(self, *args: str) -> AsyncIterator[Process]:
        process = await self.start(*args)
        try:
            await process.ready()
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.process.kill()
            await process.process.wait()
            process.process._transport.close()  # type: ignore[attr-defined]  # its pipe, before the loop is gone


@asynccontextmanager
async def stage(path: Path, listener: Listener | None = None, **spec: Any) -> AsyncIterator[Stage]:
    heard = Heard()
    async with served(path) as api:
        await _function(api, spec)
        receiver = Receiver(listener or heard, TOKEN)
        async with web.serving(Starlette(routes=[receiver.route]), drain=1) as port:
            try:
                yield Stage(api, heard, f"http://127.0.0.1:{port}", path)
            finally:
                receiver.end()


async def _function(api: Served, spec: dict[str, Any]) -> None:
    serving = "serving.knative.dev/v1"
    meta = {"name": KEY.name, "namespace": "default", "labels": {names.ROUTING_STATE: "active"}}
    container = {"image": "kfn.local/default/hello:1"}
    revision = {"apiVersion": serving, "kind": "Revision", "metadata": meta, "spec": {"containers": [container], **spec}}
    await api.client.create(kinds.REVISION, revision, "default")
    traffic = [{"revisionName": KEY.name, "percent": 100}]
    route = {"apiVersion": serving, "kind": "Route", "metadata": {"name": "hello", "namespace": "default"}, "spec": {"traffic": traffic}}
    await api.client.create(kinds.ROUTE, route, "default")
    status = {"status": {"url": f"http://{HOST}:8080", "traffic": traffic}}
    await api.client.patch(kinds.ROUTE, "hello", "default", status, subresource="status")


async def until(true: Callable[[], object], seconds: float = 60.0, what: str = "it did not come") -> None:
    try:
        with anyio.fail_after(seconds):
            while not true():
                await anyio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what} in {seconds:g} s") from None
