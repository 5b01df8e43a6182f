"""Pipelines on a real nats-server: runs started by a call and by an event, maps, joins, retries, and what survives what."""

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from kfn import http1
from kfn.api import kinds
from kfn.api.eventing import Trigger, TriggerSpec
from kfn.api.meta import Destination, KReference, ObjectMeta
from kfn.api.pipeline import Backoff as Wait
from kfn.api.pipeline import Join, Pipeline, PipelineSpec, PipelineStep, Policy, Start
from tests.fakes.sink import Got, Say, Sink, sink
from tests.integration.eventing.stage import QUICK, Stage, set_up, stage, until

NOW = replace(QUICK, pipeline_look=0.5)
FAST = Policy(retries=3, backoff=Wait(initial="50ms", factor=1.0, jitter=False))
TOKEN = [("authorization", "Bearer open sesame")]
Function = Callable[[Any], Any]


class Functions:
    """Functions of JSON at one sink, each at a path of its own, and how often each was called."""

    def __init__(self, sink: Sink, **functions: Function) -> None:
        self._sink, self._functions, self.calls = sink, functions, Counter[str]()
        self.broken: dict[str, int] = {}  # name -> the status that it answers with
        self.hold = anyio.Event()
        self.held: set[str] = set()
        sink.answer = self._answer

    def step(self, name: str, **more: Any) -> PipelineStep:
        return PipelineStep(uri=f"{self._sink.url}/{name}", **more)

    async def _answer(self, got: Got) -> Say:
        name = got.path.strip("/")
        self.calls[name] += 1
        if name in self.held:
            await self.hold.wait()
        if name in self.broken:
            return Say(self.broken[name], body=b"out of order")
        answer = self._functions[name](json.loads(got.body))
        return Say(200, {"content-type": "application/json"}, json.dumps(answer).encode())


@asynccontextmanager
async def functions(**functions: Function) -> AsyncIterator[Functions]:
    async with sink() as one:
        yield Functions(one, **functions)


async def pipeline(bus: Stage, steps: dict[str, PipelineStep], name: str = "p", *, wait: bool = True, **spec: Any) -> None:
    whole = PipelineSpec(steps=steps, **{"defaults": FAST, "timeout": "60s", **spec})
    meta = ObjectMeta(name=name, namespace="default")
    if bus.kube.find(kinds.PIPELINE, name) is not None:
        await bus.eventing._client.update(kinds.PIPELINE, Pipeline(metadata=bus.kube.the(kinds.PIPELINE, name).metadata, spec=whole))
    else:
        bus.kube.put(kinds.PIPELINE, Pipeline(metadata=meta, spec=whole))
    if wait:

        def current() -> bool:
            now = bus.kube.the(kinds.PIPELINE, name)
            return now.status.observed_generation == now.metadata.generation

        await until(current, "the reconciler has seen it")
        await bus.ready(kinds.PIPELINE, name)


async def run(bus: Stage, data: Any, *, prefer: str = "", name: str = "p") -> http1.Response:
    headers = [("content-type", "application/json"), *([("prefer", prefer)] if prefer else [])]
    return await bus.post(f"/default/pipelines/{name}", headers, json.dumps(data).encode())


async def ask(bus: Stage, path: str, method: str = "GET", name: str = "p") -> Any:
    answer = await bus.post(f"/default/pipelines/{name}/runs{path}", TOKEN, b"", method)
    return json.loads(answer.body)


async def ended(bus: Stage, id: str, name: str = "p") -> Any:
    with anyio.fail_after(60):
        while (found := await ask(bus, f"/{id}", name=name)).get("status", "running") == "running":
            await anyio.sleep(0.05)
    return found


async def accepted(bus: Stage, data: Any) -> str:
    answer = await run(bus, data, prefer="respond-async")
    assert answer.status == 202, answer
    return str(json.loads(answer.body)["run"])


def exposed(bus: Stage) -> str:
    return bus.eventing.metrics.exposition().decode()


