"""What the expressions of a step see: start data, the event's attributes, and the outputs that they use, read from the stream.

What the items of one map share is read once and kept for a while, within bounds.
"""

import base64
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec

from eventing.pipelines import plan as plans
from eventing.pipelines.advance import Task
from eventing.pipelines.plan import about
from eventing.pipelines.state import SUCCEEDED, UNKNOWN, Run, mask
from eventing.pipelines.store import Store
from kfn.cloudevents import Event
from kfn.cloudevents import nats as binding
from kfn.cloudevents.json import is_json
from kfn.pipeline import Plan, Step

KEPT = 16  # maps whose values are kept
LARGEST = 16 << 20  # bytes of the outputs that one step may see


class TooMuch(Exception):
    """What a step would see is too large; the message says so."""


@dataclass(slots=True)
class _Shared:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    values: dict[str, Any] | None = None
    items: list[Any] | None = None


class Reader:
    """Of one Pipeline. Methods raise `BusError`, `TooMuch` and `EvaluationError`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shared: OrderedDict[tuple[str, str, int], _Shared] = OrderedDict()

    async def values(self, plan: Plan, run: Run, names: frozenset[str]) -> dict[str, Any]:
        """Everything that these names stand for."""
        event: dict[str, Any] = {}
        if names & {"event", "data"}:
            event = await self._event(run.id)
        outputs: dict[str, Any] = {}
        room = LARGEST
        for step in plan.steps:
            if step.name in names:
                found, size = await self._output(run, step.name)
                room -= size
                if room < 0:
                    raise TooMuch(f"the outputs that it reads are larger than {LARGEST >> 20} MiB in all; let steps answer with references")
                if found is not _NOTHING:
                    outputs[step.name] = found
        return plan.scope(event, about(plan, run), outputs)

    async def of_step(self, plan: Plan, run: Run, step: Step) -> dict[str, Any]:
        names = plans.reads(step)
        if step.map is None:
            return await self.values(plan, run, names)
        shared = self._share(run, step)
        async with shared.lock:
            if shared.values is None:
                shared.values = await self.values(plan, run, names)
            return shared.values

    async def items(self, plan: Plan, run: Run, step: Step) -> list[Any]:
        """The list that a map goes over. Raises `EvaluationError` if it is none."""
        assert step.map is not None
        values = await self.of_step(plan, run, step)
        shared = self._share(run, step)
        if shared.items is None:
            found = step.map.evaluate(values)
            if not isinstance(found, list):
                raise TooMuch(f"spec.steps.{step.name}.map: is {type(found).__name__} and not a list")
            shared.items = found
        return shared.items

    def _share(self, run: Run, step: Step) -> _Shared:
        key = (run.id, step.name, run.steps[step.name].round)
        shared = self._shared.setdefault(key, _Shared())
        self._shared.move_to_end(key)
        if len(self._shared) > KEPT:
            self._shared.popitem(last=False)
        return shared

    async def _event(self, run: str) -> dict[str, Any]:
        found = await self._store.start(run)
        if found is None:
            return {"data": None}
        event = binding.parse(found.headers, found.data)
        return {**event.attributes, "data": _decoded(event)}

    async def _output(self, run: Run, name: str) -> tuple[Any, int]:
        """With its size; a map's is a list, null where an item has none."""
        step = run.steps[name]
        if step.total == UNKNOWN:
            if step.status != SUCCEEDED:
                return _NOTHING, 0
            data = await self._store.output(run.id, Task(name, step.round))
            return msgspec.json.decode(data) if data is not None else None, len(data or b"")
        done = mask(step.done)
        there = [index for index in range(step.total) if done >> index & 1]
        found = await self._store.outputs(run.id, [Task(name, step.round, index) for index in there])
        whole: list[Any] = [None] * step.total
        for index, data in zip(there, found, strict=True):
            whole[index] = msgspec.json.decode(data) if data is not None else None
        return whole, sum(len(data or b"") for data in found)


def _decoded(event: Event) -> Any:
    """JSON as it is, other text as a string, anything else in base64."""
    if not event.data:
        return None
    try:
        return msgspec.json.decode(event.data) if is_json(event.datacontenttype) else event.data.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return base64.b64encode(event.data).decode()


_NOTHING = object()
