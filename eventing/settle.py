"""What becomes of one event for one Trigger: deliver, publish the reply, or end it among the dead letters.

An event counts as settled only when what follows from it is stored: a reply or dead letter that cannot be stored or handed over
now is tried again here, while the event stays unacknowledged.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from eventing import errors, letter, retry, subjects
from eventing.bus import Bus
from eventing.courier import Answer, Courier, child_trace
from eventing.delivery import Policy
from eventing.letter import TTL
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
    """What a Trigger or a Subscription asks for, resolved. `broker` is the place that its events come from (`subjects`).

    `dead_letter_sink` empty means the dead-letter stream of that place. `reply` is where answers go: None is back there, empty is
    nowhere. Without a `subscriber` the event itself is the answer.
    """

    namespace: str
    broker: str
    name: str
    uid: str
    subscriber: str
    dead_letter_sink: str
    policy: Policy
    reply: str | None = None
    ordered: bool = False  # events of one partition key one after the other

    @property
    def key(self) -> str:
        """Under which its dispatcher runs: a Trigger and a Subscription may have one name."""
        return subscription_key(self.namespace, self.name) if subjects.channel_at(self.broker) else f"{self.namespace}/{self.name}"

    @property
    def what(self) -> str:
        return f"{'subscription' if subjects.channel_at(self.broker) else 'trigger'} {self.namespace}/{self.name}"


def subscription_key(namespace: str, name: str) -> str:
    return f"{namespace}/subscriptions/{name}"


class Settles(Protocol):
    """What a dispatcher hands its events to."""

    async def settle(
        self, latest: Callable[[], Subscription], event: Event, attempt: int, sequence: int, trace: Mapping[str, str]
    ) -> float | None: ...
    async def give_up_malformed(self, sub: Subscription, event: Event, sequence: int, problem: str) -> None: ...


class Settler:
    """Stateless; shared by all Triggers and Subscriptions. `ingress_url` is what Brokers and Channels are addressed by, `guards` says
    which of them ask for a token: from another namespace they are reached through their door only."""

    def __init__(self, bus: Bus, courier: Courier, settings: Settings, metrics: Metrics) -> None:
        self._bus, self._courier, self._settings, self._metrics = bus, courier, settings, metrics
        self.ingress_url = settings.ingress_url
        self.guards: Callable[[str, str], bool] = lambda namespace, place: False

    async def settle(
        self, latest: Callable[[], Subscription], event: Event, attempt: int, sequence: int, trace: Mapping[str, str]
    ) -> float | None:
        """None: settled, acknowledge. A number: deliver again after so many seconds. `latest` gives what is asked for now."""
        sub = latest()
        if sub.subscriber:
            with self._metrics.delivery(sub):
                answer = await self._courier.deliver(event, sub.subscriber, sub.policy, trace, sender=sub.namespace)
            self._metrics.attempted(sub, answer.outcome.status)
        else:
            answer = Answer(retry.Outcome(200), (event,))
        verdict = retry.decide(sub.policy, answer.outcome, attempt, self._settings.max_backoff)
        if isinstance(verdict, retry.RetryAfter):
            self._metrics.retried(sub)
            log.info("%s: attempt %d on event %s: %s; again in %.3g s", sub.what, attempt, event.id, verdict.reason, verdict.delay)
            return verdict.delay
        if isinstance(verdict, retry.Ack):
            refused = None
            try:
                for number, reply in enumerate(answer.replies):
                    refused = refused or await self._bring(latest, event, reply, number, answer.trace or trace)
            except (errors.Unavailable, errors.Full):
                return 1.0  # patience with another place is over
            if refused is None:
                self._metrics.delivered(sub)
                return None
            verdict = refused
        await self._give_up(sub, event, verdict, attempt, sequence, trace)
        return None

    async def give_up_malformed(self, sub: Subscription, event: Event, sequence: int, problem: str) -> None:
        await self._keep(sub, event, retry.DeadLetter(problem, 400, problem.encode()), 1, sequence, "malformed")

    async def _bring(
        self, latest: Callable[[], Subscription], event: Event, reply: Event, number: int, trace: Mapping[str, str]
    ) -> retry.DeadLetter | None:
        """Bring a reply to where it belongs, tried as often as the event would be; the subscriber does not work on that again meanwhile.

        Raises `Unavailable` or `Full` when patience with another place's stream is over.
        """
        attempt = 0
        while True:
            sub = latest()  # where replies go may have changed
            if sub.reply == "":
                return None
            place = (sub.namespace, sub.broker) if sub.reply is None else subjects.place_at(self.ingress_url, sub.reply)
            if place is not None and (place[0] == sub.namespace or not self.guards(*place)):
                return await self._publish(sub, event, reply, number, trace, place)
            attempt += 1
            url = sub.reply or ""
            outcome = (await self._courier.deliver(reply, url, sub.policy, trace, sender=sub.namespace)).outcome
            if 200 <= outcome.status < 300:
                self._metrics.replied(sub)
                return None
            verdict = retry.decide(sub.policy, outcome, attempt, self._settings.max_backoff)
            if isinstance(verdict, retry.DeadLetter):
                return retry.DeadLetter(f"the reply was not taken by {url}: {verdict.reason}", verdict.code, verdict.data, url)
            assert isinstance(verdict, retry.RetryAfter)
            self._metrics.retried(sub)
            log.info("%s: attempt %d on reply %s: %s; again in %.3g s", sub.what, attempt, reply.id, verdict.reason, verdict.delay)
            await anyio.sleep(verdict.delay)

    async def _publish(
        self, sub: Subscription, event: Event, reply: Event, number: int, trace: Mapping[str, str], place: tuple[str, str]
    ) -> retry.DeadLetter | None:
        left = ttl(event) - 1
        if left <= 0:
            self._metrics.looped(sub)
            log.error("%s: reply %s dropped: it went around %d times (%s)", sub.what, reply.id, MAX_TTL, TTL)
            return None
        reply = reply.with_attributes(**{TTL: str(left), ARRIVAL: micro_timestamp()})
        id = subjects.reply_id(sub.uid, event.source, event.id) + (f":{number}" if number else "")
        subject = subjects.event(*place, reply.type, reply.attributes.get("partitionkey", ""))
        headers = {**binding.headers(reply), **child_trace(trace)}
        stream = subjects.stream(*place)
        patience = math.inf if sub.reply is None else self._settings.reply_patience
        try:
            what = f"reply {reply.id}"
            await until_stored(lambda: self._bus.publish(stream, subject, headers, reply.data or b"", id=id), what, patience)
        except (errors.TooLarge, errors.Refused) as error:
            return retry.DeadLetter(f"the reply cannot be published: {error}", 502, str(error).encode(), sub.reply or "")
        self._metrics.replied(sub)
        return None

    async def _give_up(
        self, sub: Subscription, event: Event, verdict: retry.DeadLetter, attempt: int, sequence: int, trace: Mapping[str, str]
    ) -> None:
        log.warning("%s: event %s given up after %d attempts: %s", sub.what, event.id, attempt, verdict.reason)
        dead = letter.dead(event, verdict, verdict.at or sub.subscriber)
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
            answer = await self._courier.deliver(dead, sub.dead_letter_sink, sub.policy, trace, sender=sub.namespace)
            if 200 <= answer.outcome.status < 300:
                return True
            wait = min(max(0.1, retry.backoff(sub.policy, attempt)), 10.0)
            if not retry.retriable(answer.outcome) or anyio.current_time() + wait > end:
                log.error("%s: the dead-letter sink %s did not take event %s", sub.what, sub.dead_letter_sink, dead.id)
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
        await until_stored(lambda: self._bus.publish(stream, subject, headers, dead.data or b"", id=id), f"dead letter {dead.id}")
        self._metrics.dead_lettered(sub, "stream")


def ttl(event: Event) -> int:
    """How many more times a reply may go around."""
    value = event.attributes.get(TTL, "")
    return min(int(value), MAX_TTL) if value.isdecimal() and value.isascii() else MAX_TTL


async def until_stored(publish: Callable[[], Awaitable[object]], what: str, patience: float = math.inf) -> None:
    """Publish, again and again while the bus is away or full; this holds the event's place, which is the back-pressure wanted.

    Raises `Unavailable` or `Full` when `patience` (seconds) is over."""
    delay, end = 0.1, anyio.current_time() + patience
    while True:
        try:
            await publish()
            return
        except (errors.Unavailable, errors.Full) as error:
            log.warning("%s is not stored yet: %s; again in %.2g s", what, error, delay)
            if anyio.current_time() + delay > end:
                raise
            await anyio.sleep(delay)
            delay = min(delay * 2, 10.0)
