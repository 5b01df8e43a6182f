"""What becomes of one event for one Trigger: deliver, publish the reply, or end it among the dead letters.

An event counts as settled only when what follows from it is stored: a reply or dead letter that cannot be stored or handed over
now is tried again here, while the event stays unacknowledged.
"""

import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio

from eventing import errors, retry, subjects
from eventing.bus import Bus
from eventing.courier import TTL, Courier, child_trace
from eventing.delivery import Policy
from eventing.metrics import Metrics
from eventing.settings import Settings
from kfn.clock import micro_timestamp
from kfn.cloudevents import Event
from kfn.cloudevents import nats as binding

log = logging.getLogger(__name__)

ARRIVAL = "knativearrivaltime"
MAX_TTL = 255


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a Trigger asks for, resolved. `dead_letter_sink` empty means the Broker's dead-letter stream."""

    namespace: str
    broker: str
    name: str
    uid: str
    subscriber: str
    dead_letter_sink: str
    policy: Policy


class Settler:
    """Stateless; shared by all Triggers."""

    def __init__(self, bus: Bus, courier: Courier, settings: Settings, metrics: Metrics) -> None:
        self._bus, self._courier, self._settings, self._metrics = bus, courier, settings, metrics

    async def settle(self, sub: Subscription, event: Event, attempt: int, sequence: int, trace: Mapping[str, str]) -> float | None:
        """None: settled, acknowledge. A number: deliver again after so many seconds."""
        with self._metrics.delivery(sub):
            answer = await self._courier.deliver(event, sub.subscriber, sub.policy, trace)
        self._metrics.attempted(sub, answer.outcome.status)
        verdict = retry.decide(sub.policy, answer.outcome, attempt, self._settings.max_backoff)
        if isinstance(verdict, retry.RetryAfter):
            self._metrics.retried(sub)
            log.info(
                "trigger %s/%s: attempt %d on event %s: %s; again in %.3g s",
                sub.namespace,
                sub.name,
                attempt,
                event.id,
                verdict.reason,
                verdict.delay,
            )
            return verdict.delay
        if isinstance(verdict, retry.Ack):
            try:
                for number, reply in enumerate(answer.replies):
                    await self._reply(sub, event, reply, number, answer.trace or trace)
            except (errors.TooLarge, errors.Refused) as error:
                verdict = retry.DeadLetter(f"the reply cannot be published: {error}", 502, str(error).encode())
            else:
                self._metrics.delivered(sub)
                return None
        await self._give_up(sub, event, verdict, attempt, sequence, trace)
        return None

    async def give_up_malformed(self, sub: Subscription, event: Event, sequence: int, problem: str) -> None:
        await self._keep(sub, event, retry.DeadLetter(problem, 400, problem.encode()), 1, sequence, "malformed")

    async def _reply(self, sub: Subscription, event: Event, reply: Event, number: int, trace: Mapping[str, str]) -> None:
        left = ttl(event) - 1
        if left <= 0:
            self._metrics.looped(sub)
            log.error("trigger %s/%s: reply %s dropped: it went around %d times (%s)", sub.namespace, sub.name, reply.id, MAX_TTL, TTL)
            return
        reply = reply.with_attributes(**{TTL: str(left), ARRIVAL: micro_timestamp()})
        id = subjects.reply_id(sub.uid, event.source, event.id) + (f":{number}" if number else "")
        subject = subjects.event(sub.namespace, sub.broker, reply.type, reply.attributes.get("partitionkey", ""))
        headers = {**binding.headers(reply), **child_trace(trace)}
        stream = subjects.stream(sub.namespace, sub.broker)
        await _until_stored(lambda: self._bus.publish(stream, subject, headers, reply.data or b"", id=id), f"reply {reply.id}")
        self._metrics.replied(sub)

    async def _give_up(
        self, sub: Subscription, event: Event, verdict: retry.DeadLetter, attempt: int, sequence: int, trace: Mapping[str, str]
    ) -> None:
        log.warning("trigger %s/%s: event %s given up after %d attempts: %s", sub.namespace, sub.name, event.id, attempt, verdict.reason)
        dead = event.with_attributes(
            **{TTL: None},
            knativeerrordest=sub.subscriber,
            knativeerrorcode=str(verdict.code),
            knativeerrordata=base64.b64encode(verdict.data[:1024]).decode() or None,
        )
        reason = "undeliverable"
        if sub.dead_letter_sink:
            if await self._hand_over(sub, dead, trace):
                self._metrics.dead_lettered(sub, "sink")
                return
            reason = "sink-failed"
        await self._keep(sub, dead, verdict, attempt, sequence, reason)

    async def _hand_over(self, sub: Subscription, dead: Event, trace: Mapping[str, str]) -> bool:
        """Bring an event to the dead-letter sink, for as long as patience lasts. False: it did not take it."""
        end = anyio.current_time() + self._settings.dead_letter_patience
        attempt = 0
        while True:
            attempt += 1
            answer = await self._courier.deliver(dead, sub.dead_letter_sink, sub.policy, trace)
            if 200 <= answer.outcome.status < 300:
                return True
            wait = min(max(0.1, retry.backoff(sub.policy, attempt)), 10.0)
            if not retry.retriable(answer.outcome) or anyio.current_time() + wait > end:
                log.error(
                    "trigger %s/%s: the dead-letter sink %s did not take event %s", sub.namespace, sub.name, sub.dead_letter_sink, dead.id
                )
                return False
            await anyio.sleep(wait)

    async def _keep(self, sub: Subscription, dead: Event, verdict: retry.DeadLetter, attempt: int, sequence: int, reason: str) -> None:
        """Store an event among the Broker's dead letters; returns once it is on disk."""
        stream = subjects.dead_stream(sub.namespace, sub.broker)
        subject = subjects.dead_letter(sub.namespace, sub.broker, sub.name, reason)
        told = binding.headers(Event({"error": verdict.reason[:512]}))
        headers = {
            **binding.headers(dead),
            "Kfn-Error": told["ce-error"],
            "Kfn-Trigger": sub.uid,
            "Kfn-Trigger-Name": sub.name,
            "Kfn-Attempts": str(attempt),
            "Kfn-Sequence": str(sequence),
        }
        id = subjects.dead_id(subjects.consumer(sub.uid), sequence)
        await _until_stored(lambda: self._bus.publish(stream, subject, headers, dead.data or b"", id=id), f"dead letter {dead.id}")
        self._metrics.dead_lettered(sub, "stream")


def ttl(event: Event) -> int:
    """How many more times a reply may go around."""
    value = event.attributes.get(TTL, "")
    return min(int(value), MAX_TTL) if value.isdecimal() and value.isascii() else MAX_TTL


async def _until_stored(publish: Callable[[], Awaitable[object]], what: str) -> None:
    """Publish, again and again while the bus is away or full; this holds the event's place, which is the back-pressure wanted."""
    delay = 0.1
    while True:
        try:
            await publish()
            return
        except (errors.Unavailable, errors.Full) as error:
            log.warning("%s is not stored yet: %s; again in %.2g s", what, error, delay)
            await anyio.sleep(delay)
            delay = min(delay * 2, 10.0)
