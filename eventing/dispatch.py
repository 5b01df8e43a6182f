"""One Trigger at work: takes its messages in, keeps them alive while they are worked on, and never works on one twice at once.

What is done with one event is in settle.py; which events come at all is the consumer's filter and match.py.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup
from nats.aio.msg import Msg

from eventing import subjects
from eventing.bus import Bus
from eventing.match import Filter, matches
from eventing.metrics import Metrics
from eventing.pull import Puller
from eventing.settings import Settings
from eventing.settle import Settles, Subscription
from kfn.cesql import EvaluationError
from kfn.cloudevents import Event, InvalidEvent
from kfn.cloudevents import nats as binding

log = logging.getLogger(__name__)

ACK, NAK, ALIVE = b"+ACK", b"-NAK", b"+WPI"
REPLAYED = "Kfn-Replayed"  # somebody asked for it, whatever the filter says
_REMEMBERED = 4096
Key = tuple[int, float]  # sequence and time stored: a sequence alone may come again after the stream was made anew


@dataclass(slots=True)
class Item:
    """A message in work. `reply` is where it is settled; a redelivery changes it."""

    reply: str
    attempt: int
    sequence: int
    event: Event
    alone: bool = False  # stored for this Trigger alone, so that nobody needs it after us
    trace: dict[str, str] = field(default_factory=dict)


class Dispatcher:
    """Runs until cancelled. `subscription` may be replaced at any time; attempts that begin later follow it."""

    def __init__(
        self,
        bus: Bus,
        settler: Settles,
        settings: Settings,
        metrics: Metrics,
        subscription: Subscription,
        filter: Filter,
        lost: Callable[[], None],
    ) -> None:
        self.subscription, self.filter = subscription, filter
        self._bus, self._settler, self._settings, self._metrics = bus, settler, settings, metrics
        self._items: dict[Key, Item] = {}
        self._settled: OrderedDict[Key, None] = OrderedDict()
        self._delivery = 0  # the number of the last one, of all of the consumer's
        self._failures: set[tuple[str, int]] = set()  # errors of the filter, logged once each
        self._places = anyio.Semaphore(settings.in_flight)
        self._tasks: TaskGroup | None = None
        self._stream = subjects.stream(subscription.namespace, subscription.broker)
        self._alone = subjects.to(subscription.namespace, subscription.broker, subscription.uid)
        self._puller = self._pulling(subjects.consumer(subscription.uid), lost)

    @property
    def in_flight(self) -> int:
        return len(self._items)

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._puller.run)
                self._tasks.start_soon(self._keep_alive)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._hand_over()
            self._items.clear()

    def _pulling(self, consumer: str, lost: Callable[[], None]) -> Puller:
        free = self._settings.in_flight
        return Puller(self._bus, self._stream, consumer, receive=self._receive, lost=lost, free=lambda: free - len(self._items))

    async def _hand_over(self) -> None:
        """So that the next dispatcher need not wait for ack_wait."""
        for item in self._items.values():
            await self._bus.send(item.reply, NAK)

    async def _receive(self, message: Msg) -> None:
        meta = message.metadata
        key = (meta.sequence.stream, meta.timestamp.timestamp())
        if self._set_back(meta.sequence.consumer):
            self._settled.clear()  # what was settled is wanted again
        self._delivery = meta.sequence.consumer
        if known := self._items.get(key):
            known.reply = message.reply  # the server thought we were gone; we are at it
            self._again(key, meta.num_delivered)
            return
        if key in self._settled:
            await self._bus.send(message.reply, ACK)  # our first acknowledgement was lost
            return
        try:
            event = binding.parse(message.headers, message.data)
        except InvalidEvent as error:
            # The ingress lets none through; whoever wrote it to the stream directly will look for it among the dead letters.
            event = Event(
                {"specversion": "1.0", "id": str(meta.sequence.stream), "source": message.subject, "type": "invalid"}, message.data
            )
            self._begin(key, Item(message.reply, meta.num_delivered, meta.sequence.stream, event), str(error))
            return
        headers = message.headers or {}
        if REPLAYED not in headers and not matches(self.filter, event.attributes, self._filter_failed):
            await self._bus.send(message.reply, ACK)
            self._metrics.filtered(self.subscription)
            return
        trace = {name: value for name in ("traceparent", "tracestate") if (value := headers.get(name))}
        alone = message.subject == self._alone
        self._begin(key, Item(message.reply, meta.num_delivered, meta.sequence.stream, event, alone, trace), "")

    def _set_back(self, delivery: int) -> bool:
        """Whether the consumer begins anew from before: its deliveries are counted from the beginning."""
        return delivery <= self._delivery

    def _again(self, key: Key, attempt: int) -> None:
        """A message that is in work has come again."""

    def _filter_failed(self, error: EvaluationError) -> None:
        """Every such event is counted, the first at a place is logged: a filter with a wrong name would drop all in silence."""
        self._metrics.filter_failed(self.subscription, error.kind)
        if (error.kind, error.at) not in self._failures:
            self._failures.add((error.kind, error.at))
            name = f"{self.subscription.namespace}/{self.subscription.name}"
            log.warning("trigger %s: its cesql filter fails at column %d: %s; such events do not pass", name, error.at + 1, error)

    def _begin(self, key: Key, item: Item, malformed: str) -> None:
        if self._tasks is not None:
            self._items[key] = item
            self._tasks.start_soon(self._work, key, item, malformed)

    async def _work(self, key: Key, item: Item, malformed: str) -> None:
        delay: float | None = 1.0
        try:
            async with self._places:
                if malformed:
                    await self._settler.give_up_malformed(self.subscription, item.event, item.sequence, malformed)
                    delay = None
                else:
                    delay = await self._settler.settle(lambda: self.subscription, item.event, item.attempt, item.sequence, item.trace)
        except Exception:
            log.exception("%s: event %s could not be settled; it comes again", self.subscription.what, item.event.id)
        if delay is None:
            await self._bus.send(item.reply, ACK)
            await self._remember(key, item)
        else:
            await self._bus.send(item.reply, nak(delay))
        self._items.pop(key, None)
        self._puller.more()

    async def _remember(self, key: Key, item: Item) -> None:
        """It is settled, should it come again."""
        if item.alone:  # so that a replay of the Trigger does not bring it beside the event that it was made from
            await self._bus.send(f"$JS.API.STREAM.MSG.DELETE.{self._stream}", b'{"seq": %d, "no_erase": true}' % item.sequence)
        self._settled[key] = None
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)

    async def _keep_alive(self) -> None:
        """Tell the server every third of ack_wait that we are still at each message, held by the gateway or slow."""
        while True:
            await anyio.sleep(self._settings.ack_wait / 3)
            for item in list(self._items.values()):
                await self._bus.send(item.reply, ALIVE)


def nak(delay: float) -> bytes:
    """Not delivered; again after so many seconds."""
    return NAK + b' {"delay": %d}' % int(delay * 1e9)
