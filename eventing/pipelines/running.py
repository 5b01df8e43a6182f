"""The Pipelines at work on this replica: their engines, a pair of hands for each consumer, and the events that start runs."""

import logging
from collections.abc import Callable, Mapping

import anyio
from anyio.abc import TaskGroup

from eventing import errors
from eventing.delivery import Policy
from eventing.keyed import Keyed
from eventing.match import Filter
from eventing.pipelines.engine import Engine, NotPossible, Parts
from eventing.pipelines.hands import Hands
from eventing.pipelines.names import WATCH, consumer, dead_letters, pipeline_at, run_of
from eventing.pipelines.state import FAILED
from eventing.running import Dispatchers
from eventing.settle import Subscription
from kfn.cloudevents import Event
from kfn.pipeline import Plan

log = logging.getLogger(__name__)


class Engines:
    """`lost` is called with a key when a consumer of that Pipeline is gone, on its stream or on its Broker's."""

    def __init__(self, parts: Parts, tasks: TaskGroup, lost: Callable[[str], None]) -> None:
        self._parts, self._lost = parts, lost
        self._engines: dict[str, Engine] = {}
        self._hands: Keyed[Hands] = Keyed(tasks)
        starter = Starter(self._engines.get)
        self.starting = Dispatchers(parts.bus, starter, parts.settings, parts.metrics, tasks, lost)

    def get(self, namespace: str, name: str) -> Engine | None:
        return self._engines.get(f"{namespace}/{name}")

    async def ensure(self, uid: str, plan: Plan, steps: frozenset[str], filter: Filter | None) -> None:
        """Run it: `steps` are those of all its plans, `filter` the events that start it, None if none do."""
        key = f"{plan.namespace}/{plan.name}"
        engine = self._engines.get(key)
        if engine is not None and engine.uid != uid:
            await self.stop(key)
            engine = None
        if engine is None:
            engine = self._engines[key] = Engine(self._parts, uid, plan)
        engine.plan = plan
        wanted = {f"{key}/{WATCH}": (WATCH, engine.look)} | {f"{key}/{(of := consumer(step))}": (of, engine.work) for step in steps}
        for at in [at for at in self._hands if at.startswith(f"{key}/") and at not in wanted]:
            await self._hands.stop(at)
        for at, (name, work) in wanted.items():
            if self._hands.get(at) is None:
                hands = Hands(self._parts.bus, self._parts.settings, engine.store.stream, name, work, lambda: self._lost(key))
                self._hands.start(at, hands, _run)
        if filter is not None and plan.start is not None:
            broker = plan.start.broker or "default"
            sub = Subscription(plan.namespace, broker, dead_letters(plan.name), uid, "", "", Policy())
            await self.starting.ensure(key, sub, filter)
        else:
            await self.starting.stop(key)

    async def stop(self, key: str) -> None:
        """Return when nothing of it runs here."""
        await self.starting.stop(key)
        for at in [at for at in self._hands if at.startswith(f"{key}/")]:
            await self._hands.stop(at)
        engine = self._engines.pop(key, None)
        if engine is not None:
            self._parts.measured.forget(engine.namespace, engine.name)


class Starter:
    """What becomes of an event that a Pipeline wants: a run, stored before the event is acknowledged. As `settle.Settler`."""

    def __init__(self, engine: Callable[[str], Engine | None]) -> None:
        self._engine = engine

    async def settle(
        self, latest: Callable[[], Subscription], event: Event, attempt: int, sequence: int, trace: Mapping[str, str]
    ) -> float | None:
        sub = latest()
        engine = self._engine(f"{sub.namespace}/{pipeline_at(sub.name)}")
        if engine is None:
            return 1.0
        try:
            run = await engine.start(run_of(event.source, event.id), event, dict(trace), sequence)
            if run.status == FAILED and run.buried and run.cause.sequence != sequence:  # it comes from the dead letters
                await engine.retry(run.id, "")
        except (errors.BusError, NotPossible, LookupError) as error:
            log.info("pipeline %s/%s: event %s does not start a run yet: %s", engine.namespace, engine.name, event.id, error)
            return 5.0 if isinstance(error, errors.Full) else 1.0
        return None

    async def give_up_malformed(self, sub: Subscription, event: Event, sequence: int, problem: str) -> None:
        log.error("pipeline %s/%s: what has sequence %d is no event: %s", sub.namespace, sub.name, sequence, problem)


async def _run(hands: Hands) -> None:
    while True:
        try:
            await hands.run()
        except Exception:
            log.exception("%s: it failed; starting it again", hands.what)
            await anyio.sleep(1)
