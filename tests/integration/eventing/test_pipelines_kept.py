"""What is kept of a Pipeline's runs and for how long, what a full stream refuses, and several replicas that work on the same runs."""

import json
from dataclasses import replace
from pathlib import Path

import anyio

from eventing.pipelines.retention import Retention
from eventing.pipelines.store import Store
from kfn.api.pipeline import Start
from tests.integration.eventing.stage import Stage, stage, until
from tests.integration.eventing.test_pipelines import NOW, accepted, ask, ended, functions, pipeline, run
from tests.integration.eventing.test_replicas import replicas

MIB = 1 << 20


def store(bus: Stage) -> Store:
    return Store(bus.eventing._bus, "default", "p")


async def turn(bus: Stage, **settings: float) -> int:
    return await Retention(bus.eventing._bus, replace(NOW, **settings), list).turn(store(bus))  # type: ignore[arg-type]


async def kept(bus: Stage) -> set[str]:
    """The ids that anything in the stream belongs to."""
    state = (await bus.eventing._bus.api(f"STREAM.INFO.{store(bus).stream}", {"subjects_filter": ">"}))["state"]
    return {subject.split(".")[4] for subject in state["subjects"] if subject.split(".")[3] == "run"}


class TestRunsThatHaveEnded:
    async def test_are_kept_for_a_while_and_then_removed_whole_and_those_under_way_are_not(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: n, slow=lambda n: n) as f:
            await pipeline(bus, {"a": f.step("a"), "slow": f.step("slow", needs="a", when="a < 0")})
            over = [json.loads((await run(bus, n, prefer="wait=30")).body) for n in range(3)]
            f.held.add("slow")
            id = await accepted(bus, -1)
            await until(lambda: f.calls["slow"] == 1, "it is under way")
            assert (over, await turn(bus), len(await kept(bus))) == ([{}, {}, {}], 0, 4)
            assert await turn(bus, pipeline_retention=0.0) == 3
            assert await kept(bus) == {id}
            f.hold.set()
            assert (await ended(bus, id))["output"] == -1

    async def test_go_sooner_where_the_stream_runs_full(self, tmp_path: Path) -> None:
        async with stage(tmp_path, replace(NOW, pipeline_max_bytes=4 * MIB)) as bus, functions(a=lambda n: n) as f:
            await pipeline(bus, {"a": f.step("a")})
            large, refused = "x" * 200_000, 0
            for _ in range(12):
                answer = await run(bus, large)
                refused += answer.status == 503
                if answer.status == 503:
                    assert int(answer.header(b"retry-after")) > 0
                await anyio.sleep(0.3)
            state = (await bus.eventing._bus.api(f"STREAM.INFO.{store(bus).stream}"))["state"]
            assert refused and state["bytes"] < 3.7 * MIB, "some is left for the runs that there are"
            assert await turn(bus)
            await anyio.sleep(1.1)  # how long what is used is remembered
            assert (await run(bus, large)).status == 200


class TestAnOutput:
    async def test_that_is_too_large_or_no_text_fails_its_step_at_once_and_says_why(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda n: "x" * (MIB + 1)) as f:
            await pipeline(bus, {"a": f.step("a")})
            answer = json.loads((await run(bus, 1)).body)
            assert "an output at most 1048576" in answer["error"], answer
            assert f.calls["a"] == 1


class TestAChange:
    async def test_of_the_broker_takes_events_from_there_and_from_nowhere_else(self, tmp_path: Path) -> None:
        async with stage(tmp_path, NOW) as bus, functions(a=lambda d: d) as f:
            await bus.broker()
            await bus.broker("other")
            for name in ("default", "other"):
                await pipeline(bus, {"a": f.step("a")}, on=Start(broker=name, type="x"))
            await bus.publish("e1", "x", broker="default")
            await bus.publish("e2", "x", broker="other")
            await until(lambda: f.calls["a"] == 1, "the new one is heard")
            left = (await bus.eventing._bus.api("CONSUMER.NAMES.KFN_default_default"))["consumers"] or []
            assert not [name for name in left if name.startswith("kfn_t_")], "it would keep the Broker's stream full"
            assert [(await ended(bus, one["id"]))["event"]["id"] for one in (await ask(bus, ""))["runs"]] == ["e2"]


class TestReplicas:
    async def test_work_on_the_same_runs_and_one_that_dies_takes_none_along(self, tmp_path: Path) -> None:
        async with functions(split=lambda n: list(range(n)), square=lambda n: n * n, add=sum) as f, replicas(tmp_path) as (bus, (one, two)):
            await pipeline(
                bus,
                {"split": f.step("split"), "square": f.step("square", map="split", max_in_flight=8), "add": f.step("add", needs="square")},
            )
            bus.eventing = two.eventing
            with anyio.fail_after(30):
                while (await run(bus, 1)).status != 200:
                    await anyio.sleep(0.1)
            f.calls.clear()
            ids = []
            for n in range(6):
                bus.eventing = (one, two)[n % 2].eventing
                ids.append(await accepted(bus, 12))
            await until(lambda: f.calls["square"] > 10, "they are under way")
            one.life.cancel()
            bus.eventing = two.eventing
            for id in ids:
                told = await ended(bus, id)
                assert (told["status"], told["output"]) == ("succeeded", sum(n * n for n in range(12)))
