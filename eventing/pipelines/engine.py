"""One Pipeline at work on one replica: starts runs, works on their tasks, looks at them, tells their end.

Every replica has one, and may do anything for any run: what may be written over what is the ledger's.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec

from eventing import errors
from eventing.bus import Bus
from eventing.courier import Courier, child_trace
from eventing.metrics import Metrics
from eventing.pipelines import bury
from eventing.pipelines.advance import Again, Buried, Cancelled
from eventing.pipelines.advance import begin as first
from eventing.pipelines.graph import Graph
from eventing.pipelines.ledger import Ledger
from eventing.pipelines.look import Looker
from eventing.pipelines.measured import Measured
from eventing.pipelines.plan import function, graph_of
from eventing.pipelines.state import Cause, Run
from eventing.pipelines.store import Store
from eventing.pipelines.values import Reader
from eventing.pipelines.waiting import Waiters
from eventing.pipelines.work import Worker
from eventing.resolve import Resolver
from eventing.settings import Settings
from kfn.api.pipeline import Pipeline
from kfn.clock import utcnow
from kfn.cloudevents import Event
from kfn.cloudevents import nats as binding
from kfn.pipeline import Plan, read
from kfn.pipeline.template import names

log = logging.getLogger(__name__)

ROOM = 0.8  # of the stream; the rest is for runs that are under way
PLANS = 64
_pipelines = msgspec.json.Decoder(Pipeline)


class NotPossible(Exception):
    """The run is not in a state in which that can be done; the message says which."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all engines share. `version` is the newest ready Revision of a function, empty if it is not known."""

    bus: Bus
    courier: Courier
    resolver: Resolver
    settings: Settings
    metrics: Metrics
    measured: Measured
    waiters: Waiters
    bury: bury.Bury
    version: Callable[[str, str], str]


class Engine:
    """`plan` is the newest; runs begin with it from now on."""

    def __init__(self, parts: Parts, uid: str, plan: Plan) -> None:
        self._parts, self.uid, self.plan = parts, uid, plan
        self.namespace, self.name = plan.namespace, plan.name
        self.store = Store(parts.bus, plan.namespace, plan.name)
        self.ledger = Ledger(self.store, self._graph, self._changed)
        self._reader = Reader(self.store)
        worker = Worker(
            parts.bus, parts.courier, parts.resolver, parts.settings, self.store, self.ledger, self._reader, self.plan_of, self._finish
        )  # fmt: skip
        self.work, self.look = worker.work, Looker(self.store, self.ledger, parts.settings, self._finish).work
        self._plans: OrderedDict[int, tuple[Plan, Graph]] = OrderedDict()
        self._used, self._read_at = 0, float("-inf")

    async def plan_of(self, generation: int) -> Plan:
        return (await self._planned(generation))[0]

    async def start(self, id: str, event: Event, trace: dict[str, str], sequence: int = 0) -> Run:
        """A run of that id, if there is none; returns once it is stored. Raises `BusError`."""
        found = await self.ledger.read(id)
        if found is not None:
            return found
        await self._room(len(event.data or b""))
        await self.store.put_start(id, event.data or b"", binding.headers(event))
        plan, graph = await self._planned(self.plan.generation)
        cause = Cause(event.source, event.id, event.type, sequence)
        run = Run(id, plan.generation, cause=cause, trace=child_trace(trace), versions=self._versions(plan))
        run = await self.ledger.begin(first(graph, run, utcnow().timestamp()))
        self._parts.measured.began(self.namespace, self.name)
        return run

    async def retry(self, id: str, step: str) -> Run:
        """Take a run up again that is over, from a step on, or from the one that failed. Raises `BusError`, `NotPossible`, LookupError."""
        run = await self.ledger.read(id, fresh=True)
        if run is None:
            raise LookupError(f"there is no run {id}; it may have expired")
        step = step or run.at
        if not run.is_over:
            raise NotPossible(f"run {id} is under way; cancel it, or wait for its end")
        if step not in run.steps:
            raise NotPossible(f"from: run {id} has no step {step!r}; it has {', '.join(run.steps)}")
        retries = run.retries + 1
        await self.store.put_again(id, retries)
        plan = await self.plan_of(run.generation)
        again = await self.ledger.happen(id, Again(step, retries, self._versions(plan)))
        return again or run

    async def cancel(self, id: str) -> Run | None:
        return await self.ledger.happen(id, Cancelled())

    async def wait(self, id: str, patience: float) -> Run | None:
        """The run once it is over, or as it is after so many seconds."""
        return await self._parts.waiters.end(self.namespace, self.name, id, lambda: self.ledger.read(id, fresh=True), patience)

    async def output(self, run: Run) -> Any:
        """What a run that succeeded gives. Raises `BusError`, `EvaluationError`, `TooMuch`."""
        plan = await self.plan_of(run.generation)
        values = await self._reader.values(plan, run, names(plan.output))
        return plan.output.evaluate(values)

    def _versions(self, plan: Plan) -> dict[str, str]:
        """The Revisions of now, which the run keeps to."""
        found = {name: self._parts.version(plan.namespace, name) for step in plan.steps if (name := function(plan, step))}
        return {name: version for name, version in found.items() if version}

    async def _graph(self, generation: int) -> Graph:
        return (await self._planned(generation))[1]

    async def _planned(self, generation: int) -> tuple[Plan, Graph]:
        found = self._plans.get(generation)
        if found is None:
            stored = await self.store.plan(generation)
            if stored is None:
                raise errors.NoMessage(f"the plan of generation {generation} of pipeline {self.namespace}/{self.name} is gone")
            plan = read(_pipelines.decode(stored))
            found = plan, graph_of(plan)
            self._plans[generation] = found
            if len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        return found

    async def _changed(self, before: Run, run: Run) -> None:
        self._parts.measured.changed(self.namespace, self.name, before, run)
        if run.is_over and not before.is_over:
            log.info("pipeline %s/%s: run %s %s%s", self.namespace, self.name, run.id, run.status, f": {run.error}" if run.error else "")
            await self._parts.waiters.tell(self.namespace, self.name, run.id)

    async def _finish(self, run: Run) -> None:
        """What is left to do for a run that is over."""
        plan = await self.plan_of(run.generation)
        if not bury.is_due(plan, run):
            return
        start = await self.store.start(run.id)
        if start is not None:
            await self._parts.bury(plan, run, self.uid, start)
        await self.ledger.happen(run.id, Buried(run.retries))

    async def _room(self, size: int) -> None:
        """Raises `Full` when the rest of the stream is needed by the runs that there are."""
        now, limit = anyio.current_time(), self._parts.settings.pipeline_max_bytes
        if now - self._read_at > 1:
            self._used, self._read_at = (await self._parts.bus.api(f"STREAM.INFO.{self.store.stream}"))["state"]["bytes"], now
        self._used += 2 * size + 4096  # an output may be as large
        if self._used > ROOM * limit:
            raise errors.Full(f"the runs that are kept use {self._used >> 20} of {limit >> 20} MiB; try again when some have ended")
