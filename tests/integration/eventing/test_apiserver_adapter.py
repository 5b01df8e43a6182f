"""The adapter of ApiServerSources against a real API server (the embedded one) and a real sink: add, update, delete; breaks; many."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from eventing.apiserver import config
from eventing.apiserver.adapter import Adapter
from eventing.apiserver.numbers import Numbers
from eventing.apiserver.outbox import Outbox
from eventing.courier import Courier
from eventing.settings import Settings
from kfn.api import apiserversource as api
from kfn.api import kinds
from kfn.api.core import ConfigMap
from kfn.api.meta import ObjectMeta
from kfn.api.shapes import Requirement, Selector
from kfn.kube.client import Client
from tests.fakes.sink import Got, Say, Sink, sink
from tests.integration.eventing.stage import until


@asynccontextmanager
async def cluster(path: Path) -> AsyncIterator[Client]:
    async with open_server(path / "state.db") as server:
        yield Client(LocalTransport(server))


@asynccontextmanager
async def adapter(client: Client, url: str, *, outbox: Outbox | None = None, **spec: Any) -> AsyncIterator[Numbers]:
    """It runs, and follows, while the block does."""
    resources = spec.pop("resources", [api.ApiVersionKindSelector("v1", "ConfigMap")])
    source = api.ApiServerSource(
        metadata=ObjectMeta(name="maps", namespace="default", uid="s"), spec=api.ApiServerSourceSpec(resources=resources, **spec)
    )
    numbers, courier = Numbers(CollectorRegistry()), Courier(Settings())
    one = Adapter(client, courier, numbers, config.of(source, "https://api", ("default",)), url, outbox)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run)
            with anyio.fail_after(40):
                await one.following.wait()
            yield numbers
            tasks.cancel_scope.cancel()
    finally:
        await courier.aclose()


async def write(client: Client, name: str, value: str = "1", labels: dict[str, str] | None = None) -> None:
    made = ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels=labels or {}), data={"v": value})
    await client.create(kinds.CONFIG_MAP, made, "default")


async def change(client: Client, name: str, value: str) -> None:
    await client.patch(kinds.CONFIG_MAP, name, "default", {"data": {"v": value}})


async def remove(client: Client, name: str) -> None:
    await client.delete(kinds.CONFIG_MAP, name, "default")


def told(there: Sink) -> list[tuple[str, str]]:
    return [(got.event.type.rpartition(".")[2], got.event.attributes["name"]) for got in there.got]


def value(got: Got) -> str:
    data: dict[str, Any] = json.loads(got.event.data or b"")
    return str(data["data"]["v"])


def number(numbers: Numbers, name: str, **labels: str) -> float:
    return numbers.registry.get_sample_value(name, {"namespace": "default", "source": "maps", **labels}) or 0.0


class TestWhatIsTold:
    async def test_what_is_there_and_every_change_after_it_in_order(self, tmp_path: Path) -> None:
        async with cluster(tmp_path) as client, sink() as there:
            await write(client, "old")
            async with adapter(client, there.url, mode="Resource"):
                await there.wait(1)
                await write(client, "new")
                await change(client, "new", "2")
                await remove(client, "new")
                got = await there.wait(4)
                assert told(there) == [("add", "old"), ("add", "new"), ("update", "new"), ("delete", "new")]
                assert [value(one) for one in got[1:]] == ["1", "2", "2"]
                assert len({one.id for one in got}) == 4

    async def test_labels_and_filters_choose(self, tmp_path: Path) -> None:
        chosen = [api.ApiVersionKindSelector("v1", "ConfigMap", Selector(match_expressions=[Requirement("app", "Exists")]))]
        filters = [{"cesql": "name != 'never' AND type LIKE '%.add'"}]
        async with cluster(tmp_path) as client, sink() as there, adapter(client, there.url, resources=chosen, filters=filters):
            for name in ("never", "yes"):
                await write(client, name, labels={"app": "a"})
            await write(client, "unlabelled")
            await change(client, "yes", "2")
            await write(client, "last", labels={"app": "a"})
            await there.wait(2)
            assert told(there) == [("add", "yes"), ("add", "last")]

    async def test_a_kind_that_is_not_there_is_said_and_keeps_none_of_the_others(self, tmp_path: Path) -> None:
        both = [api.ApiVersionKindSelector("v1", "ConfigMap"), api.ApiVersionKindSelector("example.com/v1", "Widget")]
        source = api.ApiServerSource(metadata=ObjectMeta(name="x", namespace="default"), spec=api.ApiServerSourceSpec(resources=both))
        async with cluster(tmp_path) as client, sink() as there:
            courier = Courier(Settings())
            one = Adapter(client, courier, Numbers(CollectorRegistry()), config.of(source, "https://api", ("default",)), there.url)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.run)
                await write(client, "a")
                await there.wait(1)
                assert "example.com/v1 Widget" in one.waiting_for and not one.following.is_set()
                tasks.cancel_scope.cancel()
            await courier.aclose()


class TestNothingIsLost:
    async def test_while_the_sink_is_away(self, tmp_path: Path) -> None:
        away = True

        async def answer(got: Got) -> Say:
            return Say(503 if away else 204)

        async with cluster(tmp_path) as client, sink() as there:
            there.answer = answer
            async with adapter(client, there.url) as numbers:
                for n in range(20):
                    await write(client, f"m{n}")
                await remove(client, "m3")
                await there.wait(20)
                await until(lambda: number(numbers, "kfn_source_changes_waiting") == 21, "all wait")
                there.got.clear()
                away = False
                await until(lambda: number(numbers, "kfn_source_changes_total", outcome="sent") == 21, "all are sent")
                assert Counter(told(there)) == Counter([*(("add", f"m{n}") for n in range(20)), ("delete", "m3")])
                assert told(there).index(("add", "m3")) < told(there).index(("delete", "m3"))

    async def test_when_more_waits_than_may(self, tmp_path: Path) -> None:
        """Watching stops; the state of every object comes, and the deletion of one that was told of."""
        away = False

        async def answer(got: Got) -> Say:
            return Say(503 if away else 204)

        async with cluster(tmp_path) as client, sink() as there:
            there.answer = answer
            await write(client, "gone")
            async with adapter(client, there.url, outbox=Outbox(most=10), mode="Resource") as numbers:
                await there.wait(1)
                away = True
                await write(client, "hot")
                for n in range(15):
                    await change(client, "hot", str(n))
                for n in range(30):
                    await write(client, f"m{n}")
                await remove(client, "gone")
                await until(lambda: number(numbers, "kfn_source_paused") == 1, "it does not follow any more")
                assert number(numbers, "kfn_source_changes_waiting") <= 20
                assert number(numbers, "kfn_source_changes_total", outcome="folded") > 0
                away = False
                await until(lambda: ("delete", "gone") in told(there), f"all came: {told(there)}")
                await until(lambda: number(numbers, "kfn_source_changes_waiting") == 0, "nothing waits")
                assert {("add", f"m{n}") for n in range(30)} <= set(told(there))
                assert value([got for got in there.got if got.event.attributes["name"] == "hot"][-1]) == "14"
                assert number(numbers, "kfn_source_paused") == 0

    async def test_when_it_starts_again_what_is_there_is_told_with_the_same_ids(self, tmp_path: Path) -> None:
        async with cluster(tmp_path) as client, sink() as there:
            await write(client, "a")
            async with adapter(client, there.url):
                await there.wait(1)
            await write(client, "b")
            async with adapter(client, there.url):
                await there.wait(3)
            assert told(there) == [("add", "a"), ("add", "a"), ("add", "b")]
            assert there.ids[0] == there.ids[1]

    async def test_what_waits_when_it_ends_is_sent_first(self, tmp_path: Path) -> None:
        held = anyio.Event()

        async def answer(got: Got) -> Say:
            if not held.is_set():
                await held.wait()
            return Say()

        async with cluster(tmp_path) as client, sink() as there:
            there.answer = answer
            await write(client, "a")
            async with adapter(client, there.url):
                await there.wait(1)
                await remove(client, "a")
                held.set()
            assert told(there)[-1] == ("delete", "a")

    async def test_but_what_the_sink_refuses_is_given_up_at_once_and_counted(self, tmp_path: Path) -> None:
        async def answer(got: Got) -> Say:
            return Say(400 if got.event.attributes["name"] == "bad" else 204)

        async with cluster(tmp_path) as client, sink() as there:
            there.answer = answer
            async with adapter(client, there.url) as numbers:
                await write(client, "bad")
                await write(client, "good")
                await until(lambda: number(numbers, "kfn_source_changes_total", outcome="sent") == 1, "the good one is sent")
                await until(lambda: number(numbers, "kfn_source_changes_total", outcome="refused") == 1, "the bad one is refused")
                assert Counter(told(there)) == Counter([("add", "bad"), ("add", "good")])
