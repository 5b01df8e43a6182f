"""How a run goes on, by its record alone."""

import random
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from eventing.pipelines import state
from eventing.pipelines.advance import (
    WHOLE,
    Again,
    Buried,
    Cancelled,
    Done,
    Failed,
    Happening,
    Listed,
    Looked,
    Passed,
    Task,
    Timer,
    Tried,
    advance,
    begin,
    due,
    is_wanted,
    next_look,
)
from eventing.pipelines.graph import Graph, Join, Need, Node
from eventing.pipelines.state import Run


def need(*names: str) -> tuple[Need, ...]:
    return tuple(Need(name.rstrip("?"), name.endswith("?")) for name in names)


def graph(*nodes: Node, timeout: float = 600.0) -> Graph:
    return Graph(nodes, timeout)


LINE = graph(Node("a"), Node("b", need("a")), Node("c", need("b")))
MAPPED = graph(Node("split"), Node("ocr", need("split"), mapped=True, in_flight=2), Node("merge", need("ocr")))


@dataclass
class Play:
    """A run, and the times at which things happen to it."""

    graph: Graph
    now: float = 100.0
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        self.run = begin(self.graph, Run("r", 1), self.now)

    def does(self, *what: Happening) -> "Play":
        for one in what:
            self.run = advance(self.graph, self.run, one, self.now)
        return self

    def done(self, *names: str) -> "Play":
        return self.does(*(Done(Task(name, self.run.steps[name].round)) for name in names))

    def items(self, name: str, *indexes: int) -> "Play":
        return self.does(*(Done(Task(name, 0, index)) for index in indexes))

    @property
    def due(self) -> list[str]:
        return [f"{d.step}@{d.at:g}" if isinstance(d, Timer) else d.step + (f"[{d.index}]" if d.index >= 0 else "") for d in self._due]

    @property
    def _due(self) -> list[Task | Timer]:
        return list(due(self.graph, self.run))

    @property
    def statuses(self) -> str:
        return " ".join(f"{name}={step.status}" for name, step in self.run.steps.items())


class TestALineOfSteps:
    def test_begins_with_what_needs_nothing(self) -> None:
        assert Play(LINE).due == ["a"]

    def test_goes_on_step_by_step_to_its_end(self) -> None:
        play = Play(LINE).done("a")
        assert play.due == ["b"]
        play.done("b", "c")
        assert (play.run.status, play.due, play.run.ended) == ("succeeded", [], 100)

    def test_what_comes_twice_or_too_early_changes_nothing(self) -> None:
        play = Play(LINE).done("a")
        before = play.run
        play.does(Done(Task("a", 0)), Done(Task("c", 0)), Failed(Task("a", 0), 1, "late"), Done(Task("b", 1)), Done(Task("nobody", 0)))
        assert play.run == before

    def test_an_attempt_that_failed_is_told_and_forgotten_when_the_next_succeeds(self) -> None:
        play = Play(LINE).does(Tried(Task("a", 0), 1, "it answered 503"))
        assert (play.run.steps["a"].error, play.run.steps["a"].attempts, play.due) == ("it answered 503", 1, ["a"])
        play.does(Done(Task("a", 0), 2, "a-00001"))
        assert (play.run.steps["a"].error, play.run.steps["a"].attempts, play.run.steps["a"].version) == ("", 2, "a-00001")

    def test_a_step_that_fails_ends_the_run_and_says_where(self) -> None:
        play = Play(LINE).does(Failed(Task("a", 0), 6, "it answered 500"))
        assert (play.run.status, play.run.at, play.run.error) == ("failed", "a", "it answered 500")
        assert play.statuses == "a=failed b=cancelled c=cancelled"

    def test_a_step_whose_condition_is_false_takes_those_along_that_need_it(self) -> None:
        play = Play(graph(Node("a"), Node("b", need("a")), Node("c", need("b")), Node("d", need("a", "b?")))).done("a")
        play.does(Passed(Task("b", 0)))
        assert (play.statuses, play.due) == ("a=succeeded b=skipped c=skipped d=running", ["d"])

    def test_no_run_lasts_longer_than_its_timeout(self) -> None:
        play = Play(LINE).done("a")
        play.now = 699.9
        assert play.does(Looked()).run.status == "running"
        play.now = next_look(play.run)
        play.does(Looked())
        assert (play.run.status, play.run.at, play.run.error) == ("failed", "b", "the run did not end within 600 s")

    def test_nothing_happens_to_a_run_that_is_over(self) -> None:
        play = Play(LINE).does(Cancelled())
        ended = play.run
        assert play.does(Looked(), Cancelled(), Done(Task("a", 0)), Passed(Task("a", 0))).run == ended
        assert ended.status == "cancelled"


