"""What 10,000 functions cost the gateway: memory of each at zero, a route change, a look at everybody's load, and what they cost a request.

A request's cost is the Python in it, over transports that do nothing (see `gateway_micro`): to one function among 10,000 beside the only
one, and to 1,000 of them in turn, each with an instance of its own, beside 1,000 that are all there are.

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
from gateway.addresses import Address
from gateway.chain import Chain
from gateway.http1.inbound import ClientConnection
from gateway.http1.upstream import UpstreamConnection
from gateway.settings import Settings
from kfn.api.core import Container
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec, Route, RouteStatus, TrafficTarget
from kfn.load import RevisionKey
from tests.benchmarks._measure import Table
from tests.benchmarks.gateway_micro import SIZED, Null
from tests.fakes.routed import Sink

FUNCTIONS, REVISIONS = 10_000, 1_000
REQUEST = b"GET /%d HTTP/1.1\r\nHost: function-%d.default.localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"


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
        sweeps = [_timed(chain.sweep) for _ in range(20)]
        table.add("gateway, closing what idles, once a second", f"p50 {_p50(sweeps)}")
        gc.unfreeze()
        requests(table, tasks)
        tasks.cancel_scope.cancel()


def requests(table: Table, tasks: anyio.abc.TaskGroup) -> None:
    alone, few, crowded = (Asked(tasks, functions) for functions in (1, REVISIONS, FUNCTIONS))
    every = {"alone": (alone, 1), "among": (crowded, 1), "few": (few, REVISIONS), "turn": (crowded, REVISIONS)}
    gc.collect()
    gc.freeze()
    took: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(25):
        for name, (asked, of) in every.items():
            took[name].append(asked.seconds(of) * 1e6)
    cost = {name: statistics.median(found) for name, found in took.items()}
    table.add(
        f"Python in a request to 1 of {FUNCTIONS:,} functions", f"{cost['among']:.2f} µs", "no change",
        f"to the only one: {cost['alone']:.2f} µs", cost["among"] / cost["alone"],
    )  # fmt: skip
    table.add(
        f"Python in a request to {REVISIONS:,} of {FUNCTIONS:,} in turn", f"{cost['turn']:.2f} µs", "no change",
        f"to {REVISIONS:,} of {REVISIONS:,} in turn: {cost['few']:.2f} µs", cost["turn"] / cost["few"],
    )  # fmt: skip


class Asked:
    """A gateway with so many functions, of which up to 1,000 have an instance each; and a client's connection to it."""

    def __init__(self, tasks: anyio.abc.TaskGroup, functions: int) -> None:
        self.chain = chain = Chain(tasks, Sink(), Settings(), time.monotonic)
        for number in range(functions):
            known = made(number)
            chain.revision_changed(None, known.revision)
            chain.route_changed(None, known.route)
        self.client = ClientConnection(chain)
        self.client.connection_made(Null())  # type: ignore[arg-type]
        self.instances = [self._instance(number) for number in range(min(functions, REVISIONS))]

    def _instance(self, number: int) -> UpstreamConnection:
        """A connection to a function's only instance."""
        line = self.chain.lines[RevisionKey("default", f"function-{number}-00001")]
        line.set_addresses({("127.0.0.1", number + 1): Address("127.0.0.1", number + 1, ready=True, terminating=False)})
        (instance,) = line.instances.values()
        connection = UpstreamConnection(instance)
        connection.connection_made(Null())  # type: ignore[arg-type]
        instance.put(connection, time.monotonic())
        return connection

    def seconds(self, of: int, times: int = 5) -> float:
        """CPU of one request, to so many functions in turn. No head comes twice in a row on the client's connection."""
        turns = [(REQUEST % (number, number % of), self.instances[number % of]) for number in range(REVISIONS)]
        client = self.client.data_received
        begin = time.process_time()
        for _ in range(times):
            for request, connection in turns:
                client(request)
                connection.data_received(SIZED)
        return (time.process_time() - begin) / times / REVISIONS


def _timed(do) -> float:  # type: ignore[no-untyped-def]
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def _p50(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.2f} ms"


if __name__ == "__main__":
    asyncio.run(main())
