"""Brings an event to a source's sink, for as long as it takes: tried as `delivery` says, then to the dead-letter sink, then again.

Nothing is given up here. Where it was read from is told that it is done only after this has returned, so that an event that neither the
sink nor a dead-letter sink takes holds its place, and what waits behind it stays where it is.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from eventing import letter, retry
from eventing.courier import Courier
from eventing.delivery import Policy
from eventing.metrics import Metrics
from kfn.cloudevents import Event

log = logging.getLogger(__name__)

HELD = 10.0  # seconds between attempts on an event that was given up and that no dead-letter sink has taken


@dataclass(frozen=True, slots=True)
class Route:
    """Where the events of one source go. `kind` and `key` (namespace/name) name it in logs and metrics."""

    kind: str
    key: str
    url: str
    policy: Policy
    dead_letter_sink: str = ""

    @property
    def namespace(self) -> str:
        return self.key.partition("/")[0]

    @property
    def what(self) -> str:
        return f"{self.kind} source {self.key}"


class Carrier:
    """Stateless; shared by all sources."""

    def __init__(self, courier: Courier, metrics: Metrics, held: float = HELD) -> None:
        self._courier, self._metrics, self._held = courier, metrics, held

    async def bring(self, latest: Callable[[], Route], event: Event, trace: Mapping[str, str]) -> None:
        """Return when the sink has it, or the dead-letter sink. `latest` gives where it is to go now."""
        attempt = 0
        while True:
            route, attempt = latest(), attempt + 1
            outcome = (await self._courier.deliver(event, route.url, route.policy, trace, sender=route.namespace)).outcome
            if 200 <= outcome.status < 300:  # what it says beside that is nobody's
                self._metrics.sourced(route, "delivered")
                return
            verdict = retry.decide(route.policy, outcome, attempt)
            assert not isinstance(verdict, retry.Ack)
            delay = self._held
            if isinstance(verdict, retry.RetryAfter):
                delay = verdict.delay
                log.info("%s: attempt %d on event %s: %s; again in %.3g s", route.what, attempt, event.id, verdict.reason, delay)
            elif route.dead_letter_sink and await self._hand_over(route, event, verdict, trace):
                log.warning("%s: event %s given up after %d attempts: %s", route.what, event.id, attempt, verdict.reason)
                self._metrics.sourced(route, "dead-lettered")
                return
            else:
                fix = (
                    "its dead-letter sink did not take it either"
                    if route.dead_letter_sink
                    else "set delivery.deadLetterSink to let it pass"
                )
                log.error(
                    "%s: event %s is held after %d attempts: %s; %s; again in %.3g s",
                    route.what, event.id, attempt, verdict.reason, fix, delay,
                )  # fmt: skip
            await anyio.sleep(delay)

    async def _hand_over(self, route: Route, event: Event, verdict: retry.DeadLetter, trace: Mapping[str, str]) -> bool:
        dead = letter.dead(event, verdict, route.url)
        outcome = (await self._courier.deliver(dead, route.dead_letter_sink, route.policy, trace, sender=route.namespace)).outcome
        return 200 <= outcome.status < 300
