"""A gateway with real sockets over an API server in memory, and short words for what the cluster would write there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httptools

from gateway.app import Gateway
from gateway.settings import Settings
from kfn.api import kinds, names
from kfn.api.core import Container, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference, Probe
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import Revision, RevisionSpec, RevisionStatus, Route, RouteStatus, TrafficTarget
from kfn.kube.client import Client
from kfn.load import RevisionKey, Sample
from tests.fakes.kube import FakeApi

HOST = "hello.default.localhost"


@dataclass
class Sink:
    """Keeps what the autoscaler would be told; `on_poke` lets a test play the autoscaler."""

    pokes: list[tuple[str, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    on_poke: Callable[[RevisionKey, int], None] = lambda key, waiting: None

    def poke(self, revision: RevisionKey, waiting: int) -> None:
        self.pokes.append((str(revision), waiting))
        self.on_poke(revision, waiting)

    def report(self, samples: Sequence[Sample]) -> None:
        self.samples += samples


class Cluster:
    """The API objects of a few functions."""

    def __init__(self) -> None:
        self.api = FakeApi()

    def route(
        self, name: str = "hello", traffic: Sequence[TrafficTarget] = (), namespace: str = "default", *, hosts: str = "",
        domain: str = "localhost:8080",
    ) -> None:  # fmt: skip
        targets = list(traffic) or [TrafficTarget(revision_name=f"{name}-00001", percent=100)]
        own = {names.HOSTS: hosts} if hosts else {}
        status = RouteStatus(url=f"http://{name}.{namespace}.{domain}", traffic=targets, annotations=own)
        self.api.put(kinds.ROUTE, Route(metadata=ObjectMeta(name=name, namespace=namespace), status=status))

    def revision(
        self, name: str = "hello-00001", *, conditions: Sequence[Condition] = (), probe: Probe | None = None, service: str = "", **spec: Any
    ) -> None:
        container = Container(image="x", readiness_probe=probe)
        revision = Revision(
            metadata=ObjectMeta(name=name, namespace="default", labels={names.SERVICE: service} if service else {}),
            spec=RevisionSpec(containers=[container], **spec),
            status=RevisionStatus(conditions=list(conditions)),
        )
        self.api.put(kinds.REVISION, revision)

    def instance(
        self, port: int, revision: str = "hello-00001", *, ready: bool = True, terminating: bool = False, name: str = "http"
    ) -> None:
        pod = f"{revision}-pod-{port}"
        slice_ = EndpointSlice(
            metadata=ObjectMeta(
                name=pod, namespace="default", labels={names.REVISION: revision, names.SERVICE_NAME: f"{revision}-private"}
            ),
            address_type="IPv4",
            endpoints=[
                Endpoint(
                    addresses=["127.0.0.1"],
                    conditions=EndpointConditions(ready=ready, terminating=terminating),
                    target_ref=ObjectReference(kind="Pod", name=pod),
                )
            ],
            ports=[EndpointPort(name=name, port=port)],
        )
        self.api.put(kinds.ENDPOINT_SLICE, slice_)

    def remove_instance(self, port: int, revision: str = "hello-00001") -> None:
        self.api.remove(kinds.ENDPOINT_SLICE, f"{revision}-pod-{port}")


@dataclass
class Routed:
    gateway: Gateway
    cluster: Cluster
    sink: Sink

    def line(self, revision: str = "hello-00001") -> Any:
        assert self.gateway.chain is not None
        return self.gateway.chain.lines[RevisionKey("default", revision)]

    def knows(self, host: str) -> bool:
        return self.gateway.chain is not None and self.gateway.chain.table.find(host) is not None

    async def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        with anyio.fail_after(seconds):
            while not true():
                await anyio.sleep(0.002)

    async def client(self) -> "HttpClient":
        return await HttpClient.connect(self.gateway.port)

    async def get(self, path: str = "/", host: str = HOST, **headers: str) -> "Answer":
        client = await self.client()
        try:
            return await client.ask("GET", path, host, **headers)
        finally:
            await client.close()


@asynccontextmanager
async def routed(cluster: Cluster | None = None, sink: Sink | None = None, **settings: Any) -> AsyncIterator[Routed]:
    """A running gateway. Without a `cluster` it knows one function, `hello`, that has no instance yet."""
    if cluster is None:
        cluster = Cluster()
        cluster.route()
        cluster.revision()
    sink = sink or Sink()
    gateway = Gateway(Client(cluster.api), sink, Settings(**{"port": 0, "drain": 0.5, "stop_idle": 0.0, **settings}))
    started = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await gateway.run(started=started.set)

        tasks.start_soon(run)
        with anyio.fail_after(30):
            await started.wait()
        try:
            yield Routed(gateway, cluster, sink)
        finally:
            tasks.cancel_scope.cancel()
    for _ in range(5):
        await asyncio.sleep(0)  # asyncio accepts in a task of its own: a connection that came last is closed some turns later


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode()


class HttpClient:
    """One connection to the gateway, with the bytes in the test's hands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "HttpClient":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, method: str, path: str = "/", host: str = HOST, body: bytes | None = None, **headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return await self.answer(method)

    async def answer(self, method: str = "GET", seconds: float = 30.0) -> Answer:
        """The next response, read by a parser of its own."""
        answer = Answer()
        with anyio.fail_after(seconds):
            while True:
                head = await self.reader.readuntil(b"\r\n\r\n")
                parsed = _Head()
                parser: Any = httptools.HttpResponseParser(parsed)
                try:
                    parser.feed_data(head)
                except httptools.HttpParserUpgrade:
                    pass
                answer.status = parser.get_status_code()
                if answer.status >= 200 or answer.status == 101:
                    break
                answer.interim.append(answer.status)
            answer.headers = parsed.headers
            if method == "HEAD" or answer.status in (101, 204, 304):
                return answer
            if "content-length" in answer.headers:
                answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
            elif answer.headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline(), 16):
                    answer.body += await self.reader.readexactly(size)
                    assert await self.reader.readexactly(2) == b"\r\n"
                while (line := await self.reader.readline()) != b"\r\n":
                    name, _, value = line.decode().partition(":")
                    answer.trailers[name.lower()] = value.strip()
            else:
                answer.body = await self.reader.read()
        return answer


class _Head:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode().lower()
        assert key not in self.headers or key == "set-cookie", f"{key} comes twice"
        self.headers[key] = value.decode("latin-1")
