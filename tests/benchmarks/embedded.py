"""The embedded platform's figures, each beside something run in the same minute on the same machine: cold start, burst from zero,
events, builds, start of the command, memory. Prints one table; asserts nothing, for machines are noisy.

    python -m tests.benchmarks embedded
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from kfn.api import kinds
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import KFN, ROOT, Platform, descendants, function, run, running

RUNS = int(os.environ.get("KFN_BENCH_RUNS", "30"))
HELLO = "def handle(request):\n    return 'ok'\n"
SLOW = "import time\ndef handle(request):\n    time.sleep(0.1)\n    return 'ok'\n"
EVENTS = """
import os, time
import kfn

@kfn.cloudevent
def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(f"{event.id} {time.time()}\\n")
"""
YAML = """specVersion: 0.36.0
name: {name}
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  options:
    resources:
      limits:
        concurrency: 10
"""


class Table:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, figure: str, beside: str = "", ratio: float | None = None) -> None:
        self.rows.append((what, figure, beside, "" if ratio is None else f"{ratio:.2f}"))
        print(f"{what:46} {figure:30} {beside:38} {self.rows[-1][3]}", flush=True)


async def main() -> None:
    table = Table()
    print(f"{'WHAT':46} {'KFN':30} {'BESIDE':38} RATIO")
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as name:
        root = Path(name)
        await version(table)
        async with running(root / "data") as platform:
            memory(table, platform, "memory, idle, no function")
            await builds(table, platform, root)
            await cold(table, platform, root)
            await burst(table, platform, root)
            await events(table, platform, root)
            await fifty(table, platform)


async def version(table: Table) -> None:
    ours = await _median(lambda: run(*KFN, "--version"), 10)
    bare = await _median(lambda: run(sys.executable, "-c", "pass"), 10)
    table.add("kfn --version, p50", f"{ours * 1e3:.0f} ms", f"python -c pass: {bare * 1e3:.0f} ms", ours / bare)


async def builds(table: Table, platform: Platform, root: Path) -> None:
    folder = function(root / "b", HELLO)
    args = (*KFN, "build", str(folder), "--store", platform.facts["images"], "-q")
    bare = await _median(lambda: run(sys.executable, "-c", "pass"), 5)
    await run(*args)
    same = await _median(lambda: run(*args), 5)

    async def changed() -> object:
        (folder / "func.py").write_text(HELLO + f"# {time.time()}\n")
        return await run(*args)

    table.add("build, nothing changed, p50", f"{same * 1e3:.0f} ms", f"python -c pass: {bare * 1e3:.0f} ms", same / bare)
    other = await _median(changed, 5)
    table.add("build, source changed, p50", f"{other * 1e3:.0f} ms", f"python -c pass: {bare * 1e3:.0f} ms", other / bare)


async def cold(table: Table, platform: Platform, root: Path) -> None:
    folder = function(root / "cold", HELLO)
    await platform.kfn("deploy", str(folder))
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    client = Client(transport)
    port = int(platform.facts["gateway"].rsplit(":", 1)[1])
    took: list[float] = []
    phases: dict[str, list[float]] = {}
    plain: list[float] = []
    try:
        while len(took) < RUNS:
            await _at_zero(client, "cold-00001")
            before = time.perf_counter()
            head = await _raw_get(port, "cold.default.localhost")
            if "server-timing" not in head:
                continue
            took.append(time.perf_counter() - before)
            for phase in head["server-timing"].split(","):
                name, _, value = phase.partition(";dur=")
                phases.setdefault(name.strip(), []).append(float(value))
            plain.append(await _plain_process(folder))
    finally:
        await transport.aclose()
    p50, p90 = statistics.median(took), statistics.quantiles(took, n=10)[8]
    bare = statistics.median(plain)
    table.add(
        f"cold start, {RUNS} runs",
        f"p50 {p50 * 1e3:.1f} ms, p90 {p90 * 1e3:.1f} ms",
        f"same function, plain process: {bare * 1e3:.0f} ms",
        p50 / bare,
    )
    table.add("  of it, medians", ", ".join(f"{n} {statistics.median(v):.1f}" for n, v in phases.items()))


async def burst(table: Table, platform: Platform, root: Path) -> None:
    folder = function(root / "burst", SLOW, func__yaml=YAML.format(name="burst"))
    await platform.kfn("deploy", str(folder))
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        await _at_zero(Client(transport), "burst-00001")
    finally:
        await transport.aclose()
    answers: list[tuple[int, float]] = []
    begin = time.perf_counter()
    port = int(platform.facts["gateway"].rsplit(":", 1)[1])

    async def one() -> None:
        head = await _raw_get(port, "burst.default.localhost")
        answers.append((int(head[""]), time.perf_counter() - begin))

    await asyncio.gather(*(one() for _ in range(200)))
    errors = sum(status != 200 for status, _ in answers)
    last, first = max(t for _, t in answers), min(t for _, t in answers)
    table.add(
        "200 at once to zero, 10 each, 100 ms",
        f"all in {last:.2f} s, first {first:.2f} s, {errors} errors",
        "Knative on a cluster: 2.8 s",
        last / 2.8,
    )


async def events(table: Table, platform: Platform, root: Path) -> None:
    out = root / "events.txt"
    out.touch()
    await platform.kfn("deploy", str(function(root / "on", EVENTS)), "-e", f"OUT={out}")
    url = (await platform.kfn("broker", "create", "default")).last_line
    await platform.kfn("trigger", "create", "on", "--sink", "ksvc:on")
    sent: dict[str, float] = {}
    direct: dict[str, float] = {}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        for n in range(200):
            await _publish(http, url, f"bus-{n}", sent, {})
            await _publish(http, platform.facts["gateway"], f"direct-{n}", direct, {"host": "on.default.localhost"})
            await asyncio.sleep(0.005)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and len(out.read_text().splitlines()) < 400:
        await asyncio.sleep(0.1)
    seen = dict(line.split() for line in out.read_text().splitlines())
    ours = [float(seen[i]) - at for i, at in sent.items() if i in seen]
    beside = [float(seen[i]) - at for i, at in direct.items() if i in seen]
    p50, other = statistics.median(ours[20:]), statistics.median(beside[20:])
    table.add(
        "event, publish to handler start, warm", f"p50 {p50 * 1e3:.1f} ms, p99 {statistics.quantiles(ours, n=100)[98] * 1e3:.1f} ms",
        f"same event by HTTP to it: {other * 1e3:.1f} ms", p50 / other,
    )  # fmt: skip
    begin, many = time.perf_counter(), 2000
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        batch = [{"specversion": "1.0", "id": f"many-{n}", "source": "/bench", "type": "t"} for n in range(many)]
        for start in range(0, many, 200):
            headers = {"content-type": "application/cloudevents-batch+json"}
            await http.post(url, content=json.dumps(batch[start : start + 200]), headers=headers)
    while time.perf_counter() - begin < 60 and out.read_text().count("many-") < many:
        await asyncio.sleep(0.05)
    took = time.perf_counter() - begin
    table.add("events over HTTP, one instance", f"{out.read_text().count('many-') / took:.0f}/s (whole machine, fsync on each)")


async def fifty(table: Table, platform: Platform) -> None:
    """Fifty functions at zero: copies of one Service."""
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    client = Client(transport)
    try:
        image = (await client.get(kinds.REVISION, "cold-00001", "default")).spec.containers[0].image
        for n in range(50):
            template = {
                "metadata": {"annotations": {"autoscaling.knative.dev/window": "6s"}},
                "spec": {"containers": [{"image": image}]},
            }
            body = {"metadata": {"name": f"idle-{n}"}, "spec": {"template": template}}
            await client.create(kinds.SERVICE, {"apiVersion": "serving.knative.dev/v1", "kind": "Service", **body}, "default")
        while any(d.spec.replicas for d in (await client.list(kinds.DEPLOYMENT, "default"))[0] if d.metadata.name.startswith("idle-")):
            await asyncio.sleep(0.5)
        await asyncio.sleep(2)
    finally:
        await transport.aclose()
    memory(table, platform, "memory, 50 functions at zero more")


def memory(table: Table, platform: Platform, what: str) -> None:
    pid = platform.facts["pid"]
    parts = {pid: "kfn up"} | {child: _command(child) for child in descendants(pid)}
    used = {f"{name}": _rss(p) for p, name in parts.items()}
    ours = sum(_rss(p) for p, name in parts.items() if "nats" not in name and "instance" not in name)
    table.add(what, f"{ours:.0f} MiB", ", ".join(f"{n} {mib:.0f}" for n, mib in used.items()))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def _rss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def _median(do: Callable[[], Awaitable[object]], times: int) -> float:
    took = []
    for _ in range(times):
        before = time.perf_counter()
        await do()
        took.append(time.perf_counter() - before)
    return statistics.median(took)


async def _at_zero(client: Client, revision: str) -> None:
    await client.scale(kinds.DEPLOYMENT, f"{revision}-deployment", "default", 0)
    while True:
        pods, _ = await client.list(kinds.POD, "default", labels=f"serving.knative.dev/revision={revision}")
        if not pods:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)


async def _raw_get(port: int, host: str) -> dict[str, str]:
    """The head of the answer by lower-case name; the status under the empty one. No client library, whose own cost would count."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    first, *lines = (await reader.read(-1)).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    writer.close()
    return {"": [*first.split(" "), "0", "0"][1]} | {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}


async def _publish(http: httpx.AsyncClient, url: str, id_: str, sent: dict[str, float], headers: dict[str, str]) -> None:
    sent[id_] = time.time()
    event = {"ce-specversion": "1.0", "ce-id": id_, "ce-source": "/bench", "ce-type": "com.example.bench"}
    await http.post(url, headers={**event, **headers}, content=b"")


async def _plain_process(folder: Path) -> float:
    """From exec to the first answer of the same function as a process of its own."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "KFN_HOST": "127.0.0.1", "KFN_SOURCE": str(folder)}
    before = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kfn.function", cwd=ROOT, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        while True:
            try:
                await _raw_get(port, "x")
            except OSError:
                await asyncio.sleep(0.001)
            else:
                return time.perf_counter() - before
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
