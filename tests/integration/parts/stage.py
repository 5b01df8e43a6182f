"""Parts of kfn as processes of their own (`kfn controller`, `kfn autoscaler`, ...) against the embedded API server, a process too."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx

from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport

ROOT = Path(__file__).resolve().parents[3]
SECRETS = {"KFN_AUTOSCALER_TOKEN": "for gateways", "KFN_SLOTS_TOKEN": "for slots"}
FREE = ("--admin-port", "0")


@dataclass
class Part:
    """One process. `said` is its ready line, by name; `log` what it logs."""

    process: asyncio.subprocess.Process
    log: Path
    said: dict[str, str] = field(default_factory=dict)

    async def ready(self, within: float = 120) -> "Part":
        assert self.process.stdout is not None
        with anyio.move_on_after(within):
            line = (await self.process.stdout.readline()).decode()
            assert line.startswith("ready "), f"{line!r}\n{self.text[-3000:]}"
            self.said = dict(word.split("=", 1) for word in line.split() if "=" in word)
            return self
        raise AssertionError(f"not ready within {within} s:\n{self.text[-3000:]}")

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float = 90) -> int:
        with anyio.fail_after(within):
            return await self.process.wait()

    async def get(self, path: str) -> httpx.Response:
        """From its admin port."""
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.get(f"{self.said['admin']}{path}")

    async def leads(self) -> bool:
        try:
            text = (await self.get("/metrics")).text
        except httpx.HTTPError:
            return False
        return any(line.startswith("kfn_leader{") and line.endswith(" 1") for line in text.splitlines())


class Stage:
    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self.path, self._stack = path, stack
        self.kubeconfig = path / "api" / "kubeconfig"
        self._port, self._count = "0", 0
        self.api: Part
        self.client: Client

    async def start_api(self) -> None:
        """Again at the same address with what it had, after it was ended."""
        self.api = await self._spawn("api", sys.executable, "-m", "tests.integration.parts.apiserver", str(self.path / "api"), self._port)
        assert self.api.process.stdout is not None
        with anyio.fail_after(120):
            line = (await self.api.process.stdout.readline()).decode().split()
        assert line[:1] == ["ready"], self.api.text
        self._port = line[1]

    async def part(self, name: str, *arguments: str, wait: bool = True, **environment: str) -> Part:
        """`kfn NAME`, once it is ready."""
        whole = [sys.executable, "-m", "cli.main", name, "--kubeconfig", str(self.kubeconfig), *FREE, *arguments]
        part = await self._spawn(name, *whole, **environment)
        return await part.ready() if wait else part

    async def _spawn(self, name: str, *command: str, **environment: str) -> Part:
        self._count += 1
        log = self.path / f"{name}-{self._count}.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=file, env={**os.environ, **SECRETS, **environment}
            )
        self._stack.push_async_callback(_end, process)
        return Part(process, log)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with anyio.move_on_after(10):
            await process.wait()
            return
        process.kill()
    await process.communicate()


@asynccontextmanager
async def stage(path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        made = Stage(path, stack)
        await made.start_api()
        transport = HttpTransport(config.load(str(made.kubeconfig)))
        stack.push_async_callback(transport.aclose)
        made.client = Client(transport)
        yield made


async def until(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 120) -> None:
    with anyio.move_on_after(seconds):
        while not await check():
            await anyio.sleep(0.05)
        return
    raise AssertionError(f"not within {seconds} s: {what}")


async def one_of(parts: list[Part]) -> Part:
    """The one that leads."""
    found: list[Part] = []

    async def leads() -> bool:
        found[:] = [part for part in parts if part.process.returncode is None and await part.leads()]
        return len(found) == 1

    await until(leads, "exactly one leads")
    return found[0]
