"""A platform for builds in one process: the embedded API server, what runs Jobs on this machine, and controllers. The runner is a real
process of an ordinary user, without capabilities; as root the tests start it as nobody."""

import asyncio
import os
import sys
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from anyio.abc import TaskGroup

from builder.cache import Cache
from builder.cluster import source_artifact
from builder.cluster.app import Builds
from builder.cluster.settings import Settings
from builder.options import BuildOptions
from builder.registry.client import Registries
from builder.registry.reference import parse_ref
from embedded import buildjobs, buildprocess
from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from embedded.api.server import ApiServer
from kfn.api import conditions, kinds
from kfn.api.build import Build
from kfn.api.meta import Condition
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.lease import Terms
from tests.peers.registry import Auth, Running, registry

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[3]
HANDLER = "def handle(request):\n    return 'hello'\n"
DEBIAN_PYTHON = Path("/usr/bin/python3")


def python() -> str:
    """An interpreter that the runner's user may start: this one, unless it lies in root's own folder."""
    if os.geteuid() or not str(Path(sys.executable).resolve()).startswith("/root/"):
        return sys.executable
    if not (DEBIAN_PYTHON.exists() and DEBIAN_PYTHON.resolve().name == f"python3.{sys.version_info.minor}"):
        pytest.skip(f"no Python 3.{sys.version_info.minor} in /usr/bin that an ordinary user could start")
    return str(DEBIAN_PYTHON)


def environment() -> dict[str, str]:
    """Where the runner's interpreter finds kfn and its libraries."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))}


@dataclass
class Stage:
    """`start` another controller by `controller`; end it by cancelling its scope."""

    server: ApiServer
    client: Client
    tasks: TaskGroup
    data: Path
    registry: Running
    silent: str  # the host of a registry that takes requests and never answers: it keeps a build busy
    settings: Settings = field(default_factory=Settings)
    made: int = 0

    @property
    def host(self) -> str:
        return self.registry.host

    def controller(self, settings: Settings | None = None, terms: Terms | None = None) -> anyio.CancelScope:
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await Builds(Client(LocalTransport(self.server, "system:kfn:builds")), settings or self.settings, terms=terms).run()

        self.tasks.start_soon(run)
        return scope

    def node(self, **changes: Any) -> anyio.CancelScope:
        """What runs the Jobs; a cancelled one kills what it runs."""
        scope = anyio.CancelScope()
        settings = buildprocess.Settings(self.data, python=python(), environ=environment(), **changes)
        jobs = buildjobs.BuildJobs(Client(LocalTransport(self.server, "system:node:kfn-builds")), settings)
        self.server.logs = jobs.logs(_no_logs)

        async def run() -> None:
            with scope:
                await jobs.run()

        self.tasks.start_soon(run)
        return scope

    async def busy(self, path: str = "team/hello", **spec: Any) -> Build:
        """A Build that works until somebody ends it."""
        return await self.at(await self.build(path=path, host=self.silent, **spec), "Building")

    async def build(
        self, name: str = "", source: dict[str, Any] | None = None, path: str = "team/hello", host: str = "", **spec: Any
    ) -> Build:
        """Create a Build without waiting for it."""
        self.made += 1
        wanted = {
            "apiVersion": "kfn.dev/v1alpha1",
            "kind": "Build",
            "metadata": {"name": name or f"hello-{self.made}", "namespace": spec.pop("namespace", "default")},
            "spec": {
                "source": source or {"inline": {"func.py": HANDLER}},
                "image": {"repository": f"{host or self.host}/{path}", "tags": ["1"]},
                "base": "none",
                **spec,
            },
        }
        return await self.client.create(kinds.BUILD, wanted, wanted["metadata"]["namespace"])

    async def get(self, name: str, namespace: str = "default") -> Build:
        return await self.client.get(kinds.BUILD, name, namespace)

    async def ended(self, build: Build, seconds: float = 60) -> Build:
        """The Build once it is over."""
        meta = build.metadata

        async def over() -> Build | None:
            there = await self.get(meta.name, meta.namespace)
            return there if succeeded(there).status != "Unknown" else None

        return await eventually(over, seconds)

    async def at(self, build: Build, *reasons: str, seconds: float = 30) -> Build:
        """The Build once it is under way with one of these reasons."""

        async def there() -> Build | None:
            found = await self.get(build.metadata.name, build.metadata.namespace)
            return found if succeeded(found).reason in reasons else None

        return await eventually(there, seconds)

    async def cancel(self, build: Build) -> None:
        await self.client.patch(kinds.BUILD, build.metadata.name, build.metadata.namespace, {"spec": {"cancel": True}})

    def processes(self) -> list[int]:
        return runners(self.data)


@asynccontextmanager
async def stage(
    folder: Path, settings: Settings | None = None, *, node: bool = True, controller: bool = True, auth: Auth = "none"
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(registry(folder, auth))
        silent = await stack.enter_async_context(silence())
        server = await stack.enter_async_context(open_server(folder / "state.db"))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        made = Stage(server, Client(LocalTransport(server, "user")), tasks, folder / "data", host, silent, settings or Settings())
        made.data.mkdir(exist_ok=True)
        if node:
            made.node()
        if controller:
            made.controller()
        try:
            yield made
        finally:
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """A port that takes connections and says nothing."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def runners(data: Path) -> list[int]:
    """The runners of a platform that live, found by where they work."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            env, argv = (entry / "environ").read_bytes().split(b"\0"), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"builder.cluster.runner" in argv and any(str(data).encode() in v for v in env if v.startswith(b"TMPDIR=")):
            found.append(int(entry.name))
    return found


def succeeded(build: Build) -> Condition:
    return conditions.find(build.status.conditions, "Succeeded") or Condition("Succeeded", "Unknown")


async def eventually(holds: Callable[[], Awaitable[T | None]], seconds: float = 30) -> T:
    """What `holds()` gives, once it is true."""
    with anyio.fail_after(seconds):
        while True:
            try:
                if found := await holds():
                    return found
            except errors.NotFound:
                pass
            await anyio.sleep(0.02)


async def uploaded(folder: Path, host: str, cache: Path) -> str:
    """The reference of a folder's source artifact in the registry, by digest."""
    made = source_artifact.assemble(source_artifact.collect(folder, BuildOptions(store=None)), Cache(cache))
    ref = parse_ref(f"{host}/team/hello").bare
    async with Registries() as registries:
        await source_artifact.upload(registries, made, ref, lambda step: None)
    return f"{ref.name}@{made.content.digest}"


async def _no_logs(*_: Any) -> AsyncIterator[bytes]:
    raise LookupError("no such log")
    yield b""
