"""How a run goes on: its record and what has happened give its next record; the record says what is to be done. Pure.

What has happened may come twice, late, or in any order; what does not concern the run as it stands changes nothing. What is to be done
follows from the record alone, so it can be worked out again after a crash between two writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from eventing.pipelines.graph import Graph, Node
from eventing.pipelines.state import CANCELLED, FAILED, RUNNING, SKIPPED, SUCCEEDED, UNKNOWN, WAITING, Run, Step, digits, mask

WHOLE = -1  # the index of a step that is no map, and of the look at a map's list
ERROR = 1000  # characters of an error that are kept


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work: call a step's function for an item, or see which items there are (`index` WHOLE)."""

    step: str
    round: int
    index: int = WHOLE


@dataclass(frozen=True, slots=True)
class Timer:
    """Look at the run again at that time."""

    step: str
    round: int
    at: float


@dataclass(frozen=True, slots=True)
class Listed:
    """A map has so many items."""

    task: Task
    total: int


@dataclass(frozen=True, slots=True)
class Passed:
    """`when` was false."""

    task: Task


@dataclass(frozen=True, slots=True)
class Done:
    """The output is stored."""

    task: Task
    attempt: int = 1
    version: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt failed; there will be another."""

    task: Task
    attempt: int
    error: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The last attempt failed."""

    task: Task
    attempt: int
    error: str


