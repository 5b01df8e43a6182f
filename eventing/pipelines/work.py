"""One task of a run: see whether it is still wanted, evaluate, call, store the output, and write the run on. Only then it is acknowledged.

A task that comes twice finds its output stored, or the record past it. A call may happen twice; its output counts once.
"""

import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from nats.aio.msg import Msg

from eventing import errors, retry, subjects
from eventing.bus import Bus
from eventing.courier import Courier, child_trace
from eventing.delivery import Policy
from eventing.letter import TTL
from eventing.pipelines import answers
from eventing.pipelines.advance import WHOLE, Done, Failed, Happening, Listed, Passed, Task, Tried, is_wanted
from eventing.pipelines.ledger import Ledger
from eventing.pipelines.look import End
from eventing.pipelines.plan import function
from eventing.pipelines.state import Run
from eventing.pipelines.store import Store
from eventing.pipelines.values import Reader, TooMuch
from eventing.resolve import Resolver, Unresolved
from eventing.retry import Outcome
from eventing.settings import Settings
from eventing.settle import ARRIVAL, MAX_TTL, until_stored
from kfn import pipeline as pipelines
from kfn.clock import micro_timestamp
from kfn.cloudevents import Event
from kfn.cloudevents import nats as binding
from kfn.pipeline import EvaluationError, Plan, Step

log = logging.getLogger(__name__)

MOST_ITEMS = 10_000
REVISION = "Kfn-Revision"  # the gateway sends the request to this Revision of the Service
Plans = Callable[[int], Awaitable[Plan]]


