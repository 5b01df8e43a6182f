"""No acknowledged event is lost: one test for each way in which a bus on JetStream can lose one."""

import os
import signal
from pathlib import Path

import anyio

from kfn.api import kinds
from kfn.api.meta import DeliverySpec
from kfn.cloudevents import Event
from tests.fakes.sink import Got, Say, reply, sink
from tests.integration.eventing.stage import FAST, Stage, set_up, stage, until

PATIENT = DeliverySpec(retry=20, backoff_policy="linear", backoff_delay="PT0.1S")


async def kill_nats(bus: Stage) -> None:
    before = bus.server.restarts
    os.kill(bus.server.pid, signal.SIGKILL)
    await until(lambda: bus.server.restarts > before, "nats-server is started again")


async def test_kill_9_of_nats_server_while_events_are_published_and_delivered(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:

        async def slowly(got: Got) -> Say:
            await anyio.sleep(0.02)
            return Say()

        subscriber.answer = slowly
        await bus.broker(delivery=PATIENT)
        await bus.trigger("t", subscriber.url)
        accepted: set[str] = set()

        async def publisher(name: str) -> None:
            for n in range(60):
                await bus.publish_surely(f"{name}{n}")
                accepted.add(f"{name}{n}")
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(publisher, name)
            for _ in range(3):
                await anyio.sleep(0.4)
                await kill_nats(bus)
        assert len(accepted) == 180
        await until(lambda: accepted <= set(subscriber.ids), "every acknowledged event arrives", 30)


async def test_the_dispatcher_stops_in_the_middle_of_deliveries_and_another_takes_over(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bus, sink() as subscriber:
        opened = anyio.Event()

        async def hold(got: Got) -> Say:
            await opened.wait()
            return Say()

        subscriber.answer = hold
        async with bus.running():
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            for n in range(10):
                await bus.publish(str(n))
            await subscriber.wait(10)
        opened.set()
        subscriber.got.clear()
        async with bus.running():
            await subscriber.wait(10, 10)
            assert set(subscriber.ids) == {str(n) for n in range(10)}


async def test_events_published_while_no_dispatcher_runs_a_trigger_are_delivered_later(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bus:
        async with sink() as subscriber, bus.running():
            await bus.broker()
            bus.service("f", subscriber.url)
            await bus.trigger("t", subscriber.url)
            port = subscriber.port
        async with bus.running():
            await bus.ready(kinds.BROKER, "default")
            await bus.publish_surely("1")
            async with sink(port) as subscriber:
                await subscriber.wait(1)


async def test_a_subscriber_that_is_away_gets_its_events_when_it_is_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        async with sink() as subscriber:
            port = subscriber.port
        await bus.broker(delivery=PATIENT)
        await bus.trigger("t", f"http://127.0.0.1:{port}")
        for n in range(20):
            await bus.publish(str(n))
        await anyio.sleep(0.5)
        async with sink(port) as subscriber:
            await until(lambda: set(subscriber.ids) == {str(n) for n in range(20)}, "all arrive")


async def test_a_reply_is_published_though_nats_is_away_when_it_comes(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as first, sink() as second:

        async def answer(got: Got) -> Say:
            await kill_nats(bus)
            return reply(Event({"specversion": "1.0", "id": "r", "source": "/first", "type": "answer"}, None))

        first.answer = answer
        await bus.broker()
        await bus.trigger("first", first.url, type="question")
        await bus.trigger("second", second.url, type="answer")
        await bus.publish("1", "question")
        await second.wait(1)
        await anyio.sleep(0.3)
        assert second.ids == ["r"]
        assert len(first.got) == 1, "the function ran once: only its reply was tried again"


async def test_an_event_that_cannot_be_delivered_is_kept_though_nats_dies_on_the_last_attempt(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:

        async def answer(got: Got) -> Say:
            if len(subscriber.got) == 2:
                os.kill(bus.server.pid, signal.SIGKILL)
            return Say(500)

        subscriber.answer = answer
        await bus.broker(delivery=DeliverySpec(retry=1, backoff_policy="linear", backoff_delay="PT0.05S"))
        await bus.trigger("t", subscriber.url)
        await bus.publish("1")
        await until(lambda: bus.server.restarts == 1, "nats-server is started again")
        with anyio.fail_after(15):
            while not (letters := await bus.dead_letters()):
                await anyio.sleep(0.05)
        assert [letter.id for letter in letters] == ["1"]


async def test_a_dispatcher_that_ends_on_the_last_attempt_leaves_the_event_to_the_next(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bus, sink() as subscriber:

        async def hang(got: Got) -> Say:
            await anyio.sleep(60)
            return Say()

        async def refuse(got: Got) -> Say:
            return Say(500)

        subscriber.answer = hang
        for _ in range(3):  # more runs than the policy has attempts
            async with bus.running():
                if not bus.kube.find(kinds.BROKER, "default"):
                    await bus.broker(delivery=DeliverySpec(retry=0))
                    await bus.trigger("t", subscriber.url)
                    await bus.publish("1")
                count = len(subscriber.got)
                await subscriber.wait(count + 1, 8)
        subscriber.answer = refuse
        async with bus.running():
            with anyio.fail_after(15):
                while not (letters := await bus.dead_letters()):
                    await anyio.sleep(0.05)
            assert [letter.id for letter in letters] == ["1"]


async def test_events_that_a_trigger_still_needs_survive_when_the_stream_runs_full(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.integration.eventing.stage import QUICK

    small = replace(QUICK, max_bytes=512 * 1024, max_event=16 * 1024)
    async with stage(tmp_path, small) as bus, sink() as subscriber:
        await bus.broker(delivery=FAST)
        await bus.trigger("t", subscriber.url)
        for n in range(120):  # three times what fits
            with anyio.fail_after(30):
                while (await bus.publish(str(n), data=b'"' + b"x" * 12_000 + b'"')).status != 202:
                    await anyio.sleep(0.1)
        await until(lambda: set(subscriber.ids) == {str(n) for n in range(120)}, "all arrive")


async def test_a_full_stream_refuses_with_retry_after_and_keeps_what_nobody_took_yet(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.integration.eventing.stage import QUICK

    small = replace(QUICK, max_bytes=128 * 1024, max_event=16 * 1024)
    async with stage(tmp_path, small) as bus, sink() as subscriber:
        await bus.broker(delivery=PATIENT)
        await bus.trigger("t", subscriber.url)
        opened = anyio.Event()

        async def hold(got: Got) -> Say:
            await opened.wait()
            return Say()

        subscriber.answer = hold
        accepted = []
        for n in range(30):
            answer = await bus.publish(str(n), data=b'"' + b"x" * 12_000 + b'"')
            if answer.status == 202:
                accepted.append(str(n))
            else:
                assert answer.status == 503
                assert answer.header(b"retry-after")
        assert 5 < len(accepted) < 15
        opened.set()
        await until(lambda: set(subscriber.ids) == set(accepted), "exactly the accepted arrive")


async def test_a_loop_of_replies_ends_when_its_time_to_live_is_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:

        async def echo(got: Got) -> Say:
            return reply(got.event.with_attributes(id=f"{len(subscriber.got)}"))

        subscriber.answer = echo
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        await bus.publish("first", knativebrokerttl="6")
        await subscriber.wait(5)
        await anyio.sleep(0.3)
        assert len(subscriber.got) == 5


async def test_a_stream_and_a_consumer_that_somebody_removed_are_made_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        await bus.eventing._bus.delete_stream("KFN_default_default")
        await bus.publish_surely("1")
        await anyio.sleep(0.5)
        await bus.ready(kinds.TRIGGER, "t")
        await bus.publish_surely("2")
        await until(lambda: "2" in subscriber.ids, "the event arrives")


async def test_many_triggers_each_get_every_event(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        for n in range(20):
            await bus.trigger(f"t{n}", f"{subscriber.url}/{n}")
        for n in range(10):
            await bus.publish(str(n))
        await subscriber.wait(200)
        assert len({(got.path, got.id) for got in subscriber.got}) == 200
