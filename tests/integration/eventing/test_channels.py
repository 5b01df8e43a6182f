"""Channels and Subscriptions on a real nats-server: fan-out, replies that go on, and what is left after deletion."""

import os
import signal
from pathlib import Path
from typing import Any

import anyio

from kfn.api import eventing, kinds
from kfn.api import messaging as api
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta
from kfn.cloudevents import Event
from tests.fakes.sink import Got, Say, Sink, reply, sink
from tests.integration.eventing.stage import Stage, set_up, stage, until
from tests.integration.eventing.test_reconcile import condition, deleted
from tests.integration.eventing.test_replicas import replicas

LONG = DeliverySpec(retry=400, backoff_policy="linear", backoff_delay="PT0.02S")


def to(sink: Sink) -> Destination:
    return Destination(uri=sink.url)


def channel(name: str) -> Destination:
    return Destination(ref=KReference(api.API_VERSION, "Channel", name))


def answering(prefix: str) -> Any:
    """A subscriber that answers each event with another."""

    async def answer(got: Got) -> Say:
        return reply(Event({"specversion": "1.0", "id": f"{prefix}{got.id}", "source": f"/{prefix}", "type": "answer"}, b"hi"))

    return answer


async def send(bus: Stage, channel: str, *ids: str) -> None:
    for id in ids:
        await bus.publish_surely(id, broker=f"channels/{channel}")


async def streams(bus: Stage) -> list[str]:
    found = await bus.eventing._bus.api("STREAM.NAMES")
    return sorted(name for name in found.get("streams") or [] if "_CH_" in name)


