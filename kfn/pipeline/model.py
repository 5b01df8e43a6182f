"""The plan of a Pipeline: everything that its runtime decides by, as frozen values. `kfn.pipeline.read` makes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfn.api.meta import Destination
from kfn.api.pipeline import Start
from kfn.pipeline import bounds
from kfn.pipeline.expression import EvaluationError, Expression
from kfn.pipeline.template import Template


@dataclass(frozen=True, slots=True)
class Need:
    """A step that comes before. When it was skipped or failed with `onError: continue`, what needs it is skipped too, unless `optional`."""

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds. `retries` are beside the first attempt; `on_error` is fail, dlq or continue."""

    retries: int = 3
    initial: float = 1.0
    factor: float = 2.0
    max: float = 60.0
    jitter: bool = True
    timeout: float = 300.0
    on_error: str = "fail"


@dataclass(frozen=True, slots=True)
class Join:
    """`mode` all: begin when every need is done; any: when the first has an output. `window`: seconds after the first need is done from
    which the step begins with what is there, None for no such end. `min_success`: the share of needs, and of each map's items, that must
    have an output; the items that have none are null in the list."""

    mode: str = "all"
    window: float | None = None
    min_success: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `target` is called with `input`; where it is None, an event of the type `emit` with `input` as data goes to `broker`."""

    name: str
    target: Destination | None
    emit: str
    broker: str
    needs: tuple[Need, ...]
    input: Template
    map: Expression | Template | None
    max_in_flight: int
    when: Expression | None
    join: Join
    policy: Policy


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` are in an order in which each comes after its needs, otherwise as the author wrote them. `finals` are those that no other
    needs. `key` gives the text by which runs are ordered."""

    namespace: str
    name: str
    generation: int
    start: Start | None
    http: bool
    key: Expression | None
    timeout: float
    steps: tuple[Step, ...]
    finals: tuple[str, ...]
    output: Template

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def scope(self, event: Mapping[str, Any], run: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """What expressions may read: `event` (its attributes, and `data`), `data` for `event.data`, `run` (id, pipeline, namespace,
        generation, started), and every step by its name: its output, or an empty object where it has none, so that `has(fraud.score)`
        is false. A map step's items add `item` and `index`. Raises `EvaluationError` for what is nested too deeply for any expression."""
        for name, value in (("event", event), *outputs.items()):
            if bounds.is_too_deep(value):
                raise EvaluationError(f"{name}: is nested more than {bounds.DEEPEST} levels deep; send less, or flatter data")
        return {
            **{step.name: outputs.get(step.name, {}) for step in self.steps},
            "event": event,
            "data": event.get("data"),
            "run": run,
        }


def delay(policy: Policy, attempt: int, chance: float) -> float:
    """Seconds to wait after the attempt with this number, from 1. `chance`, from 0 to 1, spreads it over the upper half."""
    try:
        whole = min(policy.max, policy.initial * policy.factor ** (attempt - 1))
    except OverflowError:
        whole = policy.max
    return whole * (0.5 + 0.5 * chance) if policy.jitter else whole
