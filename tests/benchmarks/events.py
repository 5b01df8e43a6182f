"""Events: from the publisher to the handler, from the publisher to the first instance asked for, how many a second, what Triggers
cost that do not want them, beside a publisher that talks to JetStream itself. Prints a table, asserts nothing.

make bench-eventing
"""

import asyncio
import json
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

import httpx

from kfn.kube.client import Client
from tests.benchmarks import _fanout, _rawbus
from tests.benchmarks._measure import Table, compiled, cpu
from tests.benchmarks.embedded import api, at_zero, memory
from tests.e2e.harness import Platform, function, running

ONE_BY_ONE, FROM_ZERO, MANY, ROUNDS = 200, 10, 2000, 3
HANDLER = """
import os, time
import kfn

@kfn.cloudevent
async def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(f"{event.id} {time.time()}\\n")
"""


async def main() -> None:
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as name, compiled():
        root = Path(name)
        out = root / "events.txt"
        out.touch()
        async with running(root / "data") as platform, api(platform) as client, httpx.AsyncClient(trust_env=False, timeout=30) as http:
            await platform.kfn("deploy", str(function(root / "on", HANDLER)), "-e", f"OUT={out}")
            url = (await platform.kfn("broker", "create", "default")).last_line
            await platform.kfn("trigger", "create", "on", "--sink", "ksvc:on")
            await warm(table, platform, http, url, out)
            await many(table, platform, http, url, out)
            await from_zero(table, platform, client, http, url)
            memory(table, platform, "memory after that, one function", "150 MiB")
            await _rawbus.beside(table, platform, (await platform.kfn("broker", "create", "bare")).last_line)
            await _fanout.fan_out(table, platform, client)
            memory(table, platform, "memory with 200 Triggers more", "")


async def warm(table: Table, platform: Platform, http: httpx.AsyncClient, url: str, out: Path) -> None:
    """Through the bus, and in turn straight to the function through the gateway."""
    sent: dict[str, float] = {}
    direct: dict[str, float] = {}
    for n in range(ONE_BY_ONE):
        await publish(http, url, f"bus-{n}", sent)
        await asyncio.sleep(0.005)
        await publish(http, platform.facts["gateway"], f"direct-{n}", direct, host="on.default.localhost")
        await asyncio.sleep(0.005)
    await arrived(out, "-", 2 * ONE_BY_ONE)
    seen = dict(line.split() for line in out.read_text().splitlines())
    ours = [float(seen[i]) - at for i, at in sent.items() if i in seen][20:]
    other = statistics.median([float(seen[i]) - at for i, at in direct.items() if i in seen][20:])
    p50, p99 = statistics.median(ours), statistics.quantiles(ours, n=100)[98]
    figure = f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"
    table.add("event, publish to handler start, warm", figure, "p50 3 ms", f"same event straight to it: {other * 1e3:.1f} ms", p50 / other)


async def many(table: Table, platform: Platform, http: httpx.AsyncClient, url: str, out: Path) -> None:
    """Batches of 200 by HTTP, delivered one by one by HTTP to one instance; the CPU is the platform's process's alone."""
    rates, costs = [], []
    pid, nats = platform.facts["pid"], platform.facts["pids"]["nats-server"]
    busy_nats = cpu(nats)
    for n in range(ROUNDS):
        begin, busy = time.perf_counter(), cpu(pid)
        batch = [{"specversion": "1.0", "id": f"many{n}-{i}", "source": "/bench", "type": "t"} for i in range(MANY)]
        for start in range(0, MANY, 200):
            headers = {"content-type": "application/cloudevents-batch+json"}
            answer = await http.post(url, content=json.dumps(batch[start : start + 200]), headers=headers)
            assert answer.status_code == 202, answer.text
        await arrived(out, f"many{n}-", MANY)
        rates.append(MANY / (time.perf_counter() - begin))
        costs.append((cpu(pid) - busy) / MANY)
    cost = statistics.median(costs)
    figure = f"{1 / cost:.0f}/s a core ({cost * 1e6:.0f} µs CPU)"
    beside = f"wall, with publisher and function: {statistics.median(rates):.0f}/s"
    table.add(
        "events over HTTP, in and out",
        figure,
        "2,000/s a core",
        f"{beside}; nats-server {(cpu(nats) - busy_nats) / MANY / ROUNDS * 1e6:.0f} µs",
    )


async def from_zero(table: Table, platform: Platform, client: Client, http: httpx.AsyncClient, url: str) -> None:
    """Until the autoscaler asks for an instance, by the time that its log gives."""
    took: list[float] = []
    while len(took) < FROM_ZERO:
        await at_zero(client, "on-00001")
        read = len(platform.log)
        sent: dict[str, float] = {}
        await publish(http, url, f"zero-{time.time()}", sent)
        await asyncio.sleep(1.2)  # so that the load of this event is over and told
        lines = [line for line in platform.log[read:].splitlines() if "on-00001: 0 -> " in line]
        if lines:
            took.append(datetime.fromisoformat(json.loads(lines[0])["time"]).timestamp() - next(iter(sent.values())))
    table.add("event, publish to first instance asked for", f"p50 {statistics.median(took) * 1e3:.1f} ms", "5 ms", "KEDA polls: up to 30 s")


async def publish(http: httpx.AsyncClient, url: str, id_: str, sent: dict[str, float], **headers: str) -> None:
    event = {"ce-specversion": "1.0", "ce-id": id_, "ce-source": "/bench", "ce-type": "com.example.bench", **headers}
    sent[id_] = time.time()
    await http.post(url, headers=event, content=b"")


async def arrived(out: Path, what: str, count: int) -> None:
    end = time.monotonic() + 60
    while (seen := out.read_text().count(what)) < count:
        assert time.monotonic() < end, f"{seen} of {count} events came in a minute"
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main())
