"""Several replicas of eventing on one NATS: all take events and deliver them, one writes objects and streams, and any may die."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import nats.js.errors

from eventing.app import Eventing
from kfn.api import kinds
from kfn.kube.client import Client
from tests.fakes.sink import sink
from tests.integration.eventing.stage import QUICK, Stage, set_up, until

NAMED = replace(QUICK, ingress_url="http://brokers")


class Replica:
    """One process of several. `leads` while its lease is held."""

    def __init__(self, stage: Stage, nats: str = "") -> None:
        settings = replace(stage.settings, **{**stage.server.login, "nats_url": nats or stage.server.url})
        self.kube = stage.kube
        self.eventing = Eventing(Client(stage.kube), settings, alone=False)
        self.life = anyio.CancelScope()
        self.reign = anyio.CancelScope()

    async def run(self, started: anyio.Event) -> None:
        with self.life:
            await self.eventing.run(started=started.set)

    async def leads(self) -> None:
        with self.reign:
            await self.eventing.lead(Client(self.kube))


@asynccontextmanager
async def replicas(path: Path, count: int = 2) -> AsyncIterator[tuple[Stage, list[Replica]]]:
    """The first one leads."""
    async with set_up(path, NAMED) as stage, anyio.create_task_group() as tasks:
        made = [Replica(stage) for _ in range(count)]
        for one in made:
            started = anyio.Event()
            tasks.start_soon(one.run, started)
            with anyio.fail_after(20):
                await started.wait()
        stage.eventing = made[0].eventing
        tasks.start_soon(made[0].leads)
        yield stage, made
        for one in made:
            one.reign.cancel()
        tasks.cancel_scope.cancel()


async def publish(stage: Stage, to: Replica, ids: list[str]) -> None:
    stage.eventing = to.eventing
    for id in ids:
        await stage.publish_surely(id)


class TestSeveralReplicas:
    async def test_both_take_events_and_both_deliver_them_each_once(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (first, second)), sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await until(lambda: bool(second.eventing._dispatchers.subscriptions()), "the follower delivers, too")
            wanted = [f"e{n}" for n in range(200)]
            await publish(bus, first, wanted[:100])
            await publish(bus, second, wanted[100:])
            await until(lambda: len(subscriber.got) >= 200, "all are delivered")
            assert sorted(subscriber.ids) == sorted(wanted)
            for one in (first, second):
                shown = one.eventing.metrics.exposition().decode()
                assert 'kfn_events_delivered_total{broker="default",namespace="default",trigger="t"} 0.0' not in shown

    async def test_who_follows_writes_nothing(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (first, second)), sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            first.reign.cancel()
            await until(lambda: first.eventing._leader is None, "nobody leads")
            before = list(bus.kube.writes)
            await anyio.sleep(0.1)
            await bus.eventing._client.patch(kinds.TRIGGER, "t", "default", {"metadata": {"labels": {"a": "b"}}})
            await publish(bus, second, ["one"])
            await until(lambda: subscriber.ids == ["one"], "events go on")
            assert [path for _, path in bus.kube.writes[len(before) :] if path.endswith("status")] == []

    async def test_the_next_leader_goes_on_and_no_trigger_stops_meanwhile(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (first, second)), sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await until(lambda: bool(second.eventing._dispatchers.subscriptions()), "the follower delivers, too")
            running = second.eventing._dispatchers._running.get("default/t")
            assert running is not None
            first.life.cancel()
            first.reign.cancel()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(second.leads)
                await publish(bus, second, [f"e{n}" for n in range(50)])
                await until(lambda: len(set(subscriber.ids)) == 50, "all are delivered")
                await bus.trigger("u", subscriber.url)
                assert second.eventing._dispatchers._running.get("default/t") is running
                second.reign.cancel()

    async def test_events_in_the_hands_of_one_that_dies_go_to_the_other(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (first, second)), sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await until(lambda: bool(second.eventing._dispatchers.subscriptions()), "the follower delivers, too")
            for n in range(100):
                await publish(bus, second, [f"e{n}"])
                if n == 50:
                    first.life.cancel()
                    first.reign.cancel()
            await until(lambda: len(set(subscriber.ids)) == 100, "all are delivered")

    async def test_a_stream_that_was_lost_is_made_anew_by_the_leader_also_when_a_follower_is_asked(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (_first, second)), sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await second.eventing._bus.delete_stream("KFN_default_default")
            with anyio.fail_after(40):
                await publish(bus, second, ["after"])
            await until(lambda: "after" in subscriber.ids, "it is delivered")

    async def test_a_trigger_that_is_deleted_stops_everywhere(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (_first, second)), sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await until(lambda: bool(second.eventing._dispatchers.subscriptions()), "the follower delivers, too")
            uid = bus.kube.the(kinds.TRIGGER, "t").metadata.uid
            await bus.eventing._client.delete(kinds.TRIGGER, "t", "default")
            await until(lambda: bus.kube.find(kinds.TRIGGER, "t") is None, "it is let go")
            await until(lambda: not second.eventing._dispatchers.subscriptions(), "the follower stops")
            try:
                await second.eventing._bus.client.jetstream().consumer_info("KFN_default_default", f"kfn_t_{uid}")
                raise AssertionError("the consumer is still there")
            except nats.js.errors.NotFoundError:
                pass
