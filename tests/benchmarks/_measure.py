"""What benchmarks share: the table, medians of wall and CPU time of interleaved runs, and an environment with compiled bytecode."""

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class Table:
    """Prints each row when it is known; with KFN_BENCH_TABLE=FILE it also appends them there as Markdown."""

    def __init__(self) -> None:
        print(f"{'WHAT':44} {'KFN':40} {'MUST':14} BESIDE")

    def add(self, what: str, figure: str, must: str = "", beside: str = "", ratio: float | None = None) -> None:
        if ratio is not None:
            beside += f" (ratio {ratio:.2f})"
        print(f"{what:44} {figure:40} {must:14} {beside}", flush=True)
        if name := os.environ.get("KFN_BENCH_TABLE"):
            with open(name, "a") as out:
                out.write(f"| {what} | {figure} | {must} | {beside} |\n")


@dataclass
class Took:
    """Samples of one thing: seconds of wall time, and of CPU in it and its children."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"p50 {statistics.median(self.wall) * 1e3:.0f} ms, CPU {statistics.median(self.cpu) * 1e3:.0f} ms"

    @property
    def p50(self) -> float:
        return statistics.median(self.wall)


@contextmanager
def compiled() -> Iterator[None]:
    """Bytecode is kept, as in an installation, in a folder of its own, whatever the environment says."""
    saved = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="kfn-bench-pyc-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(saved)


async def interleaved(what: Mapping[str, Callable[[], Awaitable[object]]], times: int) -> dict[str, Took]:
    """Run each once to warm up, then all in turn, so that a busy minute of the machine hits them alike."""
    took = {name: Took() for name in what}
    for do in what.values():
        await do()
    for _ in range(times):
        for name, do in what.items():
            cpu, wall = _children(), time.perf_counter()
            await do()
            took[name].wall.append(time.perf_counter() - wall)
            took[name].cpu.append(_children() - cpu)
    return took


def cpu(pid: int) -> float:
    """Seconds that all threads of a process were on a processor, from the scheduler's nanoseconds."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def pss(pid: int) -> float:
    """MiB of a process, of which pages shared with others count in part; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def ask(port: int, host: str) -> dict[str, str]:
    """GET / on a connection of its own: the answer's head by lower-case name, its status under the empty one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    first, *lines = (await reader.read(-1)).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    writer.close()
    return {"": [*first.split(" "), "0", "0"][1]} | {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
