"""The embedded platform: cold starts, a burst from zero, memory, and what it uses when nothing happens. Prints a table, asserts
nothing: machines are noisy. KFN_BENCH_RUNS says how many cold starts.

    python -m tests.benchmarks embedded
"""

import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kfn.api import kinds
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.benchmarks._measure import Table, ask, compiled, cpu, pss
from tests.e2e.harness import ROOT, Platform, descendants, function, running

RUNS = int(os.environ.get("KFN_BENCH_RUNS", "30"))
BURSTS = 3
HELLO = "def handle(request):\n    return 'ok'\n"
SLOW = "import time\ndef handle(request):\n    time.sleep(0.1)\n    return 'ok'\n"
TEN = """specVersion: 0.36.0
name: burst
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  options:
    resources:
      limits:
        concurrency: 10
"""


async def main() -> None:
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as name, compiled():
        root = Path(name)
        async with running(root / "data") as platform, api(platform) as client:
            await idle(table, platform)
            await cold(table, platform, client, root)
            memory(table, platform, "memory, one function with one instance", "150 MiB")
            await fifty(table, platform, client)
            await burst(table, platform, client, root)


@asynccontextmanager
async def api(platform: Platform) -> AsyncIterator[Client]:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        yield Client(transport)
    finally:
        await transport.aclose()


async def idle(table: Table, platform: Platform, seconds: float = 5.0) -> None:
    pids = platform.facts["pids"].values()
    await asyncio.sleep(2)
    before = [cpu(pid) for pid in pids]
    await asyncio.sleep(seconds)
    ours, nats = (100 * (cpu(pid) - was) / seconds for pid, was in zip(pids, before, strict=True))
    table.add("idle, of one core", f"{ours:.2f} %", "1 %", f"nats-server: {nats:.2f} %")


async def cold(table: Table, platform: Platform, client: Client, root: Path) -> None:
    """One after the other, each beside the same function started as a process of its own."""
    folder = function(root / "cold", HELLO)
    await platform.kfn("deploy", str(folder))
    port, pid = int(platform.facts["gateway"].rsplit(":", 1)[1]), platform.facts["pid"]
    took: list[float] = []
    used: list[float] = []
    plain: list[float] = []
    phases: dict[str, list[float]] = {}
    while len(took) < RUNS:
        await at_zero(client, "cold-00001")
        busy = cpu(pid)
        before = time.perf_counter()
        head = await ask(port, "cold.default.localhost")
        wall = time.perf_counter() - before
        if "server-timing" not in head:
            continue  # the autoscaler had started one again: it saw load in the last second
        took.append(wall)
        used.append(cpu(pid) - busy)
        for phase in head["server-timing"].split(","):
            name, _, value = phase.partition(";dur=")
            phases.setdefault(name.strip(), []).append(float(value))
        plain.append(await _plain_process(folder))
    p50, p90 = statistics.median(took), statistics.quantiles(took, n=10)[8]
    bare = statistics.median(plain)
    figure = f"p50 {p50 * 1e3:.1f} ms, p90 {p90 * 1e3:.1f} ms, best {min(took) * 1e3:.1f} ms"
    table.add(f"cold start, {RUNS} runs", figure, "p50 20 ms", f"same function, plain process: {bare * 1e3:.0f} ms", p50 / bare)
    table.add("  medians in ms", ", ".join(f"{n} {statistics.median(v):.1f}" for n, v in phases.items()))
    table.add("  CPU of the platform's process until answered", f"p50 {statistics.median(used) * 1e3:.1f} ms")


async def burst(table: Table, platform: Platform, client: Client, root: Path) -> None:
    """200 requests at once to nothing, 10 a instance, each of which takes 100 ms."""
    await platform.kfn("deploy", str(function(root / "burst", SLOW, func__yaml=TEN)))
    port = int(platform.facts["gateway"].rsplit(":", 1)[1])
    lasts, firsts, errors = [], [], 0
    for _ in range(BURSTS):
        await at_zero(client, "burst-00001")
        begin = time.perf_counter()

        async def one(begin: float = begin) -> tuple[str, float]:
            return (await ask(port, "burst.default.localhost"))[""], time.perf_counter() - begin

        answers = await asyncio.gather(*(one() for _ in range(200)))
        errors += sum(status != "200" for status, _ in answers)
        lasts.append(max(at for _, at in answers))
        firsts.append(min(at for _, at in answers))
    last = statistics.median(lasts)
    figure = f"all in {last:.2f} s, first {statistics.median(firsts):.2f} s, {errors} errors"
    table.add(f"200 at once to zero, {BURSTS} rounds", figure, "1 s, 0 errors", "Knative on a cluster: 2.8 s", last / 2.8)


async def fifty(table: Table, platform: Platform, client: Client) -> None:
    """Fifty functions at zero: copies of one Service."""
    image = (await client.get(kinds.REVISION, "cold-00001", "default")).spec.containers[0].image
    annotations = {"autoscaling.knative.dev/window": "6s"}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"image": image}]}}
    for n in range(50):
        body = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": f"idle-{n}"},
            "spec": {"template": template},
        }
        await client.create(kinds.SERVICE, body, "default")
    await asyncio.sleep(1)
    while any(d.spec.replicas for d in (await client.list(kinds.DEPLOYMENT, "default"))[0] if d.metadata.name.startswith("idle-")):
        await asyncio.sleep(0.5)
    await at_zero(client, "cold-00001")
    await asyncio.sleep(2)
    memory(table, platform, "memory, 50 functions at zero and one awake", "170 MiB")


async def at_zero(client: Client, revision: str) -> None:
    """Nothing of it runs, and the warm parent has been quiet for a moment."""
    while True:
        await client.scale(kinds.DEPLOYMENT, f"{revision}-deployment", "default", 0)
        pods, _ = await client.list(kinds.POD, "default", labels=f"serving.knative.dev/revision={revision}")
        if not pods:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)


def memory(table: Table, platform: Platform, what: str, must: str) -> None:
    """Proportional set size, so that pages which forks share count once."""
    nats = platform.facts["pids"]["nats-server"]
    pids = [platform.facts["pid"], *descendants(platform.facts["pid"])]
    used = [(_command(pid), pss(pid)) for pid in pids if pid != nats]
    parts = ", ".join(f"{name} {mib:.0f}" for name, mib in used)
    table.add(what, f"{sum(mib for _, mib in used):.0f} MiB ({parts})", must, f"nats-server: {pss(nats):.0f} MiB")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


async def _plain_process(folder: Path) -> float:
    """From exec to the first answer of the same function as a process of its own."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "KFN_HOST": "127.0.0.1", "KFN_SOURCE": str(folder)}
    before = time.perf_counter()
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "kfn.function", cwd=ROOT, env=env, stdout=null, stderr=null)
    try:
        while True:
            try:
                await ask(port, "x")
            except OSError:
                await asyncio.sleep(0.001)
            else:
                return time.perf_counter() - before
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
