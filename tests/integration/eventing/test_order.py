"""Events of one partition key one after the other, as they were stored, others at once; whatever dies meanwhile."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio

from kfn.api import kinds
from kfn.api.meta import DeliverySpec
from tests.fakes.cutting import Wire, wire
from tests.fakes.sink import Got, Say, sink
from tests.integration.eventing.stage import QUICK, Stage, set_up, stage, until
from tests.integration.eventing.test_loss import kill_nats
from tests.integration.eventing.test_replicas import NAMED, Replica

IN_ORDER = {"eventing.kfn.dev/ordering": "partitionkey"}
PATIENT = DeliverySpec(retry=50, backoff_policy="linear", backoff_delay="PT0.05S")
KEYS = "abc"


async def publish_each(bus: Stage, count: int, keys: str = KEYS, start: int = 0) -> None:
    for n in range(start, start + count):
        for key in keys:
            await bus.publish_surely(f"{key}-{n}", partitionkey=key)


def by_key(got: list[Got]) -> dict[str, list[int]]:
    """What came, by key."""
    found: dict[str, list[int]] = defaultdict(list)
    for one in got:
        key, _, number = one.id.partition("-")
        found[key].append(int(number))
    return found


def check(got: list[Got], count: int, keys: str = KEYS) -> None:
    """Everything came, the first time in order; a repeat only of the newest."""
    found = by_key(got)
    for key in keys:
        firsts = list(dict.fromkeys(found[key]))
        assert firsts == list(range(count)), (key, found[key])
        assert found[key] == sorted(found[key]), f"an older one came again: {key}, {found[key]}"


async def all_came(bus: Stage, got: list[Got], count: int, keys: str = KEYS) -> None:
    await until(lambda: all(set(by_key(got)[key]) == set(range(count)) for key in keys), "every event arrives", 90)
    check(got, count, keys)


class TestOneKeyAfterTheOther:
    async def test_a_key_waits_for_its_event_in_work_and_others_go_on(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            opened = anyio.Event()

            async def hold_a(got: Got) -> Say:
                if got.id == "a-0":
                    await opened.wait()
                return Say()

            subscriber.answer = hold_a
            await bus.broker()
            await bus.trigger("t", subscriber.url, annotations=IN_ORDER)
            await publish_each(bus, 10)
            await until(lambda: len(subscriber.got) == 21, "b and c are through")
            await anyio.sleep(0.2)
            assert by_key(subscriber.got)["a"] == [0]
            opened.set()
            await all_came(bus, subscriber.got, 10)
            assert len(subscriber.got) == 30

    async def test_a_key_waits_whole_for_a_retry_and_goes_on_after_the_dead_letter(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:

            async def fail_one(got: Got) -> Say:
                return Say(500 if got.id == "a-1" else 204)

            subscriber.answer = fail_one
            policy = DeliverySpec(retry=2, backoff_policy="linear", backoff_delay="PT0.3S")
            await bus.broker(delivery=policy)
            await bus.trigger("t", subscriber.url, annotations={"kafka.eventing.knative.dev/delivery.order": "ordered"})
            await publish_each(bus, 4)
            await until(lambda: by_key(subscriber.got)["a"] == [0, 1, 1, 1, 2, 3], "three attempts, then the next")
            letters = await bus.dead_letters()
            assert [letter.id for letter in letters] == ["a-1"]
            came = [got.id for got in subscriber.got]
            assert came.index("c-3") < came.index("a-2"), "other keys did not wait"

    async def test_events_without_a_key_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            opened = anyio.Event()

            async def hold(got: Got) -> Say:
                if len(subscriber.got) < 10:
                    await opened.wait()
                return Say()

            subscriber.answer = hold
            await bus.broker()
            await bus.trigger("t", subscriber.url, annotations=IN_ORDER)
            for n in range(10):
                await bus.publish(f"x-{n}")
            await subscriber.wait(10)
            opened.set()

    async def test_more_than_is_kept_in_memory_waits_behind_one_key_and_comes_whole(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            opened = anyio.Event()

            async def hold_a(got: Got) -> Say:
                if got.id == "a-0":
                    await opened.wait()
                return Say()

            subscriber.answer = hold_a
            await bus.broker()
            await bus.trigger("t", subscriber.url, annotations=IN_ORDER)
            await publish_each(bus, 150, "a")
            await publish_each(bus, 1, "b")
            await until(lambda: "b-0" in subscriber.ids, "150 of another key are no wall")
            opened.set()
            await all_came(bus, subscriber.got, 150, "a")
            assert {got.body for got in subscriber.got} == {b'{"n":1}'}

    async def test_an_annotation_that_says_neither_is_told_and_events_wait(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            await bus.broker()
            await bus.trigger("t", "http://127.0.0.1:9", annotations={"eventing.kfn.dev/ordering": "strict"}, wait=False)
            made = await bus.ready(kinds.TRIGGER, "t", "False")
            assert any(c.reason == "InvalidOrdering" for c in made.status.conditions)


async def fail_often(got: Got) -> Say:
    """Every third event fails twice."""
    number = int(got.id.partition("-")[2])
    fail_often.seen[got.id] += 1  # type: ignore[attr-defined]
    await anyio.sleep(0.01)
    return Say(503 if number % 3 == 1 and fail_often.seen[got.id] <= 2 else 204)  # type: ignore[attr-defined]


class TestWhateverDies:
    async def test_kill_9_of_nats_server_in_the_middle_of_retries(self, tmp_path: Path) -> None:
        fail_often.seen = defaultdict(int)  # type: ignore[attr-defined]
        async with stage(tmp_path) as bus, sink() as subscriber:
            subscriber.answer = fail_often
            await bus.broker(delivery=PATIENT)
            await bus.trigger("t", subscriber.url, annotations=IN_ORDER)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish_each, bus, 40)
                for _ in range(2):
                    await anyio.sleep(0.5)
                    await kill_nats(bus)
            await all_came(bus, subscriber.got, 40)

    async def test_a_replica_that_is_cut_off_begins_nothing_and_the_other_goes_on_in_order(self, tmp_path: Path) -> None:
        fail_often.seen = defaultdict(int)  # type: ignore[attr-defined]
        async with set_up(tmp_path, NAMED) as bus, sink() as subscriber, wires(bus, 2) as (one, two):
            subscriber.answer = fail_often
            made = [Replica(bus, f"nats://{wire.host}") for wire in (one, two)]
            async with anyio.create_task_group() as tasks:
                for replica in made:
                    started = anyio.Event()
                    tasks.start_soon(replica.run, started)
                    with anyio.fail_after(20):
                        await started.wait()
                bus.eventing = made[0].eventing
                tasks.start_soon(made[0].leads)
                await bus.broker(delivery=PATIENT)
                await bus.trigger("t", subscriber.url, annotations=IN_ORDER)
                await until(lambda: all(replica.eventing._dispatchers.subscriptions() for replica in made), "both are ready to deliver")
                await publish_each(bus, 1)
                await until(lambda: sum(bool(pin(replica)) for replica in made) == 1, "one of them is pinned")
                cut = 0 if pin(made[0]) else 1
                bus.eventing = made[1 - cut].eventing
                async with anyio.create_task_group() as publishing:
                    publishing.start_soon(publish_each, bus, 30, KEYS, 1)
                    await until(lambda: len(subscriber.got) >= 20, "it is in the middle")
                    (one, two)[cut].die()
                await all_came(bus, subscriber.got, 31)
                assert pin(made[1 - cut])
                for replica in made:
                    replica.reign.cancel()
                tasks.cancel_scope.cancel()

    async def test_the_dispatcher_stops_and_the_next_goes_on_at_once(self, tmp_path: Path) -> None:
        fail_often.seen = defaultdict(int)  # type: ignore[attr-defined]
        async with set_up(tmp_path, replace(QUICK, ack_wait=20.0)) as bus, sink() as subscriber:
            subscriber.answer = fail_often
            async with bus.running():
                await bus.broker(delivery=PATIENT)
                await bus.trigger("t", subscriber.url, annotations=IN_ORDER)
                await publish_each(bus, 20)
                await until(lambda: len(subscriber.got) > 15, "it is in the middle")
            async with bus.running():
                await bus.ready(kinds.BROKER, "default")
                await publish_each(bus, 5, KEYS, 20)
                with anyio.fail_after(15):  # less than ack_wait
                    await all_came(bus, subscriber.got, 25)


class TestAChangeOfTheOption:
    async def test_order_begins_with_what_is_in_work_and_ends_when_it_is_taken_away(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            opened = anyio.Event()

            async def hold_first(got: Got) -> Say:
                if got.id == "a-0" and len(subscriber.got) == 1:
                    await opened.wait()
                return Say()

            subscriber.answer = hold_first
            await bus.broker(delivery=PATIENT)
            await bus.trigger("t", subscriber.url)
            await publish_each(bus, 1, "a")
            await subscriber.wait(1)
            patch = {"metadata": {"annotations": IN_ORDER}}
            await bus.eventing._client.patch(kinds.TRIGGER, "t", "default", patch)
            running = bus.eventing._dispatchers._running
            await until(lambda: bool(getattr(running.get("default/t"), "_lines", None)), "it delivers in order now")
            await publish_each(bus, 5, "a", 1)
            opened.set()
            await all_came(bus, subscriber.got, 6, "a")
            await bus.eventing._client.patch(kinds.TRIGGER, "t", "default", {"metadata": {"annotations": {next(iter(IN_ORDER)): None}}})
            await until(lambda: not hasattr(running.get("default/t"), "_lines"), "and not any more")
            await publish_each(bus, 3, "a", 6)
            await until(lambda: len(set(subscriber.ids)) == 9, "events go on")


def pin(replica: Replica) -> str:
    running = replica.eventing._dispatchers._running.get("default/t")
    return running._puller.pin if running is not None else ""


@asynccontextmanager
async def wires(bus: Stage, count: int) -> AsyncIterator[list[Wire]]:
    """Between each of several replicas and NATS."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(wire(bus.server.url.removeprefix("nats://"))) for _ in range(count)]
