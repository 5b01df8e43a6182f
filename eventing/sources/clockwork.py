"""Fires what is due: one task a PingSource, which sleeps until its next time and sends one event.

An event's id is made of the source and the time it was due, so that two dispatchers that fire the same one, as at a change of
leader, leave one event in a Broker. What is due while nobody runs is not made up for, as with Knative's.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import anyio
from anyio.abc import TaskGroup

from eventing import retry
from eventing.courier import Courier
from eventing.delivery import DEFAULT, policy
from eventing.keyed import Keyed
from eventing.metrics import Metrics
from kfn.api.schedule import Schedule
from kfn.clock import micro_timestamp, utcnow
from kfn.cloudevents import Event

log = logging.getLogger(__name__)

LOOK = 30.0  # seconds; the longest sleep, because the wall clock may be set
LATE = timedelta(seconds=60)  # what is later than this, after a machine slept, is left out
AT_ONCE = 16  # events of one source that are still being tried; the next are left out and counted
"""A sink that is away for the 7 minutes that the retries of one event last would otherwise pile up one task a second."""


@dataclass(frozen=True, slots=True)
class Shot:
    """An event but for its id and time, and the URL it goes to."""

    uid: str
    url: str
    attributes: Mapping[str, str]
    data: bytes | None

    def event(self, due: datetime) -> Event:
        return Event({**self.attributes, "id": f"{self.uid}-{int(due.timestamp())}", "time": micro_timestamp(due)}, self.data)


@dataclass(slots=True)
class _Running:
    shot: Shot
    schedule: Schedule
    under_way: int = 0


class Clockwork:
    """`tasks` is where it runs; `now` is the wall clock."""

    def __init__(self, courier: Courier, metrics: Metrics, tasks: TaskGroup, now: Callable[[], datetime] = utcnow) -> None:
        self._courier, self._metrics, self._now = courier, metrics, now
        self._running: Keyed[_Running] = Keyed(tasks)
        self._policy = policy(DEFAULT)

    def __len__(self) -> int:
        return len(self._running)

    async def ensure(self, key: str, shot: Shot, schedule: Schedule) -> None:
        """Run it. A change of the event alone does not touch the clock."""
        running = self._running.get(key)
        if running is not None and running.schedule == schedule and running.shot.uid == shot.uid:
            running.shot = shot
            return
        await self.stop(key)
        self._running.start(key, _Running(shot, schedule), partial(self._run, key))

    async def stop(self, key: str) -> None:
        """Return when nothing of it runs; an event whose delivery was being tried again is given up."""
        await self._running.stop(key)

    async def _run(self, key: str, entry: _Running) -> None:
        async with anyio.create_task_group() as shots:
            await self._tick(key, entry, shots)

    async def _tick(self, key: str, entry: _Running, shots: TaskGroup) -> None:
        due = entry.schedule.after(self._now())
        while due is not None:
            now = self._now()
            if now < due:
                await anyio.sleep(min((due - now).total_seconds(), LOOK))
                nearer = entry.schedule.after(self._now())
                if nearer is not None and nearer < due:
                    due = nearer  # the wall clock was set back
                continue
            if now - due > LATE:
                self._left_out(key, "the machine was asleep when it was due")
            elif entry.under_way >= AT_ONCE:
                self._left_out(key, f"{AT_ONCE} earlier ones are still being tried")
            else:
                entry.under_way += 1
                shots.start_soon(self._send, key, entry, entry.shot, due)
            due = entry.schedule.after(max(due, now))

    async def _send(self, key: str, entry: _Running, shot: Shot, due: datetime) -> None:
        try:
            await self._deliver(key, shot, shot.event(due))
        except Exception:
            log.exception("ping source %s: an event could not be sent", key)
        finally:
            entry.under_way -= 1

    async def _deliver(self, key: str, shot: Shot, event: Event) -> None:
        attempt = 1
        while True:
            answer = await self._courier.deliver(event, shot.url, self._policy, {}, sender=key.partition("/")[0])
            verdict = retry.decide(self._policy, answer.outcome, attempt)
            if isinstance(verdict, retry.RetryAfter):
                await anyio.sleep(verdict.delay)
                attempt += 1
                continue
            if isinstance(verdict, retry.DeadLetter):
                log.warning("ping source %s: event %s given up after %d attempts: %s", key, event.id, attempt, verdict.reason)
            self._metrics.pinged(key, isinstance(verdict, retry.Ack))
            return

    def _left_out(self, key: str, why: str) -> None:
        log.warning("ping source %s: an event was left out: %s", key, why)
        self._metrics.pinged(key, False)
