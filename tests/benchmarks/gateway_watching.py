"""What an access log and spans cost a warm request in Python, beside a request that nobody watches, in the same run and in turn.

    python -m tests.benchmarks.gateway_watching

CPU of the whole process, so the thread that writes lines is in it. Spans are made and put into the batch processor's queue; sending
them depends on the collector and is not in it. And what a scrape of ten thousand revisions costs, and how long others wait for it.
"""

import asyncio
import gc
import logging
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import anyio

from gateway.app import Gateway
from gateway.chain import Chain
from gateway.observe import metrics
from gateway.observe.accesslog import AccessLog
from gateway.observe.spans import Spans
from gateway.observe.watch import Watcher
from gateway.settings import Settings
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision
from kfn.kube.client import Client
from kfn.observe import otel, trace
from kfn.observe.lines import Lines
from tests.benchmarks._measure import Table
from tests.benchmarks.gateway_micro import GET, SIZED, Null, check, times
from tests.fakes.kube import FakeApi
from tests.fakes.routed import Sink
from tests.fakes.wired import Wired

ROUNDS, REQUESTS, REVISIONS = 9, 3000, 10_000


async def main() -> None:
    logging.disable(logging.CRITICAL)  # the queue of spans is full on purpose
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        lines = Lines(str(Path(folder) / "access.log"))
        exporter = otel.Exporter("bench")
        exporter.give_up()
        variants: dict[str, tuple[str, Watcher | None]] = {
            "nobody watches": ("", None),
            "access log": ("", AccessLog(lines)),
            "access log, one in a hundred": ("", AccessLog(lines, sample=0.01)),
            "OpenTelemetry, none sampled": ("always_off", Spans(exporter)),
            "OpenTelemetry, one in a hundred": ("traceidratio", Spans(exporter)),
            "OpenTelemetry, all sampled": ("always_on", Spans(exporter)),
        }
        async with anyio.create_task_group() as tasks:
            wired: dict[str, Wired] = {}
            for name, (sampler, watcher) in variants.items():
                tracing = otel.Tracing(trace.sampler(sampler, "0.01")) if sampler else None
                wired[name] = Wired(tasks, time.monotonic, transport=Null, tracing=tracing)
                wired[name].chain.watchers = (watcher,) if watcher is not None else ()
                check(wired[name], [GET], SIZED)
            gc.collect()
            gc.freeze()
            took: dict[str, list[float]] = {name: [] for name in wired}
            for _ in range(ROUNDS):
                for name, one in wired.items():
                    took[name].append(times(one, [GET], SIZED, REQUESTS) / REQUESTS * 1e6)
            for name, found in took.items():
                table.add(f"Python in a warm request: {name}", f"{min(found):.2f} µs, median {statistics.median(found):.2f} µs")
            await scrape(table, tasks)
            tasks.cancel_scope.cancel()
        lines.close().wait(10)


async def scrape(table: Table, tasks: anyio.abc.TaskGroup) -> None:
    gateway = Gateway(Client(FakeApi()), Sink(), Settings())
    chain = gateway.chain = Chain(tasks, Sink(), gateway.settings, time.monotonic)
    for i in range(REVISIONS):
        chain.revision_changed(None, Revision(metadata=ObjectMeta(name=f"function-{i:05}", namespace="default")))
    for called in (False, True):
        for line in chain.lines.values() if called else ():
            line.meter.arrive(0.0)
            line.meter.leave(0.003, 0.0, 200)
        gc.collect()
        gc.freeze()  # as the gateway does it when it is ready
        size, turns = 0, [time.process_time()]

        async def other(turns: list[float] = turns) -> None:
            while True:
                turns.append(time.process_time())
                await anyio.sleep(0)

        async with anyio.create_task_group() as beside:
            beside.start_soon(other)
            async for part in metrics.page(gateway):
                size += len(part)
            beside.cancel_scope.cancel()
        longest = max(b - a for a, b in pairwise(turns))
        name = f"a scrape of {REVISIONS:,} revisions, {'all' if called else 'none'} called"
        table.add(name, f"{(turns[-1] - turns[0]) * 1e3:.0f} ms, others wait {longest * 1e3:.1f} ms at most, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    asyncio.run(main())