class TestARunByHttp:
    async def test_is_answered_with_what_its_last_step_gave(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(double=lambda n: n * 2, tell=lambda n: f"it is {n}") as f:
            await pipeline(bus, {"double": f.step("double"), "tell": f.step("tell", needs="double")})
            answer = await run(bus, 21)
            assert (answer.status, json.loads(answer.body)) == (200, "it is 42")
            told = await ask(bus, f"/{answer.header(b'kfn-run').decode()}")
            assert {name: step["status"] for name, step in told["steps"].items()} == {"double": "succeeded", "tell": "succeeded"}
            assert (told["status"], told["output"], told["generation"]) == ("succeeded", "it is 42", 1)
            listed = await ask(bus, "?status=succeeded&limit=1")
            assert [one["id"] for one in listed["runs"]] == [told["id"]]

    async def test_that_fails_says_at_which_step_and_can_be_taken_up_there(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n + 1, b=lambda n: n * 10) as f:
            await pipeline(bus, {"a": f.step("a"), "b": f.step("b", needs="a")})
            f.broken["b"] = 500
            answer = await run(bus, 1)
            told = json.loads(answer.body)
            assert (answer.status, told["step"], told["error"]) == (500, "b", "the subscriber answered 500: out of order")
            assert f.calls == {"a": 1, "b": 4}
            del f.broken["b"]
            await ask(bus, f"/{told['run']}/retry", "POST")
            again = await ended(bus, told["run"])
            assert (again["status"], again["output"], again["retries"], f.calls["a"]) == ("succeeded", 20, 1, 1)

    async def test_that_is_not_waited_for_is_there_when_it_was_accepted_and_can_be_cancelled(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n) as f:
            await pipeline(bus, {"a": f.step("a")})
            f.held.add("a")
            id = await accepted(bus, 1)
            assert (await run(bus, 1, prefer="wait=0")).status == 202
            assert (await ask(bus, f"/{id}"))["status"] == "running"
            assert (await ask(bus, f"/{id}", "DELETE"))["status"] == "cancelled"
            f.hold.set()
            assert (await ended(bus, id))["steps"]["a"]["status"] == "cancelled"

    async def test_is_refused_with_a_reason_where_it_cannot_be(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n) as f:
            await pipeline(bus, {"a": f.step("a")})
            assert (await run(bus, 1, name="nobody")).status == 404
            assert (await bus.post("/default/pipelines/p", [("content-type", "application/json")], b"{")).status == 400
            assert (await bus.post("/default/pipelines/p", [], b'"' + b"x" * (1 << 20) + b'"')).status == 413
            assert (await bus.post("/default/pipelines/p/runs", [], b"", "GET")).status == 401
            assert (await bus.post("/default/pipelines/p/runs/none", TOKEN, b"", "GET")).status == 404
            answer = await run(bus, 1)
            running = await bus.post(f"/default/pipelines/p/runs/{answer.header(b'kfn-run').decode()}/retry?from=x", TOKEN, b"")
            assert (running.status, b"no step 'x'" in running.body) == (409, True)


class TestAMap:
    async def test_calls_its_step_for_each_item_and_gives_the_answers_in_their_order(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(split=lambda n: list(range(n)), square=lambda n: n * n, add=sum) as f:
            await pipeline(
                bus,
                {
                    "split": f.step("split"),
                    "square": f.step("square", map="split", max_in_flight=3),
                    "add": f.step("add", needs="square"),
                },
                output={"all": "square", "sum": "add"},
            )
            answer = await run(bus, 30)
            assert json.loads(answer.body) == {"all": [n * n for n in range(30)], "sum": sum(n * n for n in range(30))}
            assert f.calls["square"] == 30

    async def test_goes_on_without_an_item_where_its_join_says_so(self, tmp_path: Path) -> None:
        def odd(n: int) -> int:
            if n == 2:
                raise ZeroDivisionError
            return n

        async with stage(tmp_path, NOW) as bus, functions(one=odd, all=lambda given: given) as f:
            f._functions["one"] = lambda n: n
            answer_ = f._sink.answer

            async def answer(got: Got) -> Say:
                return Say(400) if got.path == "/one" and json.loads(got.body) == 2 else await answer_(got)

            f._sink.answer = answer
            await pipeline(bus, {"one": f.step("one", map="data"), "all": f.step("all", needs="one", join=Join(min_success=0.75))})
            assert json.loads((await run(bus, [0, 1, 2, 3])).body) == [0, 1, None, 3]
            refused = await run(bus, [0, 2])
            assert (refused.status, json.loads(refused.body)["step"]) == (500, "all")


class TestConditionsAndJoins:
    async def test_a_step_whose_condition_is_false_is_skipped_and_what_does_not_need_it_goes_on(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(total=lambda n: {"total": n}, fraud=lambda t: {"score": 9}, end=lambda d: d) as f:
            await pipeline(
                bus,
                {
                    "total": f.step("total"),
                    "fraud": f.step("fraud", needs="total", when="total.total > 100"),
                    "end": f.step("end", needs=["total", "fraud?"], input={"risk": "has(fraud.score) ? fraud.score : 0"}),
                },
            )
            assert json.loads((await run(bus, 5)).body) == {"risk": 0}
            assert json.loads((await run(bus, 500)).body) == {"risk": 9}

    async def test_a_join_of_any_goes_on_with_the_first_and_a_window_ends_the_wait_for_the_rest(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(fast=lambda n: "fast", slow=lambda n: "slow", end=lambda d: d) as f:
            f.held.add("slow")
            both = {"fast": f.step("fast"), "slow": f.step("slow")}
            await pipeline(bus, {**both, "end": f.step("end", needs=["fast", "slow"], join=Join(mode="any"))})
            assert json.loads((await run(bus, 1)).body) == {"fast": "fast", "slow": {}}
            window = Join(window="300ms", min_success=0.5)
            await pipeline(bus, {**both, "end": f.step("end", needs=["fast", "slow"], join=window)})
            assert json.loads((await run(bus, 1)).body) == {"fast": "fast", "slow": {}}
            f.hold.set()


class TestARunByAnEvent:
    async def test_is_started_once_however_often_the_event_comes_and_can_publish_once(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda d: d["n"] + 1) as f, sink() as out:
            await bus.broker()
            await bus.trigger("done", out.url, type="done")
            steps = {"a": f.step("a"), "tell": PipelineStep(emit="done", data={"n": "a"}, needs="a")}
            await pipeline(bus, steps, on=Start(type="begin"))
            await bus.publish("e1", "begin")
            await bus.publish("e1", "begin")
            await bus.publish("other", "something else")
            await out.wait(1)
            assert json.loads(out.got[0].body) == {"n": 2}
            runs = (await ask(bus, ""))["runs"]
            assert len(runs) == 1
            assert (await ended(bus, runs[0]["id"]))["event"] == {"source": "/test", "id": "e1", "type": "begin"}

    async def test_that_a_trigger_delivers_starts_one_too_and_is_not_waited_for(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda d: d) as f:
            await bus.broker()
            await pipeline(bus, {"a": f.step("a")})
            to = Destination(KReference("kfn.dev/v1alpha1", "Pipeline", "p"))
            spec = TriggerSpec(broker="default", subscriber=to)
            bus.kube.put(kinds.TRIGGER, Trigger(metadata=ObjectMeta(name="t", namespace="default"), spec=spec))
            await bus.ready(kinds.TRIGGER, "t")
            f.held.add("a")
            await bus.publish("e1")
            await until(lambda: f.calls["a"] == 1, "the run is under way")
            await until(
                lambda: 'kfn_events_delivered_total{broker="default",namespace="default",trigger="t"} 1.0' in exposed(bus), "it waits"
            )
            f.hold.set()

    async def test_that_fails_is_a_dead_letter_whose_replay_takes_it_up_again(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda d: d, b=lambda d: d) as f:
            await bus.broker()
            f.broken["b"] = 400
            await pipeline(bus, {"a": f.step("a"), "b": f.step("b", needs="a", on_error="dlq")}, on=Start(type="begin"))
            await bus.publish("e1", "begin")
            with anyio.fail_after(30):
                while not (dead := await bus.dead_letters()):
                    await anyio.sleep(0.05)
            assert (dead[0].id, dead[0].attributes["kfnstep"]) == ("e1", "b")
            del f.broken["b"]
            answer = await bus.post("/default/default/dead-letters/replay?all=true", TOKEN, b"")
            assert len(json.loads(answer.body)["items"]) == 1
            id = (await ask(bus, ""))["runs"][0]["id"]
            with anyio.fail_after(30):
                while (await ask(bus, f"/{id}"))["status"] != "succeeded":
                    await anyio.sleep(0.05)
            assert f.calls["a"] == 1


class TestWhatIsUnderWay:
    async def test_keeps_to_its_plan_when_the_pipeline_is_changed(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n, old=lambda n: "old", new=lambda n: "new") as f:
            await pipeline(bus, {"a": f.step("a"), "old": f.step("old", needs="a")})
            f.held.add("a")
            id = await accepted(bus, 1)
            await until(lambda: f.calls["a"] == 1, "it is under way")
            await pipeline(bus, {"a": f.step("a"), "new": f.step("new", needs="a")})
            f.held.clear()
            f.hold.set()
            assert (await ended(bus, id))["output"] == "old"
            assert json.loads((await run(bus, 1)).body) == "new"

    async def test_goes_on_after_eventing_and_nats_have_gone_without_a_word(self, tmp_path: Path) -> None:
        async with set_up(tmp_path, NOW) as bus, functions(a=lambda n: n + 1, b=lambda n: n * 2) as f:
            async with bus.running():
                await pipeline(bus, {"a": f.step("a"), "b": f.step("b", map="[a, a, a]"), "c": f.step("b", map="b")}, output="c")
                f.held.add("a")
                ids = [await accepted(bus, n) for n in range(3)]
                await until(lambda: f.calls["a"] == 3, "they are under way")
            os.kill(bus.server.pid, signal.SIGKILL)
            f.held.clear()
            f.hold.set()
            async with bus.running():
                for n, id in enumerate(ids):
                    assert (await ended(bus, id))["output"] == [(n + 1) * 4] * 3

    async def test_ends_when_its_time_is_over(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n) as f:
            f.held.add("a")
            await pipeline(bus, {"a": f.step("a")}, timeout="1s")
            answer = await run(bus, 1)
            assert (answer.status, json.loads(answer.body)["error"]) == (500, "the run did not end within 1 s")
            f.hold.set()


class TestAPipeline:
    async def test_that_is_deleted_takes_its_runs_along(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n) as f:
            await bus.broker()
            await pipeline(bus, {"a": f.step("a")}, on=Start(type="x"), http=True)
            await run(bus, 1)
            await bus.eventing._client.delete(kinds.PIPELINE, "p", "default")
            await until(lambda: bus.kube.find(kinds.PIPELINE, "p") is None, "it is gone")
            names = (await bus.eventing._bus.api("STREAM.NAMES"))["streams"]
            assert not [name for name in names if name.startswith("KFN_PIPE")]
            assert (await run(bus, 1)).status == 404

    async def test_whose_step_names_nothing_that_there_is_says_so_and_starts_nothing(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus:
            await pipeline(bus, {"a": PipelineStep(fn="missing")}, wait=False)
            found = await bus.ready(kinds.PIPELINE, "p", "False")
            told = next(c for c in found.status.conditions if c.type == "StepsResolved")
            assert "missing" in told.message
            assert (await run(bus, 1)).status == 503
