"""A whole platform as a child, as `kfn up` gives it to a user, which may be killed and started again, and `kfn` against it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

from cli.failures import CliError
from cli.session import resolve
from kfn import process_death
from kfn.kube.client import Client

KFN = (sys.executable, "-m", "cli.main")
START = 120.0  # seconds; a platform that comes back has its streams to look through
STOP = 40.0


class Platform:
    """`root` is a folder of ours; everything of the platform is below it, so that no other platform of the user is touched."""

    def __init__(self, root: Path) -> None:
        self.data, self.log = root / "data", root / "platform.log"
        self.starts = 0
        self._environment = {**os.environ, "XDG_STATE_HOME": str(root / "state"), "KUBECONFIG": str(self.data / "kubeconfig")}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    @property
    def facts(self) -> dict[str, Any]:
        """platform.json of this moment; empty while the platform starts."""
        try:
            facts = json.loads((self.data / "platform.json").read_text())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) and facts.get("pid") == self.pid else {}

    @property
    def nats_pid(self) -> int:
        return int(self.facts.get("pids", {}).get("nats-server", 0))

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *KFN, "up", "--port", "0", "--data-dir", str(self.data), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self._environment, start_new_session=True,  # Ctrl-C is for us, who end it
                preexec_fn=process_death.follow_parent(os.getpid()),
            )  # fmt: skip
        self.starts += 1
        with anyio.move_on_after(START):
            while not self.facts:
                if self._process.returncode is not None:
                    raise CliError(f"the platform ended with {self._process.returncode} at its start: {self._last()} (see {self.log})")
                await anyio.sleep(0.05)
            return
        raise CliError(f"the platform did not start within {START:g} s: {self._last()} (see {self.log})")

    async def kill(self) -> None:
        """kill -9, as a crash does it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        if not self.pid or self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        with anyio.move_on_after(STOP):
            await self._process.wait()
        await self.kill()

    async def kfn(self, *args: str, timeout: float = 180.0) -> str:
        """Run a command; gives the last line of its output. Raises `CliError` with what it said."""
        argv = [*KFN, *args]
        async with await anyio.open_process(argv, env=self._environment, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
            said = b""
            with anyio.move_on_after(timeout):
                assert process.stdout is not None
                async for chunk in process.stdout:
                    said += chunk
                await process.wait()
            lines = said.decode(errors="replace").strip().splitlines() or [""]
            if process.returncode != 0:
                raise CliError(f"kfn {' '.join(args)}: {lines[-1] or f'no end after {timeout:g} s'}")
            return lines[-1]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with resolve(str(self.data / "kubeconfig")).client() as client:
            yield client

    def _last(self) -> str:
        return (self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1][-500:]


def nats_secret(data: Path) -> bytes:
    """What the keys of a platform's nats-server are made from."""
    return (data / "nats" / "secret").read_text().strip().encode()


@asynccontextmanager
async def running(root: Path) -> AsyncIterator[Platform]:
    """A started platform, ended at the end whatever state it is in."""
    platform = Platform(root)
    try:
        await platform.start()
        yield platform
    finally:
        with anyio.CancelScope(shield=True):
            await platform.stop()
