"""What 10,000 functions at zero cost the gateway: memory of each, a route change, and a look at everybody's load.

python -m tests.benchmarks routes
"""

import asyncio
import gc
import statistics
import time
import tracemalloc
from dataclasses import dataclass

import anyio

from gateway import policy
from gateway.chain import Chain
from gateway.settings import Settings
from kfn.api.core import Container
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec, Route, RouteStatus, TrafficTarget
from tests.benchmarks._measure import Table
from tests.fakes.routed import Sink

FUNCTIONS = 10_000


@dataclass
class Known:
    """One function's objects, as the gateway's informers keep them."""

    route: Route
    revision: Revision


def made(number: int, generation: int = 1) -> Known:
    name = f"function-{number}"
    revision = f"{name}-{generation:05}"
    traffic = [TrafficTarget(revision_name=revision, percent=100, latest_revision=True)]
    return Known(
        Route(
            metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{number}", resource_version=str(number)),
            status=RouteStatus(url=f"http://{name}.default.localhost:8080", traffic=traffic),
        ),
        Revision(
            metadata=ObjectMeta(name=revision, namespace="default", uid=f"uid-r-{number}", resource_version=str(number)),
            spec=RevisionSpec(containers=[Container(image=f"kfn.local/default/{name}@sha256:{number:064}")]),
        ),
    )


async def main() -> None:
    table = Table()
    async with anyio.create_task_group() as tasks:
        chain = Chain(tasks, Sink(), Settings(), time.monotonic)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        functions = [made(n) for n in range(FUNCTIONS)]
        for known in functions:
            chain.revision_changed(None, known.revision)
            known.revision = policy.kept(known.revision)
        for known in functions:
            chain.route_changed(None, known.route)
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        table.add(
            f"gateway, a function at zero ({FUNCTIONS:,} of them)", f"{used / FUNCTIONS / 1024:.2f} KiB", "4 KiB",
        )  # fmt: skip
        gc.collect()
        gc.freeze()  # as a process does that has read what is there
        chain.route_changed(functions[1].route, made(1, 2).route)  # the first one after tracemalloc pays for its leftovers
        changes = [_timed(lambda n=n: chain.route_changed(functions[n].route, made(n, 2).route)) for n in range(0, FUNCTIONS, 50)]
        table.add("gateway, a route change", f"p50 {_p50(changes)}, worst {max(changes) * 1e3:.2f} ms", "1 ms")
        looks = [_timed(chain.samples) for _ in range(20)]
        table.add("gateway, everybody's load, once a second", f"p50 {_p50(looks)}")


def _timed(do) -> float:  # type: ignore[no-untyped-def]
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def _p50(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.2f} ms"


if __name__ == "__main__":
    asyncio.run(main())
