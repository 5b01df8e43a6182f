"""A crash between any two writes of a run, made by hand: what was written before it is there, what comes after it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from eventing.bus import Bus
from eventing.pipelines.advance import WHOLE, Done, Listed, Task, advance
from eventing.pipelines.graph import Graph, Need, Node
from eventing.pipelines.names import run_of
from eventing.pipelines.retention import Retention
from eventing.pipelines.store import Store
from kfn.api.pipeline import Start
from kfn.clock import utcnow
from tests.integration.eventing.stage import Stage, set_up, until
from tests.integration.eventing.test_pipelines import NOW, Functions, accepted, ended, functions, pipeline

GRAPH = Graph((Node("a"), Node("b", (Need("a"),), mapped=True, in_flight=16), Node("c", (Need("b"),))))
A = Task("a", 0)
BLIND = replace(NOW, pipeline_look=600)  # nobody looks at a run by time


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[Store]:
    """The stream, with nobody who works on it."""
    bus = Bus(replace(NOW, **stage.server.login))
    async with bus.connected():
        yield Store(bus, "default", "p")


async def died(stage: Stage, f: Functions) -> str:
    """A run whose step `a` was being called when everything died."""
    async with stage.running():
        await pipeline(stage, {"a": f.step("a"), "b": f.step("b", map="a"), "c": f.step("c", needs="b")})
        f.held.add("a")
        id = await accepted(stage, 3)
        await until(lambda: f.calls["a"] == 1, "it is under way")
    f.held.clear()
    f.hold.set()
    f.calls.clear()
    return id


async def written(store: Store, id: str, *what: Done | Listed) -> None:
    """The record after that, and nothing that follows from it."""
    kept = await store.record(id)
    assert kept is not None
    run = kept.run
    for one in what:
        run = advance(GRAPH, run, one, utcnow().timestamp())
    await store.save(run, kept.sequence)


class TestACrash:
    @pytest.mark.parametrize("after", ["nothing", "the output", "the record", "the record, and of what is due a part"])
    async def test_is_made_good_whatever_was_written_before_it(self, tmp_path: Path, after: str) -> None:
        async with set_up(tmp_path, BLIND) as bus, functions(a=lambda n: list(range(n)), b=lambda n: n + 1, c=sum) as f:
            id = await died(bus, f)
            async with connected(bus) as store:
                if after != "nothing":
                    await store.put_output(id, A, b"[0, 1, 2, 3]")
                if after.startswith("the record"):
                    await written(store, id, Done(A))
                if after.endswith("a part"):
                    await written(store, id, Listed(Task("b", 0, WHOLE), 4))
                    await store.put_due(id, [Task("b", 0, 2)])
            async with bus.running():
                told = await ended(bus, id)
            assert (told["status"], told["output"]) == ("succeeded", 6 if after == "nothing" else 10)
            assert f.calls["a"] == (1 if after == "nothing" else 0), "what is stored is not made again"
            assert (f.calls["b"], f.calls["c"]) == (3 if after == "nothing" else 4, 1)

    async def test_of_the_message_that_made_it_happen_is_made_good_by_a_look(self, tmp_path: Path) -> None:
        async with set_up(tmp_path, NOW) as bus, functions(a=lambda n: list(range(n)), b=lambda n: n + 1, c=sum) as f:
            id = await died(bus, f)
            async with connected(bus) as store:
                await store.put_output(id, A, b"[1]")
                await written(store, id, Done(A))
                await store._bus.purge(store.stream, store.runs.task(id, A))
            async with bus.running():
                assert (await ended(bus, id))["output"] == 2

    async def test_before_the_record_of_a_start_leaves_it_to_the_same_event_to_begin_the_run_later(self, tmp_path: Path) -> None:
        async with set_up(tmp_path, NOW) as bus, functions(a=lambda n: n, b=lambda n: n, c=sum) as f:
            async with bus.running():
                await bus.broker()
                await pipeline(bus, {"a": f.step("a", input="data")}, on=Start(type="begin"))
            async with connected(bus) as store:
                id = run_of("/test", "e1")
                headers = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/test", "ce-type": "begin"}
                await store.put_start(id, b"5", headers)
                kept = {"cleared": await Retention(store._bus, replace(NOW, pipeline_retention=3600.0), list).turn(store)}
            async with bus.running():
                await bus.publish_surely("e1", "begin", data=b"5")
                await until(lambda: f.calls["a"] == 1, "it begins")
                assert (await ended(bus, id))["output"] == 5
            async with connected(bus) as store:
                assert kept == {"cleared": 0}
                await store.put_start("hnever", b"1", headers)
                await Retention(store._bus, replace(NOW, pipeline_retention=-1.0), list).turn(store)
                assert await store.start("hnever") is None
