"""Pipelines: what a step costs beside the direct call, runs a second, items of a map a second. Prints a table, asserts nothing.

python -m tests.benchmarks.pipelines
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from kfn import http1
from kfn.api import kinds
from kfn.api.meta import ObjectMeta
from kfn.api.pipeline import Pipeline, PipelineSpec, PipelineStep
from kfn.kube.client import Client
from tests.benchmarks._measure import Table, compiled, cpu
from tests.benchmarks.embedded import api
from tests.e2e.harness import Platform, eventually, function, running

ONE_BY_ONE, RUNS, AT_ONCE, ITEMS = 60, 300, 32, 500
ECHO = "import json\n\nasync def handle(request):\n    return request.json()\n"


def line(steps: int) -> dict[str, PipelineStep]:
    return {f"s{n}": PipelineStep(fn="echo", needs=f"s{n - 1}" if n else []) for n in range(steps)}


async def main() -> None:
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as name, compiled():
        root = Path(name)
        async with running(root / "data") as platform, api(platform) as client:
            await platform.kfn("deploy", str(function(root / "echo", ECHO)))
            for pipeline, steps in {
                "one": line(1),
                "six": line(6),
                "map": {"m": PipelineStep(fn="echo", map="data", max_in_flight=32)},
            }.items():
                await make(client, pipeline, steps)
            http = http1.Client()
            try:
                await latency(table, platform, http)
                await rate(table, platform, http)
                await items(table, platform, http)
            finally:
                await http.aclose()


async def make(client: Client, name: str, steps: dict[str, PipelineStep]) -> None:
    whole = Pipeline(metadata=ObjectMeta(name=name, namespace="default"), spec=PipelineSpec(steps=steps, timeout="5m"))
    await client.create(kinds.PIPELINE, whole, "default")

    async def ready() -> bool:
        found = await client.get(kinds.PIPELINE, name, "default")
        return any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)

    await eventually(ready, 30, f"pipeline {name} is not ready")


async def latency(table: Table, platform: Platform, http: http1.Client) -> None:
    times: dict[str, list[float]] = {"direct": [], "one": [], "six": []}
    for _ in range(ONE_BY_ONE):
        for name, found in times.items():
            begin = time.perf_counter()
            if name == "direct":
                headers = [("host", "echo.default.localhost"), ("content-type", "application/json")]
                await http.request("POST", platform.facts["gateway"], headers=headers, body=b"1", timeout=30)
            else:
                await run(platform, http, name, 1)
            found.append(time.perf_counter() - begin)
    direct, one, six = (statistics.median(found[10:]) * 1e3 for found in times.values())
    step = (six - one) / 5
    table.add("pipeline: one step and its answer, warm", f"p50 {one:.1f} ms", "", f"straight to it: {direct:.1f} ms", one / direct)
    table.add("pipeline: what each further step takes", f"p50 {step:.1f} ms", "", f"straight to it: {direct:.1f} ms", step / direct)


async def rate(table: Table, platform: Platform, http: http1.Client) -> None:
    limit = asyncio.Semaphore(AT_ONCE)
    pid, nats = platform.facts["pid"], platform.facts["pids"]["nats-server"]
    begin, busy, busy_nats = time.perf_counter(), cpu(pid), cpu(nats)

    async def one() -> None:
        async with limit:
            await run(platform, http, "six", 1)

    await asyncio.gather(*(one() for _ in range(RUNS)))
    seconds = time.perf_counter() - begin
    ours, theirs = (cpu(pid) - busy) / RUNS / 6 * 1e3, (cpu(nats) - busy_nats) / RUNS / 6 * 1e3
    table.add(
        "pipeline: runs of six steps, 32 at once",
        f"{RUNS / seconds:.0f}/s, {6 * RUNS / seconds:.0f} steps/s",
        "",
        f"CPU a step: {ours:.2f} ms, nats-server {theirs:.2f} ms",
    )


async def items(table: Table, platform: Platform, http: http1.Client) -> None:
    begin = time.perf_counter()
    await run(platform, http, "map", list(range(ITEMS)))
    table.add(f"pipeline: items of a map of {ITEMS}, 32 in flight", f"{ITEMS / (time.perf_counter() - begin):.0f}/s", "", "")


async def run(platform: Platform, http: http1.Client, name: str, data: Any) -> None:
    url = f"{platform.facts['events']}/default/pipelines/{name}"
    answer = await http.request("POST", url, headers=[("content-type", "application/json")], body=json.dumps(data).encode(), timeout=120)
    assert answer.status == 200, answer


if __name__ == "__main__":
    asyncio.run(main())
