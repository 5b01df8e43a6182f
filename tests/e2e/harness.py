"""A whole platform as a child process (`kfn up`), and the `kfn` command against it: what a user has, nothing less."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

KFN = [sys.executable, "-m", "cli.main"]
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        return self.out.strip().splitlines()[-1] if self.out.strip() else ""


class Platform:
    """One `kfn up`. `facts` is its platform.json."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.facts: dict[str, Any] = {}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *args: str, timeout: float = 30) -> None:
        log = (self.data.parent / f"{self.data.name}.log").open("ab")
        try:
            self.process = await asyncio.create_subprocess_exec(
                *KFN, "up", "--port", "0", "--data-dir", str(self.data), *args, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        finally:
            log.close()
        assert self.process.stdout is not None
        with anyio.fail_after(timeout):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("ready"), f"the platform did not start: {line!r}\n{self.log[-3000:]}"
        self.facts = json.loads((self.data / "platform.json").read_text())

    @property
    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text(errors="replace")

    async def kill(self) -> None:
        """kill -9, as a crash does it."""
        assert self.process is not None
        self.process.kill()
        await self._gone()

    async def stop(self) -> int:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self._gone()

    async def _gone(self) -> int:
        assert self.process is not None
        try:
            with anyio.fail_after(30):
                await self.process.communicate()
        except TimeoutError:
            self.process.kill()
            await self.process.communicate()
            raise AssertionError(f"kfn up did not stop within 30 s\n{self.log[-3000:]}") from None
        code = self.process.returncode
        assert code is not None
        return code

    async def kfn(self, *args: str, check: bool = True, timeout: float = 90, stdin: bytes | None = None) -> Result:
        """Run a kfn command with KUBECONFIG pointing here."""
        env = {**os.environ, "KUBECONFIG": str(self.data / "kubeconfig")}
        result = await run(*KFN, *args, env=env, timeout=timeout, stdin=stdin)
        assert not check or result.code == 0, f"kfn {' '.join(args)}: exit {result.code}\n{result.out}\n{result.err}\n{self.log[-2000:]}"
        return result

    async def request(
        self, host: str, path: str = "/", *, method: str = "GET", content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A request through the gateway, by Host, as curl would send it."""
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            return await http.request(method, self.facts["gateway"] + path, content=content, headers={"Host": host, **(headers or {})})

    async def replicas(self, function: str) -> int:
        out = await self.kfn("revisions", "-s", function, "-o", "json")
        items = json.loads(out.out or "{}").get("items", [])
        return sum((r["status"].get("actualReplicas") or 0) + (r["status"].get("desiredReplicas") or 0) for r in items)

    async def at_zero(self, function: str, timeout: float = 30) -> None:
        async def zero() -> bool:
            return await self.replicas(function) == 0

        await eventually(zero, timeout, f"{function} is not at zero")


@asynccontextmanager
async def running(data: Path, *args: str) -> AsyncIterator[Platform]:
    platform = Platform(data)
    await platform.start(*args)
    try:
        yield platform
    finally:
        if platform.process is not None and platform.process.returncode is None:
            await platform.stop()


async def run(
    *argv: str, env: dict[str, str] | None = None, timeout: float = 90, stdin: bytes | None = None, folder: Path | None = None
) -> Result:
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, cwd=folder, stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        with anyio.fail_after(timeout):
            out, err = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"{' '.join(argv)} took over {timeout} s\n{out.decode()}\n{err.decode()}") from None
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


async def eventually(check: Callable[[], Awaitable[bool]], timeout: float, what: str) -> None:
    try:
        with anyio.fail_after(timeout):
            while not await check():
                await anyio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{what} after {timeout:g} s") from None


def function(folder: Path, source: str, **extra: str) -> Path:
    """A function project: func.py, and other files by name with `__` for the dot (`func__yaml=...`)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "func.py").write_text(source)
    for name, text in extra.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def descendants(pid: int) -> list[int]:
    """Every live process below `pid`, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, IndexError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        children = [p for p, pp in parents.items() if pp == parent]
        found += children
        todo += children
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")
