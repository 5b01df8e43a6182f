"""One event, 1, 10 and 100 Triggers, of which one wants it: filtered by the NATS server (exact types), and by the dispatcher."""

import asyncio
import statistics
import time
from dataclasses import dataclass

from kfn.api import eventing, kinds
from kfn.api.meta import Destination, ObjectMeta
from kfn.http1 import Client as Http
from kfn.kube.client import Client
from tests.benchmarks._measure import Table, cpu
from tests.benchmarks._rawbus import posting, publish
from tests.e2e.harness import Platform
from tests.fakes.sink import Sink, sink

EVENTS, ONE_BY_ONE, ROUNDS = 200, 40, 3
WIDTHS = (1, 10, 100)


@dataclass(frozen=True)
class Cost:
    """Seconds: until the subscriber has it, of the platform's CPU and of nats-server's, an event."""

    p50: float
    platform: float
    nats: float


async def fan_out(table: Table, platform: Platform, client: Client) -> None:
    async with sink() as subscriber, posting() as http:
        url = (await platform.kfn("broker", "create", "fan")).last_line
        costs: dict[int, Cost] = {}
        made = 0
        for width in WIDTHS:
            await _subscribe(client, subscriber, made, width)
            made = width
            costs[width] = await _measured(platform, http, url, subscriber, f"exact{width}")
        first = costs[WIDTHS[0]]
        for width, cost in costs.items():
            figure = f"p50 {cost.p50 * 1e3:.1f} ms, {(cost.platform + cost.nats) * 1e6:.0f} µs CPU"
            beside = f"nats-server {cost.nats * 1e6:.0f} µs of it; to 1 Trigger: {(first.platform + first.nats) * 1e6:.0f} µs"
            ratio = (cost.platform + cost.nats) / (first.platform + first.nats)
            table.add(f"an event to 1 of {width} Triggers, exact types", figure, "", beside, ratio)
        await _filtered(table, platform, client, http, url, subscriber, costs[WIDTHS[-1]])


async def _filtered(table: Table, platform: Platform, client: Client, http: Http, url: str, subscriber: Sink, exact: Cost) -> None:
    """As many Triggers again that only the dispatcher can filter: each takes in, reads, refuses and acknowledges every event."""
    width = WIDTHS[-1]
    for n in range(width):
        await _create(client, f"suffix-{n}", {"filters": [{"suffix": {"type": f".nothing{n}"}}]}, subscriber)
    await _ready(client, 2 * width)
    cost = await _measured(platform, http, url, subscriber, "suffix")
    each = (cost.platform - exact.platform) / width
    figure = f"{1 / each:.0f}/s a core ({each * 1e6:.0f} µs CPU)"
    beside = f"an event with {width} of these: {cost.platform * 1e6:.0f} µs, p50 {cost.p50 * 1e3:.0f} ms"
    table.add("taken in, filtered and acknowledged in process", figure, "10,000/s a core", beside)


async def _measured(platform: Platform, http: Http, url: str, subscriber: Sink, name: str) -> Cost:
    took = []
    for n in range(ONE_BY_ONE):
        subscriber.got.clear()
        begin = time.perf_counter()
        await publish(http, url, f"{name}-one-{n}", "fan.0")
        await subscriber.wait(1)
        took.append(time.perf_counter() - begin)
        await asyncio.sleep(0.01)
    pid, nats = platform.facts["pid"], platform.facts["pids"]["nats-server"]
    ours, theirs = [], []
    for round_ in range(ROUNDS):
        subscriber.got.clear()
        before, before_nats = cpu(pid), cpu(nats)
        for n in range(0, EVENTS, 20):
            await asyncio.gather(*(publish(http, url, f"{name}-{round_}-{m}", "fan.0") for m in range(n, n + 20)))
        await subscriber.wait(EVENTS, 120)
        await asyncio.sleep(0.5)  # those that are only filtered may still come
        ours.append((cpu(pid) - before) / EVENTS)
        theirs.append((cpu(nats) - before_nats) / EVENTS)
    return Cost(statistics.median(took), statistics.median(ours), statistics.median(theirs))


async def _subscribe(client: Client, subscriber: Sink, made: int, wanted: int) -> None:
    for n in range(made, wanted):
        await _create(client, f"exact-{n}", {"filter": eventing.TriggerFilter(attributes={"type": f"fan.{n}"})}, subscriber)
    await _ready(client, wanted)


async def _create(client: Client, name: str, how: dict[str, object], subscriber: Sink) -> None:
    spec = eventing.TriggerSpec(broker="fan", subscriber=Destination(uri=subscriber.url), **how)  # type: ignore[arg-type]
    await client.create(kinds.TRIGGER, eventing.Trigger(metadata=ObjectMeta(name=name), spec=spec), "default")


async def _ready(client: Client, count: int) -> None:
    end = time.monotonic() + 120
    while True:
        triggers = (await client.list(kinds.TRIGGER, "default"))[0]
        of_fan = [one for one in triggers if one.spec.broker == "fan"]
        ready = sum(any(c.type == "Ready" and c.status == "True" for c in one.status.conditions) for one in of_fan)
        if ready >= count:
            return
        assert time.monotonic() < end, f"{ready} of {count} triggers are ready after two minutes"
        await asyncio.sleep(0.1)
