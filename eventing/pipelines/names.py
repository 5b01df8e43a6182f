"""Where a Pipeline's runs stand on the bus: one stream, and below each run's id all that it has. Pure.

`kfn.NAMESPACE.pipelines/NAME` escaped is the stem, so no Broker has subjects of that kind: `/` is in no name.
"""

import hashlib

from eventing import subjects
from eventing.pipelines.advance import WHOLE, Task
from eventing.subjects import token

PREFIX = "KFN_PIPE_"
ENDED = "kfn-ended"  # core NATS
WATCH = "watch"  # the consumer that looks at runs by time; steps' consumers have a capital, so none is called so


def stream(namespace: str, name: str) -> str:
    return f"{PREFIX}{_upper(namespace)}_{_upper(name)}"


def everything(namespace: str, name: str) -> str:
    return f"{_stem(namespace, name)}.>"


def plan(namespace: str, name: str, generation: int) -> str:
    """The spec that the runs of a generation follow."""
    return f"{_stem(namespace, name)}.spec.{generation}"


def plans(namespace: str, name: str) -> str:
    return f"{_stem(namespace, name)}.spec.*"


class Runs:
    """The subjects of one Pipeline's runs."""

    def __init__(self, namespace: str, name: str) -> None:
        self._stem = f"{_stem(namespace, name)}.run"

    def all_of(self, run: str) -> str:
        return f"{self._stem}.{run}.>"

    @property
    def records(self) -> str:
        return f"{self._stem}.*.record"

    @property
    def starts(self) -> str:
        return f"{self._stem}.*.start"

    def record(self, run: str) -> str:
        return f"{self._stem}.{run}.record"

    def start(self, run: str) -> str:
        """Its data; also what makes somebody look at it from time to time."""
        return f"{self._stem}.{run}.start"

    def again(self, run: str, mark: str) -> str:
        """As `start`, for a run that is taken up again; each `mark` makes somebody look anew."""
        return f"{self._stem}.{run}.again.{mark}"

    def timer(self, run: str, step: str, round: int) -> str:
        return f"{self._stem}.{run}.timer.{token(step)}.{round}"

    def output(self, run: str, task: Task) -> str:
        return f"{self._stem}.{run}.out.{_place(task)}"

    def task(self, run: str, task: Task) -> str:
        return f"{self._stem}.{run}.task.{_place(task)}"

    def tasks(self, step: str) -> str:
        """Those of a step, of all runs."""
        return f"{self._stem}.*.task.{token(step)}.>"

    @property
    def watched(self) -> tuple[str, ...]:
        return self.starts, f"{self._stem}.*.again.>", f"{self._stem}.*.timer.>"

    def id_of(self, subject: str) -> str:
        return subject[len(self._stem) + 1 :].partition(".")[0]


def consumer(step: str) -> str:
    return f"S_{token(step).replace('%', '=')}"


def ended(namespace: str, name: str, run: str) -> str:
    """Told on core NATS, to whoever waits, that a run has ended."""
    return f"{ENDED}.{token(namespace)}.{token(name)}.{run}"


def run_of(source: str, id: str) -> str:
    """The run that an event starts, however often it comes."""
    return "e" + hashlib.sha256(subjects.event_id(source, id).encode()).hexdigest()[:31]


def dead_letters(name: str) -> str:
    """What stands for a Pipeline among a Broker's dead letters, where Triggers have their name; none has a slash."""
    return f"pipelines/{name}"


def pipeline_at(trigger: str) -> str:
    """The Pipeline of that; empty for a Trigger's name."""
    return trigger.removeprefix("pipelines/") if trigger.startswith("pipelines/") else ""


def _stem(namespace: str, name: str) -> str:
    return f"kfn.{token(namespace)}.{token(f'pipelines/{name}')}"


def _place(task: Task) -> str:
    return f"{token(task.step)}.{task.round}.{'-' if task.index == WHOLE else task.index}"


def _upper(name: str) -> str:
    return subjects.stream(name, "").removeprefix("KFN_").removesuffix("_")
