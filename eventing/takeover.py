"""What a replica must know before it delivers in order where another did before: which keys that one may still have an event of in work.

Events that were given out and not settled come again, but some time later, while newer ones of the same keys come at once. So a key
with anything in the stream between what is settled and what was given out waits until nothing of that is unknown; all other keys go on.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

import anyio

from eventing import errors, stored, subjects
from eventing.bus import Bus
from eventing.settle import Subscription

log = logging.getLogger(__name__)

MOST = 64  # events of one key that are looked at before it waits with the others
Quiet = Callable[[], AbstractAsyncContextManager[None]]


class Takeover:
    """`ours` are sequences that we have, or have settled; `received` is called with every further one. `held` counts those that we have and
    have not settled; nothing is settled inside of `quiet`."""

    def __init__(self, bus: Bus, subscription: Subscription, ours: Iterable[int], held: Callable[[], set[int]], quiet: Quiet) -> None:
        self._bus, self._subscription, self._held, self._quiet = bus, subscription, held, quiet
        self._stream = subjects.stream(subscription.namespace, subscription.broker)
        self._ours = set(ours)
        self._floor = self._given = 0
        self._unknown: int | None = None
        self._meanwhile: set[int] = set()  # what came while we asked
        self._clean: dict[str, int] = {}  # keys, each with the sequence up to which all of it is ours
        self._known, self._over = anyio.Event(), anyio.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def received(self, sequence: int) -> None:
        if sequence in self._ours:
            return
        self._ours.add(sequence)
        if self._unknown is None:
            self._meanwhile.add(sequence)
        elif sequence <= self._given:
            self._unknown -= 1
            if self._unknown <= 0:
                self._over.set()

    def abandon(self) -> None:
        """There is another, or we are not the one any more."""
        self._known.set()
        self._over.set()

    async def run(self) -> None:
        """Until nothing is unknown."""
        pause = 0.02
        while not self.is_over:
            try:
                await self._look()
            except errors.BusError as error:
                log.debug("%s: what was in work cannot be asked for: %s", self._subscription.what, error)
            with anyio.move_on_after(pause):
                await self._over.wait()
            pause = min(2 * pause, 1.0)

    async def clear(self, key: str, sequence: int) -> None:
        """Return when no event of that key before this one can be in work elsewhere."""
        if self.is_over:
            return
        await self._known.wait()
        if self._clean.get(key, 0) >= min(sequence, self._given):
            return
        if await self._is_clean(key, sequence):
            self._clean[key] = sequence
        else:
            await self._over.wait()

    async def _look(self) -> None:
        self._meanwhile.clear()
        async with self._quiet():
            # What we hold now was given out before we ask, so it is among what the answer counts; if that is no more, nobody has anything.
            held = self._held()
            info = await self._bus.consumer_info(self._stream, subjects.consumer(self._subscription.uid))
        pending, floor = info["num_ack_pending"], info["ack_floor"]["stream_seq"]
        if self._unknown is None:
            self._floor, self._given = floor, info["delivered"]["stream_seq"]
            self._unknown = pending - len(held) - sum(one <= self._given for one in self._meanwhile - held)
        if pending <= len(held) or self._unknown <= 0 or floor >= self._given:
            self._over.set()
        else:
            log.debug("%s: %d events may be in work elsewhere", self._subscription.what, self._unknown)
        self._known.set()

    async def _is_clean(self, key: str, sequence: int) -> bool:
        """Whether everything that is stored of it in doubt, before this one, is ours."""
        sub = self._subscription
        try:
            if self.is_over:
                return True
            after = max(self._floor, self._clean.get(key, 0))
            of_key = await self._all_ours(subjects.of_key(sub.namespace, sub.broker, key), after, sequence)
            return of_key and await self._all_ours(subjects.to(sub.namespace, sub.broker, sub.uid), after, sequence)
        except errors.BusError:
            return False

    async def _all_ours(self, subject: str, after: int, before: int) -> bool:
        at = after + 1
        for _ in range(MOST):
            found = await stored.following(self._bus, self._stream, subject, sequence=at)
            if found is None or found.sequence >= before or found.sequence > self._given:
                return True
            if found.sequence not in self._ours:
                return False
            at = found.sequence + 1
        return False