@dataclass(frozen=True, slots=True)
class Looked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody wants it to end."""


@dataclass(frozen=True, slots=True)
class Again:
    """Begin anew from that step on, after the end. `retries` is the count that this makes, `versions` are the Revisions of now."""

    step: str
    retries: int
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Buried:
    """The dead letter of a failed run is stored."""

    retries: int


OfTask = Listed | Passed | Done | Tried | Failed
Happening = OfTask | Looked | Cancelled | Again | Buried


def begin(graph: Graph, run: Run, now: float) -> Run:
    """The first record."""
    steps = {node.name: Step() for node in graph.nodes}
    return _settle(graph, replace(run, steps=steps, started=now, deadline=now + graph.timeout), now)


def advance(graph: Graph, run: Run, what: Happening, now: float) -> Run:
    """The record after it, the same object if nothing changed."""
    if isinstance(what, Again):
        return _again(graph, run, what, now)
    if isinstance(what, Buried):
        return replace(run, buried=True) if run.status == FAILED and what.retries == run.retries and not run.buried else run
    if run.is_over:
        return run
    if isinstance(what, Cancelled):
        return _end(run, CANCELLED, "cancelled", "", now)
    if isinstance(what, Looked):
        return _settle(graph, run, now)
    step = run.steps.get(what.task.step)
    if not is_wanted(run, what.task) or step is None:
        return run
    changed = _stepped(graph, step, what, now)
    return _settle(graph, replace(run, steps={**run.steps, what.task.step: changed}), now)


def is_wanted(run: Run, task: Task) -> bool:
    """Whether the run still waits for this piece of work."""
    step = run.steps.get(task.step)
    if run.is_over or step is None or step.status != RUNNING or step.round != task.round:
        return False
    if task.index == WHOLE:
        return step.total == UNKNOWN
    return 0 <= task.index < step.total and not step.finished >> task.index & 1


def due(graph: Graph, run: Run) -> Iterator[Task | Timer]:
    """What must be under way for the run to go on."""
    if run.is_over:
        return
    for node in graph.nodes:
        step = run.steps[node.name]
        if step.status == WAITING and step.window:
            yield Timer(node.name, step.round, step.window)
        if step.status != RUNNING:
            continue
        if step.total == UNKNOWN:
            yield Task(node.name, step.round)
            continue
        finished = step.finished
        for index in range(min(step.total, finished.bit_count() + node.in_flight)):
            if not finished >> index & 1:
                yield Task(node.name, step.round, index)


def next_look(run: Run) -> float:
    """When time alone changes something."""
    return min([run.deadline, *(s.window for s in run.steps.values() if s.status == WAITING and s.window)])


def _stepped(graph: Graph, step: Step, what: OfTask, now: float) -> Step:
    """One step after something happened to its work."""
    if isinstance(what, Listed):
        return replace(step, total=what.total)
    if isinstance(what, Passed):
        return replace(step, status=SKIPPED, ended=now)
    attempts = max(step.attempts, what.attempt)
    if isinstance(what, Tried):
        return replace(step, attempts=attempts, error=what.error[:ERROR])
    index = what.task.index
    if isinstance(what, Failed):
        error = what.error[:ERROR] if index == WHOLE else f"item {index}: {what.error}"[:ERROR]
        if index != WHOLE and graph.tolerated(what.task.step):
            return replace(step, attempts=attempts, error=error, failed=digits(mask(step.failed) | 1 << index))
        return replace(step, status=FAILED, ended=now, attempts=attempts, error=error)
    step = replace(step, attempts=attempts, version=what.version or step.version)
    if index == WHOLE:
        return replace(step, status=SUCCEEDED, ended=now, error="")
    return replace(step, done=digits(mask(step.done) | 1 << index))


def _settle(graph: Graph, run: Run, now: float) -> Run:
    """Let everything follow that follows without any work."""
    if now >= run.deadline:
        return _end(run, FAILED, f"the run did not end within {graph.timeout:g} s", _slowest(graph, run), now)
    steps = dict(run.steps)
    for node in graph.nodes:
        step = steps[node.name]
        if step.status == RUNNING and 0 <= step.total == step.finished.bit_count():
            steps[node.name] = replace(step, status=SUCCEEDED, ended=now)
        elif step.status == WAITING:
            steps[node.name] = _ready(graph, node, steps, now)
        if steps[node.name].status == FAILED and not graph.tolerated(node.name):
            return _end(replace(run, steps=steps), FAILED, steps[node.name].error, node.name, now)
    for node in reversed(graph.nodes):
        if not steps[node.name].is_over and _is_idle(graph, node, steps):
            steps[node.name] = replace(steps[node.name], status=CANCELLED, ended=now, error="no step waits for it any more")
    run = replace(run, steps=steps) if steps != run.steps else run
    if all(step.is_over for step in steps.values()):
        return replace(run, status=SUCCEEDED, ended=now)
    return run


def _ready(graph: Graph, node: Node, steps: dict[str, Step], now: float) -> Step:
    """A waiting step: begins, is skipped, fails for want of enough, or waits on."""
    step = steps[node.name]
    needed = [(steps[need.step], need) for need in node.needs]
    if node.join.any and needed:
        if any(s.status == SUCCEEDED for s, _ in needed):
            return replace(step, status=RUNNING, started=now, window=0.0)
        if not all(s.is_over for s, _ in needed):
            return _windowed(node, step, needed_over=any(s.is_over for s, _ in needed), now=now)
        nothing = all(s.status in (SKIPPED, CANCELLED) for s, _ in needed)
        return replace(
            step, status=SKIPPED if nothing else FAILED, ended=now, window=0.0, error="" if nothing else "nothing that it needs succeeded"
        )
    if not all(s.is_over for s, _ in needed):
        step = _windowed(node, step, needed_over=any(s.is_over for s, _ in needed), now=now)
        if not step.window or now < step.window:
            return step
    missing = {SKIPPED, CANCELLED} if node.tolerates else {SKIPPED, CANCELLED, FAILED}
    if any(s.status in missing and not need.optional for s, need in needed):
        return replace(step, status=SKIPPED, ended=now, window=0.0)
    return _counted(graph, node, steps, now)


def _windowed(node: Node, step: Step, *, needed_over: bool, now: float) -> Step:
    """Opens its window with the first that has ended."""
    if node.join.window is not None and not step.window and needed_over:
        return replace(step, window=now + node.join.window)
    if node.join.any and step.window and now >= step.window:
        return replace(step, status=FAILED, ended=now, window=0.0, error=f"nothing that it needs succeeded within {node.join.window:g} s")
    return step


def _counted(graph: Graph, node: Node, steps: dict[str, Step], now: float) -> Step:
    """All that it waits for is there, or will not be waited for: begin if it is enough."""
    step, least = steps[node.name], node.join.min_success
    poor = []
    for need in node.needs:
        done, total = _share(graph, need.step, steps[need.step], strict=least < 1)
        if not need.optional and done < least * total - 1e-9:
            poor.append(f"{done} of {total} of {need.step}" if total > 1 else need.step)
    wanted = sum(not need.optional for need in node.needs)
    if wanted - len(poor) < least * wanted - 1e-9:
        error = f"not enough succeeded of what it needs: {', '.join(poor)}; {least:.4g} of them must"
        return replace(step, status=FAILED, ended=now, window=0.0, error=error)
    return replace(step, status=RUNNING, started=now, window=0.0)


def _share(graph: Graph, name: str, step: Step, *, strict: bool) -> tuple[int, int]:
    """How much of it has succeeded. Where a run goes on without an item, a map that is over is whole, unless somebody counts."""
    if step.total == UNKNOWN or (step.status == SUCCEEDED and graph.by_name[name].goes_on and not strict):
        return int(step.status == SUCCEEDED), 1
    return step.done_count, step.total


def _is_idle(graph: Graph, node: Node, steps: dict[str, Step]) -> bool:
    """Nobody waits for it: all that need it have begun, or ended, without it."""
    after = graph.after[node.name]
    return bool(after) and all(steps[m.name].status != WAITING for m in after)


def _end(run: Run, status: str, error: str, at: str, now: float) -> Run:
    steps = {name: step if step.is_over else replace(step, status=CANCELLED, ended=now, window=0.0) for name, step in run.steps.items()}
    if at and status == FAILED and not run.steps[at].is_over:
        steps[at] = replace(run.steps[at], status=FAILED, ended=now, error=run.steps[at].error or error, window=0.0)
    return replace(run, status=status, ended=now, error=error, at=at, steps=steps)


def _slowest(graph: Graph, run: Run) -> str:
    """The first step that was at work when time was over."""
    return next((n.name for n in graph.nodes if run.steps[n.name].status == RUNNING), "")


def _again(graph: Graph, run: Run, what: Again, now: float) -> Run:
    if not run.is_over or what.retries != run.retries + 1 or what.step not in run.steps:
        return run
    anew = graph.onwards(what.step)
    steps = {
        name: Step(round=step.round + 1) if name in anew or step.status not in (SUCCEEDED, SKIPPED) else step
        for name, step in run.steps.items()
    }
    fresh = replace(
        run,
        status=RUNNING,
        steps=steps,
        ended=0.0,
        error="",
        at="",
        buried=False,
        retries=what.retries,
        deadline=now + graph.timeout,
        versions={**run.versions, **what.versions},
    )
    return _settle(graph, fresh, now)