class Worker:
    """Of one Pipeline."""

    def __init__(
        self, bus: Bus, courier: Courier, resolver: Resolver, settings: Settings, store: Store, ledger: Ledger, reader: Reader,
        plans: Plans, end: End,
    ) -> None:  # fmt: skip
        self._bus, self._courier, self._resolver, self._settings = bus, courier, resolver, settings
        self._store, self._ledger, self._reader, self._plans, self._end = store, ledger, reader, plans, end

    async def work(self, message: Msg) -> float | None:
        """As `hands.Work`."""
        told = json.loads(message.data)
        task, id = Task(told["step"], told["round"], told["index"]), self._store.runs.id_of(message.subject)
        run = await self._ledger.read(id)
        if run is None or not is_wanted(run, task):
            run = await self._ledger.read(id, fresh=True)
            if run is None or not is_wanted(run, task):
                if run is not None:
                    await self._ledger.heal(run)  # whoever wrote it past this task may have died before what follows was under way
                return None
        attempt = message.metadata.num_delivered
        what, delay = await self._happening(run, task, attempt)
        run = await self._ledger.happen(id, what)
        if run is not None and run.is_over:
            await self._end(run)
        return delay

    async def _happening(self, run: Run, task: Task, attempt: int) -> tuple[Happening, float | None]:
        plan = await self._plans(run.generation)
        step = plan.step(task.step)
        if attempt > 1 and await self._store.output(run.id, task) is not None:
            return Done(task, attempt, run.versions.get(function(plan, step), "")), None
        try:
            return await self._do(plan, run, step, task, attempt)
        except (EvaluationError, TooMuch) as error:
            return Failed(task, attempt, str(error)), None

    async def _do(self, plan: Plan, run: Run, step: Step, task: Task, attempt: int) -> tuple[Happening, float | None]:
        values = await self._reader.of_step(plan, run, step)
        if task.index == WHOLE:
            if step.when is not None and not step.when.truth(values):
                return Passed(task), None
            if step.map is not None:
                total = len(await self._reader.items(plan, run, step))
                if total > MOST_ITEMS:
                    raise TooMuch(f"spec.steps.{step.name}.map: has {total} items, at most {MOST_ITEMS} are possible")
                return Listed(task, total), None
        else:
            items = await self._reader.items(plan, run, step)
            values = {**values, "item": items[task.index], "index": task.index}
        body = msgspec.json.encode(step.input.evaluate(values))
        outcome, output = await (self._call(plan, run, step, task, body) if step.target else self._emit(plan, run, step, task, body))
        return await self._judged(plan, run, step, task, attempt, outcome, output)

    async def _judged(
        self, plan: Plan, run: Run, step: Step, task: Task, attempt: int, outcome: Outcome, output: bytes
    ) -> tuple[Happening, float | None]:
        version = run.versions.get(function(plan, step), "")
        verdict = retry.decide(Policy(retry=step.policy.retries, delay=0), outcome, attempt, self._settings.max_backoff)
        if isinstance(verdict, retry.Ack):
            await until_stored(lambda: self._store.put_output(run.id, task, output), f"the output of {task} of run {run.id}")
            return Done(task, attempt, version), None
        reason = _told(verdict.reason, outcome)
        if isinstance(verdict, retry.RetryAfter):
            delay = max(verdict.delay, pipelines.delay(step.policy, attempt, random.random()))  # noqa: S311 - spreads load, hides nothing
            return Tried(task, attempt, reason), delay
        log.warning("pipeline %s/%s: run %s: step %s failed: %s", plan.namespace, plan.name, run.id, step.name, reason)
        return Failed(task, attempt, reason), None

    async def _call(self, plan: Plan, run: Run, step: Step, task: Task, body: bytes) -> tuple[Outcome, bytes]:
        assert step.target is not None
        try:
            url = await self._resolver.url(step.target, plan.namespace, f"spec.steps.{step.name}")
        except Unresolved as error:
            return Outcome(problem=str(error)), b""
        version = run.versions.get(function(plan, step), "")
        pinned = {REVISION: version} if version else {}
        event = _event(plan, run, task, "dev.kfn.pipeline.step", body)
        policy = Policy(timeout=step.policy.timeout)
        outcome, response = await self._courier.call(event, url, policy, _trace(run), sender=plan.namespace, extra=pinned)
        if response is None or not 200 <= outcome.status < 300:
            return outcome, b""
        try:
            return outcome, answers.output(response, self._settings.max_reply)
        except answers.Unusable as error:
            return Outcome(422, problem=str(error)), b""  # trying again would not change it

    async def _emit(self, plan: Plan, run: Run, step: Step, task: Task, body: bytes) -> tuple[Outcome, bytes]:
        """Publish it into the Broker, once, however often this is done."""
        event = _event(plan, run, task, step.emit, body).with_attributes(**{TTL: str(MAX_TTL), ARRIVAL: micro_timestamp()})
        place = plan.namespace, step.broker
        subject = subjects.event(*place, event.type, event.attributes.get("partitionkey", ""))
        headers = {**binding.headers(event), **_trace(run)}
        id = subjects.event_id(event.source, event.id)
        try:
            await self._bus.publish(subjects.stream(*place), subject, headers, body, id=id)
        except (errors.Unavailable, errors.Full, errors.NoStream) as error:
            return Outcome(problem=f"broker {step.broker} does not take it: {error}"), b""
        except errors.BusError as error:
            return Outcome(422, problem=f"broker {step.broker} refused it: {error}"), b""
        return Outcome(202), body


def _event(plan: Plan, run: Run, task: Task, type_: str, body: bytes) -> Event:
    """What a function is called with. Its id is the same for every attempt, so that a function can tell that it has seen it."""
    place = f"{task.step}-{task.round}" + (f"-{task.index}" if task.index != WHOLE else "")
    return Event(
        {
            "specversion": "1.0",
            "id": f"{run.id}-{place}",
            "source": f"/apis/kfn.dev/v1alpha1/namespaces/{plan.namespace}/pipelines/{plan.name}",
            "type": type_,
            "datacontenttype": "application/json",
            "kfnrun": run.id,
            "kfnstep": task.step,
        },
        body,
    )


def _trace(run: Run) -> Mapping[str, str]:
    return child_trace(run.trace)


def _told(reason: str, outcome: Outcome) -> str:
    """With the beginning of what was answered, which mostly says why."""
    if outcome.problem or not outcome.body:
        return reason
    return f"{reason}: {outcome.body[:300].decode('utf-8', 'replace')}"
