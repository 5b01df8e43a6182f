"""KafkaSources against a real broker: what becomes of records, and what is not lost whoever is killed."""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from kfn.api import kafkasource, kinds
from kfn.api.meta import DeliverySpec, Destination, ObjectMeta
from kfn.api.sourced import CloudEventOverrides
from tests.fakes.sink import Got, Say, Sink, sink
from tests.integration.eventing.kafka_reader import pump
from tests.integration.eventing.stage import Stage, set_up, stage, until
from tests.peers.kafka import Broker

pytestmark = pytest.mark.timeout(400)  # the first one may have to wait for Maven


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")).running() as one:
        yield one


async def make(broker: Broker, topic: str, partitions: int = 3) -> None:
    with anyio.fail_after(60):
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
            try:
                await admin.start()
                await admin.create_topics([NewTopic(topic, partitions, 1)])
                return
            except TopicAlreadyExistsError:
                return
            except KafkaError:
                await anyio.sleep(0.2)
            finally:
                await admin.close()


@asynccontextmanager
async def writer(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(producer: AIOKafkaProducer, topic: str, numbers: range, partitions: int = 3) -> None:
    """Record n goes to partition n % partitions."""
    for n in numbers:
        await producer.send_and_wait(topic, b"%d" % n, partition=n % partitions)


def numbers(there: Sink) -> set[int]:
    return {int(got.body) for got in there.got}


def in_order(there: Sink, partitions: int = 3) -> bool:
    """Whether each partition's numbers came in order, but for those that came again."""
    highest: dict[int, int] = defaultdict(lambda: -1)
    seen = set()
    for got in there.got:
        n = int(got.body)
        if n not in seen and n < highest[n % partitions]:
            return False
        seen.add(n)
        highest[n % partitions] = max(n, highest[n % partitions])
    return True


def put(bus: Stage, broker: Broker, where: Destination, topic: str, **spec: Any) -> None:
    given = {"bootstrap_servers": [broker.address], "topics": [topic], "sink": where, "initial_offset": "earliest", **spec}
    meta = ObjectMeta(name="orders", namespace="default")
    bus.kube.put(kinds.KAFKA_SOURCE, kafkasource.KafkaSource(metadata=meta, spec=kafkasource.KafkaSourceSpec(**given)))


async def test_records_become_events_and_what_is_refused_a_dead_letter_and_the_next_one_passes(tmp_path: Path, broker: Broker) -> None:
    await make(broker, "records", 1)
    async with stage(tmp_path) as bus, sink() as there, sink() as dead, writer(broker) as producer:

        async def answer(got: Got) -> Say:
            return Say(400) if got.body == b"poison" else Say()

        there.answer = answer
        delivery = DeliverySpec(dead_letter_sink=Destination(uri=dead.url), retry=1, backoff_delay="PT0.01S")
        extra = CloudEventOverrides({"team": "shop"})
        await producer.send_and_wait("records", b'{"n": 1}', key=b"eu", headers=[("Content-Type", b"application/json"), ("X-Shop", b"7")])
        ce = [("ce_specversion", b"1.0"), ("ce_id", b"b1"), ("ce_source", b"/shop"), ("ce_type", b"made"), ("content-type", b"text/plain")]
        await producer.send_and_wait("records", b"poison")
        await producer.send_and_wait("records", b"hello", headers=ce)
        put(bus, broker, Destination(uri=there.url), "records", delivery=delivery, ce_overrides=extra)
        source = await bus.ready(kinds.KAFKA_SOURCE, "orders")
        letter = (await dead.wait(1))[0].event
        assert (letter.data, letter.attributes["knativeerrorcode"]) == (b"poison", "400")
        await until(lambda: any(got.body == b"hello" for got in there.got), "the last one came")
        plain, made = there.got[0].event, there.got[-1].event
        assert plain.source == "/apis/v1/namespaces/default/kafkasources/orders#records" == source.status.ce_attributes[0].source
        assert (plain.id, plain.type, plain.data) == ("partition:0/offset:0", "dev.knative.kafka.event", b'{"n": 1}')
        told = {name: plain.attributes[name] for name in ("key", "partitionkey", "subject", "kafkaheaderxshop", "team", "datacontenttype")}
        assert told == {
            "key": "eu", "partitionkey": "eu", "subject": "partition:0#0", "kafkaheaderxshop": "7", "team": "shop",
            "datacontenttype": "application/json",
        }  # fmt: skip
        assert (made.id, made.source, made.type, made.data, made.datacontenttype) == ("b1", "/shop", "made", b"hello", "text/plain")
        counted = 'kfn_source_events_total{kind="kafka",namespace="default",source="orders",what="delivered"} 2.0'
        await until(lambda: counted in bus.eventing.metrics.exposition().decode(), "they are counted")


async def test_every_replica_is_a_member_and_one_writes_the_status(tmp_path: Path, broker: Broker) -> None:
    await make(broker, "replicas")
    async with set_up(tmp_path) as first, first.running(), sink() as there, writer(broker) as producer:
        second = Stage(first.server, first.dir, first.kube, first.settings, first.http)
        async with second.running(alone=False):
            put(first, broker, Destination(uri=there.url), "replicas")
            await first.ready(kinds.KAFKA_SOURCE, "orders")
            written, both = 0, [first.eventing.metrics, second.eventing.metrics]
            with anyio.fail_after(90):
                while not all('source="orders",what="delivered"}' in metrics.exposition().decode() for metrics in both):
                    await write(producer, "replicas", range(written, written + 3))
                    written += 3
                    await anyio.sleep(0.1)
            await until(lambda: numbers(there) == set(range(written)), "all of them came", 60)


async def test_kill_9_of_the_reader_in_the_middle_loses_nothing_and_keeps_the_order(broker: Broker) -> None:
    await make(broker, "killed")
    async with sink() as there, writer(broker) as producer:
        killed = False

        async def answer(got: Got) -> Say:
            await anyio.sleep(0 if killed else 0.02)
            return Say()

        there.answer = answer
        await write(producer, "killed", range(90))
        command = [sys.executable, "-m", "tests.integration.eventing.kafka_reader", broker.address, "killed", "readers", there.url]
        for wanted in (20, 90):
            reader = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": "."})
            try:
                await until(partial(_has, there, wanted), "it reads", 90)
            finally:
                reader.kill()
                await reader.wait()
            killed = True
        assert numbers(there) == set(range(90))
        assert in_order(there)


async def test_what_comes_after_a_new_group_has_begun_at_the_end_is_read_though_nothing_ran_meanwhile(broker: Broker) -> None:
    await make(broker, "latest", 1)
    async with sink() as there, writer(broker) as producer, anyio.create_task_group() as tasks:
        await write(producer, "latest", range(3), 1)
        for numbered in (range(3, 6), range(6, 9)):
            scope, one = anyio.CancelScope(), pump(broker.address, "latest", "late", there.url, latest=True)
            tasks.start_soon(_until_cancelled, scope, one.run)
            await until(lambda one=one: one.problem == "", "it reads", 60)
            scope.cancel()
            await write(producer, "latest", numbered, 1)
        tasks.start_soon(pump(broker.address, "latest", "late", there.url, latest=True).run)
        await until(lambda: numbers(there) == set(range(3, 9)), "what came later is read", 60)
        tasks.cancel_scope.cancel()


async def test_in_parallel_a_record_that_is_not_done_is_not_committed_though_later_ones_are_done(broker: Broker) -> None:
    await make(broker, "parallel", 1)
    async with sink() as there, writer(broker) as producer, anyio.create_task_group() as tasks:
        refused = {0}

        async def answer(got: Got) -> Say:
            return Say(503) if int(got.body) in refused else Say()

        there.answer = answer
        await write(producer, "parallel", range(9), 1)
        scope = anyio.CancelScope()
        tasks.start_soon(_until_cancelled, scope, pump(broker.address, "parallel", "many", there.url, ordered=False).run)
        await until(lambda: numbers(there) == set(range(9)), "the later ones pass it", 60)
        scope.cancel()
        refused.clear()
        there.got.clear()
        tasks.start_soon(pump(broker.address, "parallel", "many", there.url, ordered=False).run)
        await until(lambda: 0 in numbers(there), "it comes again", 60)
        tasks.cancel_scope.cancel()


async def test_a_second_member_shares_the_partitions_and_hands_them_back_and_nothing_is_lost(broker: Broker) -> None:
    await make(broker, "shared")
    async with sink() as first, sink() as second, writer(broker) as producer, anyio.create_task_group() as tasks:
        tasks.start_soon(pump(broker.address, "shared", "sharing", first.url).run)
        await write(producer, "shared", range(30))
        await until(lambda: len(numbers(first)) == 30, "the first reads all of them", 60)
        scope, written = anyio.CancelScope(), 30
        tasks.start_soon(_until_cancelled, scope, pump(broker.address, "shared", "sharing", second.url).run)
        with anyio.fail_after(90):
            while len(numbers(second)) < 10:
                await write(producer, "shared", range(written, written + 3))
                written += 3
                await anyio.sleep(0.1)
        scope.cancel()
        await write(producer, "shared", range(written, written + 30))
        await until(lambda: numbers(first) | numbers(second) == set(range(written + 30)), "each has come to one of them", 60)
        assert in_order(first)
        assert in_order(second)
        tasks.cancel_scope.cancel()


async def test_kill_9_of_the_broker_loses_nothing_in_parallel_and_in_order(broker: Broker) -> None:
    await make(broker, "broken")
    async with sink() as ordered, sink() as parallel, writer(broker) as producer, anyio.create_task_group() as tasks:
        tasks.start_soon(pump(broker.address, "broken", "ordered", ordered.url).run)
        tasks.start_soon(lambda: pump(broker.address, "broken", "parallel", parallel.url, ordered=False).run())
        await write(producer, "broken", range(30))
        await until(lambda: len(numbers(ordered)) == len(numbers(parallel)) == 30, "both read", 60)
        broker.kill()
        await anyio.to_thread.run_sync(broker.start)
        with anyio.fail_after(90):
            await write(producer, "broken", range(30, 60))
        await until(lambda: numbers(ordered) == numbers(parallel) == set(range(60)), "both go on", 90)
        assert in_order(ordered)
        tasks.cancel_scope.cancel()


def _has(there: Sink, count: int) -> bool:
    return len(numbers(there)) >= count


async def _until_cancelled(scope: anyio.CancelScope, run: Any) -> None:
    with scope:
        await run()