class TestAMap:
    def test_has_so_many_items_under_way_as_it_may(self) -> None:
        play = Play(MAPPED).done("split")
        assert play.due == ["ocr"]
        play.does(Listed(Task("ocr", 0), 5))
        assert play.due == ["ocr[0]", "ocr[1]"]
        play.items("ocr", 1)
        assert play.due == ["ocr[0]", "ocr[2]"]
        play.items("ocr", 0, 2, 3)
        assert play.due == ["ocr[4]"]
        assert play.items("ocr", 4).due == ["merge"]

    def test_of_nothing_is_done_at_once(self) -> None:
        assert Play(MAPPED).done("split").does(Listed(Task("ocr", 0), 0)).due == ["merge"]

    def test_fails_with_its_first_item_where_all_are_needed(self) -> None:
        play = Play(MAPPED).done("split").does(Listed(Task("ocr", 0), 5), Failed(Task("ocr", 0, 1), 3, "no"))
        assert (play.run.status, play.run.at, play.run.error) == ("failed", "ocr", "item 1: no")

    @pytest.mark.parametrize(("share", "then"), [(0.75, "running"), (0.8, "failed")])
    def test_a_join_says_how_many_items_must_have_succeeded(self, share: float, then: str) -> None:
        play = Play(graph(Node("m", mapped=True), Node("j", need("m"), join=Join(min_success=share))))
        play.does(Listed(Task("m", 0), 4), Failed(Task("m", 0, 2), 1, "no")).items("m", 0, 1)
        assert play.run.steps["j"].status == "waiting"
        assert play.items("m", 3).run.steps["j"].status == then

    def test_listing_twice_does_not_change_how_many_there_are(self) -> None:
        play = Play(MAPPED).done("split").does(Listed(Task("ocr", 0), 5), Listed(Task("ocr", 0), 3))
        assert play.run.steps["ocr"].total == 5
        assert not is_wanted(play.run, Task("ocr", 0, 5))
        assert not is_wanted(play.run, Task("ocr", 0))

    def test_keeps_to_what_came_first_of_an_item(self) -> None:
        play = Play(MAPPED).done("split").does(Listed(Task("ocr", 0), 3)).items("ocr", 0)
        before = play.run
        assert play.does(Failed(Task("ocr", 0, 0), 9, "late"), Tried(Task("ocr", 0, 0), 9, "late")).run == before


