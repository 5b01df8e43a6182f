"""Does the faults of a schedule, each in a task of its own so that they overlap, and leaves nothing stopped."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from cli.failures import CliError
from cli.verifybus import processes, stage
from cli.verifybus.platform import Platform
from cli.verifybus.schedule import Fault
from cli.verifybus.sink import File
from cli.verifybus.writers import Writers
from kfn import process_death

REDEPLOYS = 5  # attempts
PATIENCE = 8.0  # seconds until a fault is left out because there is no process to do it to


@dataclass
class Nemesis:
    """`done` says of each fault what came of it."""

    platform: Platform
    writers: Writers
    files: dict[str, File]
    folders: dict[str, Path]
    rng: random.Random
    say: Callable[[str], None]
    done: list[str] = field(default_factory=list)
    _restarting: anyio.Lock = field(default_factory=anyio.Lock)
    _deploys: int = 0
    _stops: Counter[tuple[int, str]] = field(default_factory=Counter)

    async def run(self, faults: tuple[Fault, ...]) -> None:
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for fault in faults:
                await anyio.sleep_until(begin + fault.at)
                tasks.start_soon(self._do, fault)

    async def _do(self, fault: Fault) -> None:
        try:
            outcome = await getattr(self, f"_{fault.kind.replace('-', '_')}")(fault)
        except ProcessLookupError:
            outcome = "there was none"
        except processes.CannotCut as error:
            outcome = f"not done: {error}"
        except CliError as error:
            outcome = f"failed: {error}"  # a deploy into a platform that is being killed may; it is the events that matter
        self.done.append(f"{fault}: {outcome}")
        self.say(f"  {fault}: {outcome}")

    async def _kill_nats(self, _: Fault) -> str:
        return _kill(await _there(lambda: self.platform.nats_pid), "nats-server")

    async def _stop_nats(self, fault: Fault) -> str:
        return await self._stop(await _there(lambda: self.platform.nats_pid), fault.hold, "nats-server")

    async def _kill_function(self, _: Fault) -> str:
        return _kill(await _there(self._instance), "an instance")

    async def _stop_function(self, fault: Fault) -> str:
        return await self._stop(await _there(self._instance), fault.hold, "an instance")

    async def _stop_platform(self, fault: Fault) -> str:
        return await self._stop(await _there(lambda: self.platform.pid), fault.hold, "the platform")

    async def _kill_platform(self, _: Fault) -> str:
        async with self._restarting:
            pid = self.platform.pid
            await self.platform.kill()
            began = anyio.current_time()
            await self.platform.start()
            return f"platform {pid}, up again after {anyio.current_time() - began:.1f} s"

    async def _scale(self, fault: Fault) -> str:
        self.writers.rest()
        try:
            await anyio.sleep(fault.hold)
            left = len(self._instances())
        finally:
            self.writers.burst()
        return "at zero, then a burst" if not left else f"{left} instances were left, then a burst"

    async def _redeploy(self, _: Fault) -> str:
        self._deploys += 1
        name = self.rng.choice(sorted(self.folders))
        argv = ("deploy", str(self.folders[name]), *stage.environment(name, self.files[name]), "-e", f"DEPLOY={self._deploys}")
        for _attempt in range(REDEPLOYS - 1):
            with suppress(CliError):  # the platform was killed meanwhile; a user would type it again
                await self.platform.kfn(*argv)
                return name
            await anyio.sleep(1)
        await self.platform.kfn(*argv)
        return name

    async def _cut(self, _: Fault) -> str:
        return f"{processes.cut(await _there(lambda: self.platform.pid))} connections"

    async def _stop(self, pid: int, hold: float, what: str) -> str:
        """Of several stops of one process the last to end lets it go on."""
        started = process_death.start_time(pid)
        self._stops[pid, started] += 1
        os.kill(pid, signal.SIGSTOP)
        try:
            await anyio.sleep(hold)
        finally:
            self._stops[pid, started] -= 1
            if started and not self._stops[pid, started] and process_death.start_time(pid) == started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        return f"{what}, pid {pid}"

    def _instances(self) -> list[int]:
        """Instances that live and have had an event."""
        ours = processes.below(self.platform.pid) if self.platform.pid else set()
        for file in self.files.values():
            file.read()
        return [pid for file in self.files.values() for pid in list(file.pids)[-20:] if pid in ours]

    def _instance(self) -> int:
        instances = self._instances()
        return self.rng.choice(instances) if instances else 0


async def _there(find: Callable[[], int]) -> int:
    """A process to do something to: while the platform starts, or nothing runs for want of events, there may be none. Raises
    `ProcessLookupError`."""
    with anyio.move_on_after(PATIENCE):
        while True:
            if pid := find():
                return pid
            await anyio.sleep(0.1)
    raise ProcessLookupError


def _kill(pid: int, what: str) -> str:
    os.kill(pid, signal.SIGKILL)
    return f"{what}, pid {pid}"
