"""One Trigger at work in order: the events of one partition key one after the other, as they were stored, different keys at once.

Of several replicas the server gives everything to one, the pinned one. It keeps a line for each key, and works on the first of each.
An event that waits for its next attempt stays the first of its line, kept alive here and not put off at the server, so that whoever comes
after us gets all that is undecided within `ack_wait` (takeover.py says why that matters). The next one begins when the server has
confirmed that the one before is settled, and only while it is certain that we are still the pinned one.
"""

import logging
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
from nats.aio.msg import Msg

from eventing import errors, ordering, stored
from eventing.dispatch import ACK, ALIVE, NAK, Dispatcher, Item, Key, nak
from eventing.lines import Lines
from eventing.pull import Puller
from eventing.takeover import Takeover
from kfn.cloudevents import nats as binding

log = logging.getLogger(__name__)

WINDOW = 10_000  # events in all lines of a Trigger
BODIES = 64  # of those the ones that are kept whole; the others are read again when it is their turn
CONFIRMED = 2.0  # seconds until an acknowledgement is sent again


@dataclass(slots=True, eq=False)
class Place:
    """An event in its line. `busy`: an attempt is under way. `returning`: given back, so that the server counts the attempt."""

    key: Key
    item: Item
    malformed: str
    line: Hashable
    named: str  # the partition key, or empty
    whole: bool = True  # the event itself is here
    busy: bool = False
    tried: bool = False  # since it was last received
    returning: bool = False
    due: float = 0.0  # when its next attempt is
    spared: int = 0  # deliveries that were no attempts
    changed: anyio.Event = field(default_factory=anyio.Event)  # it came again, or is not ours any more

    @property
    def sequence(self) -> int:
        return self.item.sequence

    def tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Ordered(Dispatcher):
    _lines: Lines[Place]

    def _pulling(self, consumer: str, lost: Callable[[], None]) -> Puller:
        self._lines = Lines()
        self._consumer = consumer
        self._places_of: dict[Key, Place] = {}
        self._spared: dict[Key, int] = {}
        self._takeover: Takeover | None = None
        self._proved, self._proved_epoch, self._proving = -1e9, -1, anyio.Lock()
        self._heard_epoch = -1
        self._serving: set[Hashable] = set()
        self._squeezed = 0.0
        self._open, self._settling = anyio.Event(), 0
        self._open.set()
        self._pin_time = ordering.pin_time(self._settings.ack_wait)
        return Puller(
            self._bus, self._stream, consumer, receive=self._receive, lost=lost, free=self._free, group=ordering.GROUP,
            expires=0.4 * self._pin_time, pinned=self._pinned, unpinned=self._let_go,
        )  # fmt: skip

    def _free(self) -> int:
        """In a full window one for what was given back, which comes before anything new, and one now and then, as who does not pull loses
        the pin."""
        room = min(self._settings.in_flight, WINDOW - len(self._items))
        if room > 0:
            return room
        now = anyio.current_time()
        if now - self._squeezed < 0.4 * self._pin_time:
            return int(any(place.returning for place in self._places_of.values()))
        self._squeezed = now
        return 1

    # What comes.

    async def _receive(self, message: Msg) -> None:
        if self._takeover is not None:
            self._takeover.received(message.metadata.sequence.stream)
        await super()._receive(message)
        self._heard_epoch = self._bus.epoch

    def _set_back(self, delivery: int) -> bool:
        """A server that was killed counts on from a little before, too; then what is settled stays so."""
        return delivery == 1 or (delivery <= self._delivery and self._heard_epoch == self._bus.epoch)

    def _again(self, key: Key, attempt: int) -> None:
        place = self._places_of[key]
        place.item.attempt, place.returning, place.tried = attempt, False, False
        place.tell()

    def _begin(self, key: Key, item: Item, malformed: str) -> None:
        if self._tasks is None:
            return
        named = "" if malformed else item.event.attributes.get(ordering.KEY, "")
        place = Place(key, item, malformed, named or item.sequence, named, spared=self._spared.pop(key, 0))
        self._items[key], self._places_of[key] = item, place
        if len(self._items) > BODIES and not malformed:
            place.whole, item.event = False, replace(item.event, data=None)
        self._lines.add(place.line, place)
        if place.line not in self._serving:
            self._serving.add(place.line)
            self._tasks.start_soon(self._serve, place.line)

    def _pinned(self) -> None:
        if self._takeover is not None:
            self._takeover.abandon()
        ours = {sequence for sequence, _ in (*self._items, *self._settled)}
        self._takeover = takeover = Takeover(
            self._bus, self.subscription, ours, lambda: {sequence for sequence, _ in self._items}, self._quiet
        )
        if self._tasks is not None:
            self._tasks.start_soon(takeover.run)

    def _let_go(self) -> None:
        """Another is pinned, or nobody: give back what no attempt is under way for."""
        if self._takeover is not None:
            self._takeover.abandon()
        if self._tasks is not None:
            self._tasks.start_soon(self._give_back, [place for place in self._lines.all() if not place.busy])

    async def _give_back(self, places: list[Place]) -> None:
        for place in places:
            if self._places_of.get(place.key) is place and not place.busy:
                await self._part_with(place, place.due - anyio.current_time())

    async def _part_with(self, place: Place, wait: float) -> None:
        """Whoever comes next must learn of it within `ack_wait`, so it is not put off for longer."""
        self._forget(place)
        self._spared[place.key] = place.spared + (0 if place.tried else 1)
        if len(self._spared) > WINDOW:
            self._spared.pop(next(iter(self._spared)))
        await self._bus.send(place.item.reply, nak(min(max(0.0, wait), self._settings.ack_wait)) if wait > 0 else NAK)

    # What is done with it.

    async def _serve(self, line: Hashable) -> None:
        """Until the line is empty."""
        try:
            await self._in_turn(line)
        finally:
            self._serving.discard(line)

    async def _in_turn(self, line: Hashable) -> None:
        after = False
        while (place := self._lines.first(line)) is not None:
            if after:  # behind another it has not been tried, however often it came
                place.spared = place.item.attempt - 1
            after = False
            try:
                after = await self._turn(line, place)
            except errors.BusError as error:
                log.debug("%s: event at %d waits: %s", self.subscription.what, place.sequence, error)
                await anyio.sleep(0.2)

    async def _turn(self, line: Hashable, place: Place) -> bool:
        """One attempt on the first of a line. True: it is decided."""
        takeover = self._takeover
        if takeover is not None and place.named:
            await takeover.clear(place.named, place.sequence)
        async with self._places:
            if not await self._is_ours() or takeover is not self._takeover or self._lines.first(line) is not place:
                return False
            place.busy = place.tried = True
            try:
                delay = await self._attempt(place)
            finally:
                place.busy = False
        if delay is None:
            await self._settle(place)
            return True
        await self._wait(place, delay)
        return False

    async def _attempt(self, place: Place) -> float | None:
        item = place.item
        try:
            if not place.whole:
                found = await stored.following(self._bus, self._stream, ">", sequence=item.sequence)
                if found is None or found.sequence != item.sequence:
                    return None  # older than its Broker keeps events
                item.event, place.whole = binding.parse(found.headers, found.data), True
            if place.malformed:
                await self._settler.give_up_malformed(self.subscription, item.event, item.sequence, place.malformed)
                return None
            attempt = max(1, item.attempt - place.spared)
            return await self._settler.settle(lambda: self.subscription, item.event, attempt, item.sequence, item.trace)
        except errors.BusError:
            raise
        except Exception:
            log.exception("%s: event %s could not be settled; it is tried again", self.subscription.what, item.event.id)
            return 1.0

    async def _settle(self, place: Place) -> None:
        """Return when the server says that it has it: it must not come again after the next one."""
        while True:
            await self._open.wait()
            self._settling += 1
            try:
                await self._bus.confirm(place.item.reply, ACK, CONFIRMED)
                break
            except errors.BusError:
                await anyio.sleep(0.1)
            finally:
                self._settling -= 1
        await self._remember(place.key, place.item)
        self._forget(place)

    async def _wait(self, place: Place, delay: float) -> None:
        """For its next attempt: kept here, then given back and received again, so that the server has counted it."""
        place.due = anyio.current_time() + delay
        if not self._puller.pin:
            await self._part_with(place, delay)
            return
        changed = place.changed
        with anyio.move_on_after(delay):
            await changed.wait()
        if self._places_of.get(place.key) is not place:
            return
        place.due, place.returning, changed = 0.0, True, place.changed
        await self._bus.send(place.item.reply, NAK)
        self._puller.more()
        await changed.wait()

    def _forget(self, place: Place) -> None:
        self._items.pop(place.key, None)
        self._places_of.pop(place.key, None)
        self._lines.remove(place.line, place)
        place.tell()
        self._puller.more()

    # Whose turn it is among replicas.

    async def _is_ours(self) -> bool:
        """Whether we were the pinned one a moment ago, as the server says, and so are for long enough to begin something."""
        if self._is_proved():
            return True
        async with self._proving:
            if self._is_proved():
                return True
            asked, epoch, pin = anyio.current_time(), self._bus.epoch, self._puller.pin
            info = await self._bus.consumer_info(self._stream, self._consumer)
            if epoch != self._bus.epoch or pin != self._puller.pin:
                return False
            if not pin or all(group.get("pinned_client_id") != pin for group in info.get("priority_groups") or ()):
                self._puller.forget_pin()
                self._let_go()
                await anyio.sleep(0.05)
                return False
            self._proved, self._proved_epoch = asked, epoch
        return True

    def _is_proved(self) -> bool:
        fresh = anyio.current_time() - self._proved < self._pin_time / 6
        return fresh and self._proved_epoch == self._bus.epoch and bool(self._puller.pin) and self._bus.is_up

    @asynccontextmanager
    async def _quiet(self) -> AsyncIterator[None]:
        self._open = anyio.Event()
        try:
            while self._settling:  # noqa: ASYNC110 - bounded by the time of a confirmation
                await anyio.sleep(0.002)
            yield
        finally:
            self._open.set()

    async def _keep_alive(self) -> None:
        while True:
            await anyio.sleep(self._settings.ack_wait / 3)
            for place in list(self._places_of.values()):
                if not place.returning:
                    await self._bus.send(place.item.reply, ALIVE)

    async def _hand_over(self) -> None:
        pin, now = self._puller.pin, anyio.current_time()
        for place in list(self._places_of.values()):
            await self._part_with(place, place.due - now)
        if pin and self._bus.is_up:
            await self._bus.client.flush(1)
            await self._bus.send(f"$JS.API.CONSUMER.UNPIN.{self._stream}.{self._consumer}", b'{"group": "%s"}' % ordering.GROUP.encode())
