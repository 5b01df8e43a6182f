"""Sequences and Parallels on a real nats-server: what passes through them, and what is under way when they change."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec.structs import replace

from kfn.api import eventing, flows, kinds
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta
from tests.fakes.sink import Got, Say, Sink, sink
from tests.integration.eventing.stage import Stage, set_up, stage, until
from tests.integration.eventing.test_channels import answering, streams, to

LONG = DeliverySpec(retry=400, backoff_policy="linear", backoff_delay="PT0.02S")


def step(sink: Sink, delivery: DeliverySpec | None = LONG) -> flows.Step:
    return flows.Step(uri=sink.url, delivery=delivery)


async def sequence(bus: Stage, *steps: flows.Step, reply: Destination | None = None) -> flows.Sequence:
    spec = flows.SequenceSpec(steps=list(steps), reply=reply)
    bus.kube.put(kinds.SEQUENCE, flows.Sequence(metadata=ObjectMeta(name="s", namespace="default"), spec=spec))
    return await ready(bus)


async def ready(bus: Stage) -> flows.Sequence:
    """The Sequence, once its status is about it as it is now."""

    def so() -> bool:
        now = bus.kube.the(kinds.SEQUENCE, "s")
        current = now.status.observed_generation == now.metadata.generation
        return current and any(c.type == "Ready" and c.status == "True" for c in now.status.conditions)

    await until(so, f"the sequence is ready: {bus.kube.the(kinds.SEQUENCE, 's')}")
    return bus.kube.the(kinds.SEQUENCE, "s")


async def change(bus: Stage, *steps: flows.Step, reply: Destination | None = None) -> None:
    """As a user does: the spec only."""
    old = bus.kube.the(kinds.SEQUENCE, "s")
    spec = flows.SequenceSpec(steps=list(steps), reply=reply)
    await bus.eventing._client.update(kinds.SEQUENCE, flows.Sequence(metadata=old.metadata, spec=spec))


async def send(bus: Stage, *ids: str, to: str = "s-kn-sequence-0") -> None:
    for id in ids:
        await bus.publish_surely(id, broker=f"channels/{to}")


def held(say: Callable[[Got], Awaitable[Say]], closed: list[bool]) -> Callable[[Got], Awaitable[Say]]:
    """Refuses while `closed` says so."""

    async def answer(got: Got) -> Say:
        return Say(503) if closed[0] else await say(got)

    return answer


class TestASequence:
    async def test_of_three_gives_each_what_the_one_before_it_answered_though_the_middle_one_fails_a_while(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, AsyncExitStack() as stack:
            a, b, c, end = [await stack.enter_async_context(sink()) for _ in range(4)]
            closed = [True]
            a.answer, b.answer, c.answer = answering("a"), held(answering("b"), closed), answering("c")
            made = await sequence(bus, step(a), step(b), step(c), reply=to(end))
            assert made.status.address is not None
            assert made.status.address.url.endswith("/default/channels/s-kn-sequence-0")
            assert {x.type for x in made.status.conditions if x.status == "True"} == {
                "Ready", "ChannelsReady", "SubscriptionsReady", "Addressable",
            }  # fmt: skip
            names = [f"s-kn-sequence-{i}" for i in range(3)]
            assert [x.channel.name for x in made.status.channel_statuses] == names
            assert [x.subscription.name for x in made.status.subscription_statuses] == names
            assert {x.ready.status for x in made.status.subscription_statuses} == {"True"}
            await send(bus, *(f"{n}" for n in range(20)))
            await a.wait(20)
            await b.wait(40)
            assert c.got == []
            closed[0] = False
            await until(lambda: set(end.ids) >= {f"cba{n}" for n in range(20)}, "all come out at the end")
            assert len(a.got) == len(end.got) == 20, "each step answers once"

    async def test_is_a_destination_and_its_reply_may_be_another(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as a, sink() as end:
            a.answer = answering("a")
            await bus.broker()
            await bus.broker("out")
            await bus.trigger("end", end.url, broker="out")
            await sequence(bus, step(a), reply=Destination(ref=KReference("eventing.knative.dev/v1", "Broker", "out")))
            ref = KReference(flows.API_VERSION, "Sequence", "s")
            spec = eventing.TriggerSpec(broker="default", subscriber=Destination(ref=ref))
            bus.kube.put(kinds.TRIGGER, eventing.Trigger(metadata=ObjectMeta(name="t", namespace="default"), spec=spec))
            await bus.ready(kinds.TRIGGER, "t")
            await bus.publish_surely("1")
            assert [got.id for got in await end.wait(1)] == ["a1"]

    async def test_loses_nothing_when_a_step_is_put_into_its_middle_or_taken_out(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, AsyncExitStack() as stack:
            a, b, c, end = [await stack.enter_async_context(sink()) for _ in range(4)]
            closed = [True]
            a.answer, b.answer, c.answer = answering("a"), answering("b"), held(answering("c"), closed)
            await sequence(bus, step(a), step(c), reply=to(end))
            await send(bus, "1", "2")
            await c.wait(2)
            await change(bus, step(a), step(b), step(c), reply=to(end))
            await ready(bus)
            await send(bus, "3", "4")
            await until(lambda: {"ba3", "ba4"} <= set(c.ids), "the third step has them")
            await change(bus, step(a), step(c), reply=to(end))
            await ready(bus)
            assert bus.kube.find(kinds.CHANNEL, "s-kn-sequence-2") is not None, "events are in it still"
            await send(bus, "5", "6")
            closed[0] = False

            def ends(id: str) -> bool:
                """Whatever way it took, which depends on when it was on its way."""
                return any(got.endswith(f"a{id}") for got in end.ids)

            await until(lambda: all(ends(f"{n}") for n in range(1, 7)), f"all come out at the end: {end.ids}")
            assert {"cba3", "cba4", "ca5", "ca6"} <= set(end.ids)
            await until(lambda: bus.kube.find(kinds.CHANNEL, "s-kn-sequence-2") is None, "what is empty is removed")
            assert "s-kn-sequence-2" not in bus.kube.names(kinds.SUBSCRIPTION)
            await until(lambda: bus.kube.names(kinds.CHANNEL) == ["s-kn-sequence-0", "s-kn-sequence-1"], "two are left")
            assert "KFN_CH_default_s-kn-sequence-2" not in await streams(bus)

    async def test_loses_nothing_when_the_bus_ends_in_the_middle(self, tmp_path: Path) -> None:
        async with set_up(tmp_path) as bus, AsyncExitStack() as stack:
            a, b, end = [await stack.enter_async_context(sink()) for _ in range(3)]
            closed = [True]
            a.answer, b.answer = answering("a"), held(answering("b"), closed)
            async with bus.running():
                await sequence(bus, step(a), step(b), reply=to(end))
                await send(bus, *(f"{n}" for n in range(60)))
                await b.wait(1)
            closed[0] = False
            async with bus.running():
                await until(lambda: set(end.ids) >= {f"ba{n}" for n in range(60)}, "all come out at the end")

    async def test_takes_its_channels_and_subscriptions_with_it(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as a:
            await sequence(bus, step(a), step(a))
            assert len(await streams(bus)) == 4
            bus.kube.remove(kinds.SEQUENCE, "s")
            await until(lambda: not bus.kube.names(kinds.CHANNEL) and not bus.kube.names(kinds.SUBSCRIPTION), "they are collected")
            assert await streams(bus) == []

    async def test_says_whose_channel_has_its_name(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as a:
            await bus.channel("s-kn-sequence-0")
            spec = flows.SequenceSpec(steps=[step(a)])
            bus.kube.put(kinds.SEQUENCE, flows.Sequence(metadata=ObjectMeta(name="s", namespace="default"), spec=spec))
            found = await bus.ready(kinds.SEQUENCE, "s", "False")
            assert any(c.type == "ChannelsReady" and c.reason == "ChannelNotOwned" for c in found.status.conditions)


class TestAParallel:
    async def test_gives_each_branch_what_its_filter_lets_through(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, AsyncExitStack() as stack:
            even, a, b, end, other = [await stack.enter_async_context(sink()) for _ in range(5)]

            async def is_even(got: Got) -> Say:
                return await answering("even-")(got) if int(got.id) % 2 == 0 else Say()  # type: ignore[no-any-return]

            even.answer, a.answer, b.answer = is_even, answering("a-"), answering("b-")
            branches = [flows.Branch(to(even), to(a)), flows.Branch(None, to(b), to(other))]
            spec = flows.ParallelSpec(branches=branches, reply=to(end))
            bus.kube.put(kinds.PARALLEL, flows.Parallel(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
            made = await bus.ready(kinds.PARALLEL, "p")
            assert made.status.address.url.endswith("/default/channels/p-kn-parallel")
            assert [x.filter_channel_status.channel.name for x in made.status.branch_statuses] == ["p-kn-parallel-0", "p-kn-parallel-1"]
            await send(bus, *(f"{n}" for n in range(10)), to="p-kn-parallel")
            await until(lambda: set(end.ids) == {f"a-even-{n}" for n in range(0, 10, 2)}, "the even ones")
            await until(lambda: set(other.ids) == {f"b-{n}" for n in range(10)}, "all of them, unchanged, in the branch without a filter")
            assert len(even.got) == 10

    async def test_a_branch_that_is_taken_out_works_off_what_it_has(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, AsyncExitStack() as stack:
            a, b, end = [await stack.enter_async_context(sink()) for _ in range(3)]
            closed = [True]
            a.answer, b.answer = answering("a-"), held(answering("b-"), closed)
            both = [flows.Branch(None, to(a), None, LONG), flows.Branch(None, to(b), None, LONG)]
            spec = flows.ParallelSpec(branches=both, reply=to(end))
            bus.kube.put(kinds.PARALLEL, flows.Parallel(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
            made = await bus.ready(kinds.PARALLEL, "p")
            await send(bus, "1", "2", to="p-kn-parallel")
            await b.wait(2)
            meta = replace(made.metadata, resource_version="")  # its status may just be written
            await bus.eventing._client.update(
                kinds.PARALLEL, flows.Parallel(metadata=meta, spec=flows.ParallelSpec(branches=both[:1], reply=to(end)))
            )
            await until(lambda: "p-kn-parallel-filter-1" not in bus.kube.names(kinds.SUBSCRIPTION), "nothing comes into it any more")
            closed[0] = False
            await until(lambda: set(end.ids) == {"a-1", "a-2", "b-1", "b-2"}, "what it had comes out")
            await until(lambda: bus.kube.names(kinds.CHANNEL) == ["p-kn-parallel", "p-kn-parallel-0"], "what is empty is removed")
