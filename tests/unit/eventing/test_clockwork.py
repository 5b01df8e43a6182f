"""The clock of PingSources, in virtual time: what is fired, what is tried again, what is left out, and what a change does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

import anyio

from eventing.courier import Answer, Courier
from eventing.delivery import Policy
from eventing.metrics import Metrics
from eventing.retry import Outcome
from eventing.sources.clockwork import AT_ONCE, Clockwork, Shot
from kfn.api.schedule import parse
from kfn.cloudevents import Event

START = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SHOT = Shot("uid-1", "http://sink", {"specversion": "1.0", "source": "/ping", "type": "t"}, b"tick")


class Sink:
    """Stands for the courier: what came and when, and what it answers."""

    def __init__(self) -> None:
        self.came: list[tuple[float, Event, str]] = []
        self.answers: list[int] = []
        self.takes = 0.0

    async def deliver(self, event: Event, url: str, policy: Policy, trace: Mapping[str, str], *, sender: str = "") -> Answer:
        self.came.append((anyio.current_time(), event, url))
        if self.takes:
            await anyio.sleep(self.takes)
        return Answer(Outcome(self.answers.pop(0) if self.answers else 200))

    @property
    def ids(self) -> list[str]:
        return [event.id for _, event, _ in self.came]


class Wall:
    """The wall clock: the loop's time since START, and what it was set by."""

    def __init__(self) -> None:
        self._zero = anyio.current_time()
        self.set_by = 0.0

    def __call__(self) -> datetime:
        return START + timedelta(seconds=anyio.current_time() - self._zero + self.set_by)


@asynccontextmanager
async def clockwork(sink: Sink, metrics: Metrics | None = None) -> AsyncIterator[tuple[Clockwork, Wall]]:
    wall = Wall()
    async with anyio.create_task_group() as tasks:
        yield Clockwork(cast(Courier, sink), metrics or Metrics(), tasks, wall), wall
        tasks.cancel_scope.cancel()


class TestWhatIsDue:
    async def test_is_sent_once_each_time_and_named_after_it(self) -> None:
        sink = Sink()
        async with clockwork(sink) as (clock, _):
            await clock.ensure("ns/a", SHOT, parse("*/5 * * * *"))
            await anyio.sleep(899)
            assert [int(e.id.removeprefix("uid-1-")) - int(START.timestamp()) for _, e, _ in sink.came] == [300, 600]
            _, event, url = sink.came[0]
            assert (event.data, url, event.attributes["time"]) == (b"tick", "http://sink", "2026-11-21T12:05:00.000000Z")

    async def test_is_tried_again_while_the_sink_fails_and_keeps_its_id(self) -> None:
        sink, metrics = Sink(), Metrics()
        sink.answers = [503, 503, 200]
        async with clockwork(sink, metrics) as (clock, _):
            await clock.ensure("ns/a", SHOT, parse("@hourly"))
            await anyio.sleep(3700)
        assert len(sink.came) == 3
        assert len(set(sink.ids)) == 1
        assert b'kfn_source_pings_total{namespace="ns",outcome="delivered",source="a"} 1.0' in metrics.exposition()

    async def test_is_given_up_when_the_sink_refuses_it(self) -> None:
        sink, metrics = Sink(), Metrics()
        sink.answers = [400]
        async with clockwork(sink, metrics) as (clock, _):
            await clock.ensure("ns/a", SHOT, parse("@hourly"))
            await anyio.sleep(3700)
        assert len(sink.came) == 1
        assert b'outcome="lost",source="a"} 1.0' in metrics.exposition()

    async def test_does_not_wait_for_the_one_before_but_has_a_bound(self) -> None:
        sink = Sink()
        sink.takes = 1000.0
        async with clockwork(sink) as (clock, _):
            await clock.ensure("ns/a", SHOT, parse("@every 1s"))
            await anyio.sleep(100.5)
            assert len(sink.came) == AT_ONCE
            await anyio.sleep(950)
            assert len(sink.came) > AT_ONCE, "when earlier ones have ended, it goes on"


class TestTheClock:
    async def test_that_is_set_forward_fires_what_comes_and_makes_up_for_nothing(self) -> None:
        sink = Sink()
        async with clockwork(sink) as (clock, wall):
            await clock.ensure("ns/a", SHOT, parse("@hourly"))
            await anyio.sleep(10)
            wall.set_by = 3 * 3600 + 1800
            await anyio.sleep(60)
            assert sink.came == []
            await anyio.sleep(1800)
            assert sink.ids == [f"uid-1-{int(START.timestamp()) + 4 * 3600}"]

    async def test_that_is_set_back_does_not_delay_what_is_nearer_now(self) -> None:
        sink = Sink()
        async with clockwork(sink) as (clock, wall):
            await clock.ensure("ns/a", SHOT, parse("0 15 * * *"))
            await anyio.sleep(10)
            wall.set_by = -3600 * 20  # yesterday, 16:00
            await anyio.sleep(60)
            wall.set_by = -3600 * 21 - 120  # yesterday, 14:58 and a bit
            await anyio.sleep(120)
            assert sink.ids == [f"uid-1-{int((START - timedelta(hours=21)).timestamp())}"]


class TestAChange:
    async def test_of_the_data_keeps_the_clock_and_of_the_schedule_starts_it_anew(self) -> None:
        sink = Sink()
        async with clockwork(sink) as (clock, _):
            await clock.ensure("ns/a", SHOT, parse("@every 60s"))
            await anyio.sleep(30)
            await clock.ensure("ns/a", Shot("uid-1", "http://other", SHOT.attributes, b"new"), parse("@every 60s"))
            await anyio.sleep(31)
            assert [(e.data, url) for _, e, url in sink.came] == [(b"new", "http://other")]
            await clock.ensure("ns/a", SHOT, parse("@every 10s"))
            await anyio.sleep(10)
            assert len(sink.came) == 2

    async def test_stop_ends_it_and_what_it_was_trying(self) -> None:
        sink = Sink()
        sink.answers = [503] * 100
        async with clockwork(sink) as (clock, _):
            await clock.ensure("ns/a", SHOT, parse("@every 1s"))
            await anyio.sleep(1.5)
            await clock.stop("ns/a")
            sent = len(sink.came)
            await anyio.sleep(100)
            assert len(sink.came) == sent