class TestAChannel:
    async def test_gets_an_address_of_its_own_beside_a_broker_of_the_same_name(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            await bus.channel("pipe")
            await bus.broker("pipe")
            await bus.broker("channels")
            pipe = bus.kube.the(kinds.CHANNEL, "pipe")
            assert pipe.status.address is not None
            assert pipe.status.address.url == f"http://127.0.0.1:{bus.eventing.port}/default/channels/pipe"
            assert {c.type for c in pipe.status.conditions if c.status == "True"} == {
                "Ready", "BackingChannelReady", "Addressable", "DeadLetterSinkResolved", "EventPoliciesReady",
            }  # fmt: skip
            assert "KFN_CH_default_pipe" in await streams(bus)

    async def test_gives_every_event_to_all_of_its_subscriptions_and_names_them(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as one, sink() as two, sink() as broker:
            await bus.channel("pipe")
            await bus.broker("pipe")
            await bus.subscription("one", "pipe", to(one))
            await bus.subscription("two", "pipe", to(two))
            await bus.trigger("one", broker.url, broker="pipe")
            await send(bus, "pipe", "1", "2", "3")
            assert {got.id for got in await one.wait(3)} == {got.id for got in await two.wait(3)} == {"1", "2", "3"}

            def subscribers() -> dict[str, str]:
                return {one.uid: one.ready for one in bus.kube.the(kinds.CHANNEL, "pipe").status.subscribers}

            uids = {bus.kube.the(kinds.SUBSCRIPTION, name).metadata.uid for name in ("one", "two")}
            await until(lambda: subscribers() == dict.fromkeys(uids, "True"), "the channel names its subscribers")
            assert broker.got == []

    async def test_is_no_place_for_events_before_it_is_made_or_after_it_is_deleted(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            answer = await bus.publish("1", broker="channels/pipe")
            assert (answer.status, b"kfn channel create pipe" in answer.body) == (404, True)
            await bus.channel("pipe")
            assert (await bus.publish("1", broker="channels/pipe")).status == 202
            await deleted(bus, kinds.CHANNEL, "pipe")
            assert (await bus.publish("2", broker="channels/pipe")).status == 404

    async def test_called_events_takes_events_though_a_broker_called_channels_shows_its_own_there(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker("channels")
            await bus.channel("events")
            await bus.subscription("s", "events", to(subscriber))
            await send(bus, "events", "1")
            await subscriber.wait(1)

    async def test_deletion_removes_streams_and_consumers(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.channel("pipe")
            await bus.subscription("s", "pipe", to(subscriber))
            jetstream = bus.eventing._bus.client.jetstream()
            assert (await jetstream.stream_info("KFN_CH_default_pipe")).state.consumer_count == 1
            await deleted(bus, kinds.SUBSCRIPTION, "s")
            assert (await jetstream.stream_info("KFN_CH_default_pipe")).state.consumer_count == 0
            await deleted(bus, kinds.CHANNEL, "pipe")
            assert await streams(bus) == []


class TestASubscription:
    async def test_has_knatives_conditions_and_addresses(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber, sink() as dead:
            await bus.channel("pipe", DeliverySpec(dead_letter_sink=to(dead)))
            await bus.channel("next")
            await bus.subscription("s", "pipe", to(subscriber), channel("next"))
            made = bus.kube.the(kinds.SUBSCRIPTION, "s")
            assert {c.type for c in made.status.conditions} == {"Ready", "ReferencesResolved", "AddedToChannel", "ChannelReady"}
            where = made.status.physical_subscription
            assert (where.subscriber_uri, where.dead_letter_sink_uri) == (subscriber.url, dead.url)
            assert where.reply_uri.endswith("/default/channels/next")

    async def test_made_before_its_channel_becomes_ready_with_it_and_names_what_it_cannot_find(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.subscription("s", "pipe", to(subscriber), channel("next"), wait=False)
            made = await bus.ready(kinds.SUBSCRIPTION, "s", "False")
            assert condition(made, "ChannelReady") == ("False", "ChannelDoesNotExist")
            await bus.channel("pipe")

            def unresolved() -> bool:
                return any("spec.reply.ref: there is no Channel default/next" in c.message for c in made_now().status.conditions)

            def made_now() -> api.Subscription:
                return bus.kube.the(kinds.SUBSCRIPTION, "s")

            await until(unresolved, "the reply is named")
            await until(lambda: condition(made_now(), "AddedToChannel") == ("True", ""), "events are kept for it already")
            await send(bus, "pipe", "early")
            await bus.channel("next")
            await bus.ready(kinds.SUBSCRIPTION, "s")
            await subscriber.wait(1)

    async def test_its_answers_go_on_and_not_back_or_nowhere(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as first, sink() as second, sink() as outside, sink() as quiet:
            first.answer, second.answer, quiet.answer = answering("a-"), answering("b-"), answering("q-")
            await bus.channel("pipe")
            await bus.channel("next")
            await bus.subscription("quiet", "pipe", to(quiet))
            await bus.subscription("first", "pipe", to(first), channel("next"))
            await bus.subscription("second", "next", to(second), to(outside))
            await send(bus, "pipe", "1")
            [got] = await outside.wait(1)
            assert got.id == "b-a-1"
            await quiet.wait(1)
            await anyio.sleep(0.2)
            assert (first.ids, second.ids, quiet.ids) == (["1"], ["a-1"], ["1"])

    async def test_without_a_subscriber_hands_the_event_itself_on(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as outside:
            await bus.broker()
            await bus.trigger("t", outside.url)
            await bus.channel("pipe")
            broker = Destination(ref=KReference("eventing.knative.dev/v1", "Broker", "default"))
            await bus.subscription("s", "pipe", None, broker)
            await send(bus, "pipe", "1")
            assert [got.id for got in await outside.wait(1)] == ["1"]

    async def test_a_reply_that_is_not_taken_is_tried_again_and_the_subscriber_is_not_asked_again(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber, sink() as outside:
            subscriber.answer, refusals = answering("a-"), 3

            async def later(got: Got) -> Say:
                return Say(503 if len(outside.got) <= refusals else 204)

            outside.answer = later
            await bus.channel("pipe", DeliverySpec(retry=5, backoff_policy="linear", backoff_delay="PT0.05S"))
            await bus.subscription("s", "pipe", to(subscriber), to(outside))
            await send(bus, "pipe", "1")
            await outside.wait(refusals + 1)
            await until(lambda: b'_delivered_total{broker="channels/pipe"' in bus.eventing.metrics.exposition(), "it is settled")
            assert (subscriber.ids, set(outside.ids)) == (["1"], {"a-1"})
            assert await bus.dead_letters("channels/pipe") == []

    async def test_a_reply_that_is_never_taken_ends_the_event_among_the_channels_dead_letters(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber, sink() as outside:
            subscriber.answer = answering("a-")

            async def no(got: Got) -> Say:
                return Say(500, body=b"no")

            outside.answer = no
            await bus.channel("pipe", DeliverySpec(retry=1, backoff_policy="linear", backoff_delay="PT0.05S"))
            await bus.subscription("s", "pipe", to(subscriber), to(outside))
            await send(bus, "pipe", "1")
            await until(lambda: b"dead_lettered_total{broker" in bus.eventing.metrics.exposition(), "it is given up")
            [dead] = await bus.dead_letters("channels/pipe")
            assert (dead.id, dead.attributes["knativeerrordest"], dead.attributes["knativeerrorcode"]) == ("1", outside.url, "500")
            assert (subscriber.ids, len(outside.got)) == (["1"], 2)

    async def test_its_delivery_takes_the_place_of_its_channels(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as failing, sink() as dead:

            async def no(got: Got) -> Say:
                return Say(500)

            failing.answer = no
            await bus.channel("pipe", LONG)
            await bus.subscription(
                "s", "pipe", to(failing), delivery=DeliverySpec(retry=1, backoff_delay="PT0.01S", dead_letter_sink=to(dead))
            )
            await send(bus, "pipe", "1")
            [got] = await dead.wait(1)
            assert (got.id, len(failing.got)) == ("1", 2)

    async def test_a_reply_waits_for_the_next_channel_while_nats_is_away(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as first, sink() as second:
            say = answering("a-")

            async def answer(got: Got) -> Say:
                os.kill(bus.server.pid, signal.SIGKILL)
                return await say(got)  # type: ignore[no-any-return]

            first.answer = answer
            await bus.channel("pipe")
            await bus.channel("next")
            await bus.subscription("second", "next", to(second))
            await bus.subscription("first", "pipe", to(first), channel("next"))
            await send(bus, "pipe", "1")
            await second.wait(1)
            assert (first.ids, second.ids) == (["1"], ["a-1"])


class TestNothingIsLost:
    async def test_when_the_bus_ends_in_the_middle_of_a_chain(self, tmp_path: Path) -> None:
        async with set_up(tmp_path) as bus, sink() as first, sink() as last:
            slow = answering("a-")

            async def slowly(got: Got) -> Say:
                await anyio.sleep(0.02)
                return await slow(got)  # type: ignore[no-any-return]

            first.answer = slowly
            sent: list[str] = []
            async with bus.running():
                await bus.channel("pipe", LONG)
                await bus.channel("next", LONG)
                await bus.subscription("last", "next", to(last))
                await bus.subscription("first", "pipe", to(first), channel("next"))
                for n in range(150):
                    await send(bus, "pipe", f"{n}")
                    sent.append(f"a-{n}")
            assert len(set(last.ids)) < len(sent), "some are under way"
            async with bus.running():
                await until(lambda: set(last.ids) >= set(sent), "all of them have come")
                assert await bus.dead_letters("channels/pipe") == await bus.dead_letters("channels/next") == []

    async def test_of_a_trigger_whose_subscriber_is_a_channel(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.channel("pipe")
            await bus.subscription("s", "pipe", to(subscriber))
            spec = eventing.TriggerSpec(broker="default", subscriber=channel("pipe"))
            bus.kube.put(kinds.TRIGGER, eventing.Trigger(metadata=ObjectMeta(name="t", namespace="default"), spec=spec))
            await bus.ready(kinds.TRIGGER, "t")
            await bus.publish_surely("1")
            assert [got.id for got in await subscriber.wait(1)] == ["1"]

    async def test_of_two_replicas_when_the_one_that_leads_dies(self, tmp_path: Path) -> None:
        """Nothing answers at the ingress's address here: what goes on to the next channel is stored there by the replica itself."""
        async with replicas(tmp_path) as (bus, (first, second)), sink() as one, sink() as last:
            one.answer = answering("a-")
            await bus.channel("pipe", LONG)
            await bus.channel("next", LONG)
            await bus.subscription("last", "next", to(last))
            await bus.subscription("one", "pipe", to(one), channel("next"))
            await until(lambda: len(second.eventing._dispatchers.subscriptions()) == 2, "the follower delivers, too")
            bus.eventing = second.eventing
            await send(bus, "pipe", *(f"{n}" for n in range(30)))
            first.life.cancel()
            await send(bus, "pipe", *(f"{n}" for n in range(30, 60)))
            await until(lambda: set(last.ids) >= {f"a-{n}" for n in range(60)}, "all of them have come")