class TestAJoin:
    def test_of_any_begins_with_the_first_and_drops_the_rest(self) -> None:
        play = Play(graph(Node("a"), Node("b"), Node("j", need("a", "b"), join=Join(any=True)))).done("b")
        assert play.statuses == "a=cancelled b=succeeded j=running"
        assert play.done("j").run.status == "succeeded"

    def test_of_any_outlives_failures_until_nothing_is_left(self) -> None:
        play = Play(graph(Node("a"), Node("b"), Node("j", need("a", "b"), join=Join(any=True))))
        play.does(Failed(Task("a", 0), 1, "no"))
        assert (play.run.status, play.due) == ("running", ["b"])
        play.does(Failed(Task("b", 0), 1, "no"))
        assert (play.run.status, play.run.at) == ("failed", "j")

    def test_waits_for_the_rest_no_longer_than_its_window(self) -> None:
        play = Play(graph(Node("a"), Node("b"), Node("j", need("a", "b"), join=Join(window=20, min_success=0.5)))).done("a")
        assert play.due == ["b", "j@120"]
        play.now = 119
        assert play.does(Looked()).due == ["b", "j@120"]
        play.now = next_look(play.run)
        assert play.does(Looked()).statuses == "a=succeeded b=cancelled j=running"

    def test_fails_when_its_window_is_over_and_not_enough_is_there(self) -> None:
        play = Play(graph(Node("a"), Node("b"), Node("j", need("a", "b"), join=Join(window=20)))).done("a")
        play.now = 120
        play.does(Looked())
        assert (play.run.status, play.run.at, play.run.error) == ("failed", "j", "not enough succeeded of what it needs: b; 1 of them must")

    @pytest.mark.parametrize(("b", "then"), [("b?", "running"), ("b", "skipped")])
    def test_does_without_a_step_that_failed_and_may_only_where_it_is_optional(self, b: str, then: str) -> None:
        play = Play(graph(Node("a"), Node("b", goes_on=True), Node("j", need("a", b)))).does(Failed(Task("b", 0), 1, "no")).done("a")
        assert play.statuses == f"a=succeeded b=failed j={then}"

    def test_begins_without_the_items_that_may_fail(self) -> None:
        play = Play(graph(Node("m", mapped=True, goes_on=True), Node("j", need("m")))).does(Listed(Task("m", 0), 2))
        assert play.does(Failed(Task("m", 0, 1), 1, "no")).items("m", 0).statuses == "m=succeeded j=running"


class TestBeginningAnew:
    def test_keeps_what_has_succeeded_and_does_the_rest_in_a_new_round(self) -> None:
        play = Play(LINE).done("a").does(Failed(Task("b", 0), 1, "no"))
        play.now = 5000
        play.does(Again("b", 1))
        assert (play.run.status, play.due, play.run.error, play.run.deadline) == ("running", ["b"], "", 5600)
        assert [step.round for step in play.run.steps.values()] == [0, 1, 1]
        assert play.does(Done(Task("b", 0))).due == ["b"], "what the first round still does counts no more"
        assert play.done("b", "c").run.status == "succeeded"

    def test_from_a_step_that_succeeded_takes_all_along_that_depends_on_it(self) -> None:
        play = Play(LINE).done("a", "b", "c").does(Again("b", 1))
        assert play.statuses == "a=succeeded b=running c=waiting"

    def test_is_done_once_however_often_it_is_asked_for(self) -> None:
        play = Play(LINE).done("a", "b", "c").does(Again("b", 1), Again("b", 1)).done("b", "c").does(Again("b", 1))
        assert (play.run.status, play.run.retries) == ("succeeded", 1)

    def test_is_not_for_a_run_that_is_under_way_nor_for_a_step_that_is_not(self) -> None:
        play = Play(LINE).does(Again("a", 1)).done("a", "b", "c").does(Again("x", 1))
        assert (play.run.retries, play.run.status) == (0, "succeeded")

    def test_a_dead_letter_counts_for_the_end_that_it_is_of(self) -> None:
        play = Play(LINE).does(Failed(Task("a", 0), 1, "no"), Buried(0))
        assert play.run.buried
        play.does(Again("a", 1), Failed(Task("a", 1), 1, "no"), Buried(0))
        assert not play.run.buried
        assert play.does(Buried(1)).run.buried


class TestTheRecord:
    def test_is_read_as_it_was_written(self) -> None:
        play = Play(MAPPED).done("split").does(Listed(Task("ocr", 0), 70)).items("ocr", 0, 1)
        assert state.loads(state.dumps(play.run)) == play.run

    def test_of_a_map_of_ten_thousand_stays_small(self) -> None:
        play = Play(MAPPED).done("split").does(Listed(Task("ocr", 0), 10_000))
        all_but_one = replace(play.run.steps["ocr"], done=state.digits((1 << 10_000) - 2))
        assert len(state.dumps(replace(play.run, steps={**play.run.steps, "ocr": all_but_one}))) < 4000


