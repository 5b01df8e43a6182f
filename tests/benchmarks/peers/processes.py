"""Starting what a benchmark needs as processes, on given cores, and ending all of it however the benchmark ends.

A child dies with its parent, even if that is killed: the kernel sends it SIGTERM then. What each peer is, is in `proxies.py`.
"""

import ctypes
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from tests.benchmarks._measure import cpu

ROOT = Path(__file__).parents[3]
PR_SET_PDEATHSIG = 1
Cpus = frozenset[int]


class Failed(Exception):
    """The benchmark cannot go on; the message says why."""


@dataclass(frozen=True)
class Child:
    name: str
    process: subprocess.Popen[str]
    errors: IO[str]

    @property
    def pids(self) -> list[int]:
        return [self.process.pid, *children(self.process.pid)]

    def cpu(self) -> float:
        """Seconds of processor time, of the process and its workers."""
        return sum(cpu(pid) for pid in self.pids)

    def line(self, seconds: float = 60.0) -> str:
        """The first line it prints."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline().strip() if ready else ""
        if not line:
            raise Failed(f"{self.name} did not start: {self.said() or f'it said nothing in {seconds:g} s'}")
        return line

    def said(self) -> str:
        """The end of what it wrote to stderr."""
        self.errors.seek(0)
        return self.errors.read()[-2000:].strip()

    def check(self, seconds: float = 0.0) -> None:
        """It lives, and goes on doing so for a moment."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise Failed(f"{self.name} ended with {code}: {self.said()}")


@contextmanager
def started(name: str, argv: Sequence[str], cpus: Cpus, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """A process of its own group, so that Ctrl-C comes to the benchmark, which then ends its children in order."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
            env={**os.environ, **(env or {})}, process_group=0, preexec_fn=child_setup(cpus),
        )  # fmt: skip
        try:
            yield Child(name, process, errors)
        finally:
            end(process)


def end(process: subprocess.Popen[str], seconds: float = 5.0) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        for pid in children(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def child_setup(cpus: Cpus) -> Callable[[], None]:
    """What a child does before it becomes its program: go to its cores, and ask to die with us."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def setup() -> None:
        os.sched_setaffinity(0, cpus)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it could be asked for
            os._exit(1)

    return setup


def cpus() -> Cpus:
    """Those that we may use."""
    return frozenset(os.sched_getaffinity(0))


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


@contextmanager
def signals_end_it() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that nothing is left behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
