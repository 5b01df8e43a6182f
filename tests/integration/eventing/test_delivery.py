"""From a publisher to a subscriber and back, on a real nats-server and real sockets."""

from dataclasses import replace
from pathlib import Path

import anyio

from kfn.api import kinds
from kfn.api.meta import DeliverySpec, Destination
from kfn.cloudevents import Event
from tests.fakes.sink import Got, Say, reply, sink
from tests.integration.eventing.stage import QUICK, stage, until
from tests.integration.eventing.test_reconcile import deleted


async def test_an_event_reaches_the_trigger_that_wants_it_with_every_attribute_as_sent(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as wanted, sink() as other:
        await bus.broker()
        await bus.trigger("wanted", wanted.url, type="order.created")
        await bus.trigger("other", other.url, type="order.deleted")
        answer = await bus.publish("1", "order.created", subject="ünï cödé 100%", myext="a b", time="2026-01-31T10:00:00.123Z")
        assert answer.status == 202, answer
        [got] = await wanted.wait(1)
        event = got.event
        assert event.attributes["subject"] == "ünï cödé 100%"
        assert event.attributes["myext"] == "a b"
        assert event.attributes["time"] == "2026-01-31T10:00:00.123Z"
        assert event.data == b'{"n":1}'
        assert (got.headers["prefer"], got.headers["kn-namespace"]) == ("reply", "default")
        assert got.headers["traceparent"].startswith("00-")
        assert "knativebrokerttl" not in event.attributes
        assert "knativearrivaltime" in event.attributes
        await anyio.sleep(0.1)
        assert other.got == []


async def test_a_cesql_filter_says_what_passes_and_its_errors_are_counted(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        wanted = "type LIKE 'order.%' AND (size > 5 OR EXISTS urgent) AND NOT (subject IN ('a', 'b'))"
        await bus.trigger("t", subscriber.url, filters=[{"cesql": wanted}])
        await bus.publish("wrong-type", "invoice.paid", size="9", subject="c")
        await bus.publish("too-small", "order.paid", size="5", subject="c")
        await bus.publish("no-size", "order.paid", subject="c")
        await bus.publish("no-number", "order.paid", size="XL", subject="c")
        await bus.publish("wrong-subject", "order.paid", size="9", subject="b")
        await bus.publish("wanted", "order.paid", size="9", subject="c")
        [got] = await subscriber.wait(1)
        assert got.id == "wanted"

        def counted() -> bool:
            lines = bus.eventing.metrics.exposition().decode()
            of = 'broker="default",%snamespace="default",trigger="t"} %s'
            return (
                "kfn_events_filtered_total{" + of % ("", "5.0") in lines
                and "kfn_events_filter_errors_total{" + of % ('error="missingAttribute",', "1.0") in lines
                and "kfn_events_filter_errors_total{" + of % ('error="cast",', "1.0") in lines
            )

        await until(counted, bus.eventing.metrics.exposition().decode())
        assert len(subscriber.got) == 1


async def test_a_reply_goes_back_into_the_broker_once_and_reaches_the_next_trigger(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as first, sink() as second:

        async def answer(got: Got) -> Say:
            return reply(
                Event(
                    {"specversion": "1.0", "id": "r-" + got.id, "source": "/first", "type": "answer", "datacontenttype": "text/plain"},
                    b"hi",
                )
            )

        first.answer = answer
        await bus.broker()
        await bus.trigger("first", first.url, type="question")
        await bus.trigger("second", second.url, type="answer")
        await bus.publish("1", "question")
        [got] = await second.wait(1)
        assert (got.id, got.body) == ("r-1", b"hi")
        assert "knativebrokerttl" not in got.headers
        await anyio.sleep(0.1)
        assert len(second.got) == 1


async def test_the_same_event_sent_twice_is_delivered_once_but_the_same_id_of_another_source_is_another_event(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        for source in ("/a", "/a", "/b"):
            assert (await bus.publish("1", source=source)).status == 202
        await subscriber.wait(2)
        await anyio.sleep(0.2)
        assert sorted(got.event.source for got in subscriber.got) == ["/a", "/b"]


async def test_failures_are_retried_with_back_off_until_the_subscriber_takes_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        answers = iter([503, 404, 429, 204])

        async def answer(got: Got) -> Say:
            return Say(next(answers), body=b"")

        subscriber.answer = answer
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        await bus.publish("1")
        await subscriber.wait(4)
        await anyio.sleep(0.2)
        assert subscriber.ids == ["1"] * 4
        assert await bus.dead_letters() == []


async def test_a_poison_event_ends_in_the_dead_letter_sink_with_the_reason_and_holds_nothing_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber, sink() as dead:

        async def answer(got: Got) -> Say:
            return Say(500, body=b"cannot eat this") if got.id == "poison" else Say()

        subscriber.answer = answer
        await bus.broker()
        delivery = DeliverySpec(retry=2, backoff_policy="linear", backoff_delay="PT0.05S", dead_letter_sink=Destination(uri=dead.url))
        await bus.trigger("t", subscriber.url, delivery=delivery)
        for id in ("poison", "a", "b", "c"):
            await bus.publish(id)
        [letter] = await dead.wait(1)
        assert letter.id == "poison"
        assert letter.headers["ce-knativeerrorcode"] == "500"
        assert letter.headers["ce-knativeerrordest"] == subscriber.url
        assert letter.headers["ce-knativeerrordata"] == "Y2Fubm90IGVhdCB0aGlz"
        assert subscriber.ids.count("poison") == 3
        assert {"a", "b", "c"} <= set(subscriber.ids)


async def test_an_event_given_up_without_a_sink_is_kept_in_the_brokers_dead_letters(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:

        async def answer(got: Got) -> Say:
            return Say(400, body=b"no")

        subscriber.answer = answer
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        await bus.publish("1")
        await subscriber.wait(1)
        with anyio.fail_after(30):
            while not (letters := await bus.dead_letters()):
                await anyio.sleep(0.02)
        assert [(e.id, e.attributes["knativeerrorcode"]) for e in letters] == [("1", "400")]
        assert len(subscriber.got) == 1


async def test_an_address_that_nobody_can_deliver_to_is_one_and_what_goes_there_ends_at_the_dead_letter_sink(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as dead:
        await bus.broker(delivery=DeliverySpec(retry=1, backoff_delay="PT0.01S", dead_letter_sink=Destination(uri=dead.url)))
        await bus.trigger("t", "bad://uri")
        await bus.publish_surely("1")
        [got] = await dead.wait(1)
        assert got.event.attributes["knativeerrordest"] == "bad://uri"


async def test_a_dead_letter_sink_that_fails_is_tried_until_it_takes_the_event(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber, sink() as dead:
        answers = iter([500, 503, 204])

        async def refuse(got: Got) -> Say:
            return Say(422)

        async def flaky(got: Got) -> Say:
            return Say(next(answers))

        subscriber.answer, dead.answer = refuse, flaky
        await bus.broker()
        await bus.trigger("t", subscriber.url, delivery=DeliverySpec(retry=0, dead_letter_sink=Destination(uri=dead.url)))
        await bus.publish("1")
        await dead.wait(3)
        assert dead.ids == ["1"] * 3
        assert len(subscriber.got) == 1


async def test_a_reply_that_is_no_event_counts_as_a_failure(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:

        async def answer(got: Got) -> Say:
            return Say(200, {"content-type": "text/plain"}, b"hello")

        subscriber.answer = answer
        await bus.broker(delivery=DeliverySpec(retry=1, backoff_policy="linear", backoff_delay="PT0.05S"))
        await bus.trigger("t", subscriber.url)
        await bus.publish("1")
        await subscriber.wait(2)
        with anyio.fail_after(30):
            while not (letters := await bus.dead_letters()):
                await anyio.sleep(0.02)
        assert letters[0].attributes["knativeerrorcode"] == "502"


async def test_a_slow_subscriber_gets_each_event_once_though_it_takes_longer_than_ack_wait(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:

        async def slow(got: Got) -> Say:
            await anyio.sleep(5)
            return Say()

        subscriber.answer = slow
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        for n in range(3):
            await bus.publish(str(n))
        await subscriber.wait(3)
        await anyio.sleep(6)  # ack_wait is 2 s here
        assert sorted(subscriber.ids) == ["0", "1", "2"]


async def test_a_host_inside_the_platform_is_reached_through_the_gateway_with_its_name_as_host(tmp_path: Path) -> None:
    async with sink() as gateway, stage(tmp_path, replace(QUICK, gateway=("127.0.0.1", gateway.port))) as bus:
        await bus.broker()
        await bus.trigger("t", "http://embed.default.svc.cluster.local/path?q=1")
        await bus.publish("1")
        [got] = await gateway.wait(1)
        assert got.headers["host"] == "embed.default.svc.cluster.local"
        assert got.path == "/path?q=1"


async def test_a_changed_trigger_delivers_by_its_new_form_and_a_deleted_one_no_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as old, sink() as new:
        await bus.broker()
        await bus.trigger("t", old.url, type="a")
        await bus.publish("1", "a")
        await old.wait(1)
        await bus.trigger("t", new.url, type="b")
        await until(lambda: bus.kube.the(kinds.TRIGGER, "t").status.subscriber_uri == new.url, "the new address")
        await bus.publish("2", "a")
        await bus.publish("3", "b")
        await new.wait(1)
        assert (old.ids, new.ids) == (["1"], ["3"])
        await deleted(bus, kinds.TRIGGER, "t")
        await bus.publish("4", "b")
        await anyio.sleep(0.2)
        assert new.ids == ["3"]