class World:
    """Workers that die between any two writes. A write is a moment of its own; what is not acknowledged comes again, to anybody."""

    def __init__(self, graph: Graph, chance: random.Random, crashes: float, broken: frozenset[tuple[str, int]]) -> None:
        self.graph, self.chance, self.crashes, self.broken = graph, chance, crashes, broken
        self.run = begin(graph, Run("r", 1), 0)
        self.version = 1
        self.tasks: dict[Task, bool] = {}  # stored; True: acknowledged
        self.outputs: dict[Task, str] = {}
        self.workers: list[Worker] = []
        self.calls = 0

    def play(self) -> None:
        for _ in range(20_000):
            if self.run.is_over:
                return
            open_ = [task for task, acked in self.tasks.items() if not acked]
            choice = self.chance.random()
            if self.workers and choice < 0.75:
                worker = self.chance.choice(self.workers)
                if self.chance.random() < self.crashes or next(worker.steps, None) is None:
                    self.workers.remove(worker)
            elif open_ and choice < 0.97 and len(self.workers) < 8:
                self.workers.append(Worker(self, self.chance.choice(open_)))
            else:
                self.heal()  # the look that comes from time to time
        raise AssertionError(f"it does not end: {self.run}")

    def heal(self) -> None:
        for what in due(self.graph, self.run):
            if isinstance(what, Task):
                self.tasks.setdefault(what, False)


class Worker:
    def __init__(self, world: World, task: Task) -> None:
        self.steps = iter(self._work(world, task))

    def _work(self, world: World, task: Task):  # type: ignore[no-untyped-def]
        seen, version = world.run, world.version
        yield "read"
        if is_wanted(seen, task):
            node = world.graph.by_name[task.step]
            world.calls += 1
            what: Happening
            if node.mapped and task.index == WHOLE:
                what = Listed(task, 5)
            elif (task.step, task.index) in world.broken:
                what = Failed(task, 1, "broken")
            else:
                yield "called"
                world.outputs.setdefault(task, f"output of call {world.calls}")
                yield "stored"
                what = Done(task)
            while True:
                after = advance(world.graph, seen, what, 0)
                if version == world.version:
                    before, world.run, world.version = world.run, after, world.version + 1
                    yield "written"
                    break
                seen, version = world.run, world.version
            new = set(due(world.graph, after)) - set(due(world.graph, before))
        else:
            new = set(due(world.graph, world.run))
        for one in new:
            if isinstance(one, Task):
                world.tasks.setdefault(one, False)
                yield "put under way"
        world.tasks[task] = True
        yield "acknowledged"


NODES = (
    Node("split"), Node("ocr", need("split"), mapped=True, in_flight=2), Node("layout", need("split"), mapped=True, in_flight=3),
    Node("join", need("ocr", "layout"), join=Join(min_success=0.8)), Node("side", need("split")), Node("last", need("join", "side?")),
)  # fmt: skip


class TestCrashesBetweenAnyTwoWrites:
    @pytest.mark.parametrize("seed", range(60))
    def test_every_run_ends_as_it_would_have_without_them(self, seed: int) -> None:
        chance = random.Random(seed)
        broken = frozenset({("ocr", 3), ("layout", 1)} if seed % 3 == 1 else {("ocr", 3), ("layout", 1), ("ocr", 0)} if seed % 3 else set())
        worlds = [World(graph(*NODES), chance, crashes, broken) for crashes in (0.0, 0.3)]
        for world in worlds:
            world.play()
        calm, stormy = ({name: (s.status, s.done, s.failed) for name, s in world.run.steps.items()} for world in worlds)
        assert worlds[0].run.status == worlds[1].run.status == ("failed" if len(broken) > 2 else "succeeded")
        if len(broken) <= 2:
            assert stormy == calm

    @pytest.mark.parametrize("seed", range(20))
    def test_whatever_counts_as_done_has_its_output(self, seed: int) -> None:
        world = World(graph(*NODES), random.Random(seed), 0.25, frozenset())
        world.play()
        wanted = {Task("split", 0), Task("join", 0), Task("side", 0), Task("last", 0)}
        wanted |= {Task(name, 0, index) for name in ("ocr", "layout") for index in range(5)}
        assert world.outputs.keys() >= wanted
