"""Leased slots, the gateway's half: a limited revision's request may go to an instance only on a slot that the keeper has granted.

A `Lease` is one line's slots: it answers `free` and hears `released` on the path of a request, which asks nobody while there is an
unused slot; what it wants, and what it gives back, is said once a turn of the loop. `Slots` is all of them, and what they are worth:
unused slots may be used until `until`, which every word with the keeper moves on. The connection is `link`, the other half `ledger`.
"""

from collections.abc import Callable, Collection
from random import random
from typing import TYPE_CHECKING

from gateway.pick import pick_held
from gateway.settings import Settings
from gateway.slots.wire import Frame, FromKeeper, Give, Grant, Have, Ping, Pong, Recall, See, Void, Want, Welcome

if TYPE_CHECKING:
    from gateway.instance import Instance
    from gateway.line import Line

PAUSE = 0.005  # seconds between two words on how many wait, once they have waited that long: then there is no free slot to hurry for
SEEN = 10_000  # instances that are told of; a See of more would not fit into a frame
SURE = 0.8  # of the keeper's `ttl`, from when our word was sent: it counts from when it came, so we always stop using slots first
OFTEN = 4  # words to the keeper in a `ttl`


class Lease:
    """One line's slots. An instance's `slots` are ours, `active` of them are in use; `peak` is the most that were since the last sweep."""

    __slots__ = (
        "_among", "_asked", "_dirty", "_level", "_names", "_owed", "_said", "_seen", "_seen_said", "_served", "_served_said", "_since",
        "_slots", "_stale", "_told", "_view", "_void", "held", "line", "name", "waited", "waits",
    )  # fmt: skip

    def __init__(self, line: "Line", slots: "Slots") -> None:
        self.line = line
        self.name = str(line.key)
        self.held: dict[Instance, None] = {}  # instances of which we have slots, gone ones included
        self.waits = 0  # requests that found no unused slot although there were instances
        self.waited = 0.0  # seconds, all of them together
        self._slots = slots
        self._among: list[Instance] = []  # of `held`, those that take requests
        self._names: dict[str, Instance] = {}
        self._owed = 0  # to be given back when requests end
        self._void: dict[Instance, int] = {}  # the same, of one instance
        self._level = 0
        self._since = slots.clock()
        self._dirty = False
        self._view: tuple[int, float, tuple[str, ...]] | None = None  # what the keeper has been told of the revision; None: nothing
        self._stale = True
        self._said = self._seen_said = self._served_said = 0  # what it was told of those that wait
        self._told = self._asked = 0.0  # ... when; and when it heard first of those that wait now
        # In this session: slots granted, and waiting requests that got one of ours again.
        self._seen, self._served = slots.past.pop(self.name, (0, 0))
        for instance in line.instances.values():
            if instance.active:  # it had no limit until now
                self._hold(instance, instance.active)
                slots.say(Have(self.name, self._address(instance), instance.active))
        self.changed()

    # The path of a request.

    def free(self, tried: Collection["Instance"]) -> "Instance | None":
        """An instance with an unused slot."""
        slots, among = self._slots, self._among
        if not among or slots.until <= slots.clock():
            return None
        if tried:
            among = [i for i in among if i not in tried]
        chance = random() if len(among) > 1 else 0.0  # noqa: S311 - spreads load, guards nothing
        index = pick_held(among, self.line.policy.concurrency, chance)
        if index < 0:
            return None
        instance = among[index]
        if instance.active >= instance.peak:
            instance.peak = instance.active + 1
        return instance

    def released(self, instance: "Instance") -> None:
        """A request on it has ended."""
        if not instance.slots:
            return
        if not instance.usable:
            self._give(instance, instance.slots - instance.active)
        elif self._owed or self._void.get(instance, 0):
            self._give(instance, 1)
        elif self.line.waiting:
            self._served += 1

    def joined(self) -> None:
        """One more waits."""
        if self.line.usable:
            self.waits += 1
        self.touched()

    def touched(self) -> None:
        """Fewer or more wait than before."""
        if not self._dirty:
            self._dirty = True
            self._slots.wake(self)

    # What the line knows has changed.

    def changed(self) -> None:
        """Instances came or went or cannot be reached, or the limit is another."""
        self._names = {self._address(i): i for i in self.line.usable[:SEEN]}
        for instance in [i for i in self.held if not i.usable]:
            self._give(instance, instance.slots - instance.active)
        self._sort()
        self._stale = True
        self.touched()

    def end(self) -> None:
        """The line has no limit any more, or is no more."""
        for instance in list(self.held):
            self._give(instance, instance.slots)
        if self._view is not None:
            self._slots.say(Want(self.name, 0, self._seen, self._served))
            self._slots.say(See(self.name, self._view[0], self._view[1], ()))
        self._slots.ended(self, self._seen, self._served)

    # What the keeper says.

    def granted(self, grant: Grant) -> None:
        for name, slots in grant.slots.items():
            self._seen += slots
            instance = self._names.get(name)
            if instance is None or not instance.usable:
                self._slots.say(Give(self.name, name, slots))
            else:
                if not instance.slots:
                    self._among.append(instance)
                self._hold(instance, slots)
        self.line.advance()

    def recalled(self, slots: int) -> None:
        self._owed = min(slots, sum(i.slots for i in self.held))
        for instance in list(self.held):
            if self._owed:
                self._give(instance, min(self._owed, instance.slots - instance.active))

    def voided(self, name: str, slots: int) -> None:
        for instance in [i for i in self.held if self._address(i) == name]:
            self._void[instance] = min(slots, instance.slots)
            self._give(instance, min(self._void[instance], instance.slots - instance.active))

    # What is said to the keeper.

    def again(self, *, sure: bool) -> list[Frame]:
        """To a keeper that knows nothing of us yet: what we hold. Not `sure`: what is not in use is not ours any more."""
        self._forget_session()
        if not sure:
            for instance in list(self.held):
                self._hold(instance, instance.active - instance.slots)
            self._sort()
        self.touched()
        return [Have(self.name, self._address(i), i.slots) for i in self.held]

    def say(self, now: float) -> bool:
        """How many wait, if the keeper does not know. False: not yet; call again."""
        line = self.line
        level = len(line.waiting) if line.usable else 0
        self.waited += self._level * (now - self._since)
        self._level, self._since = level, now
        known = max(0, self._said - (self._seen - self._seen_said))  # it counts what it grants
        if not known:
            self._asked = now
        if level != known or (level and self._served != self._served_said):
            if now < self._told + PAUSE and now >= self._asked + PAUSE:
                return False
            self._look()
            self._said, self._seen_said, self._served_said, self._told = level, self._seen, self._served, now
            self._slots.say(Want(self.name, level, self._seen, self._served))
        elif self._view is not None:
            self._look()
        self._dirty = False
        return True

    def mute(self) -> None:
        """There is nobody to tell. `again` will."""
        self._dirty = False

    @property
    def sure(self) -> bool:
        return self._slots.sure

    def sweep(self) -> None:
        """Give back what nobody used since the last sweep."""
        for instance in list(self.held):
            self._give(instance, instance.slots - max(instance.peak, instance.active))
            instance.peak = instance.active

    # Inside.

    def _look(self) -> None:
        if not self._stale:
            return
        self._stale = False
        policy = self.line.policy
        view = (policy.concurrency, policy.timeout, tuple(self._names))
        if view != self._view:
            self._view = view
            self._slots.say(See(self.name, *view))

    def _hold(self, instance: "Instance", more: int) -> None:
        instance.slots += more
        if instance.slots:
            self.held[instance] = None
            instance.peak = max(instance.peak, instance.active)
        else:
            self.held.pop(instance, None)
            self._void.pop(instance, None)

    def _give(self, instance: "Instance", slots: int) -> None:
        if slots <= 0:
            return
        self._hold(instance, -slots)
        self._owed = max(0, self._owed - slots)
        if instance in self._void:
            self._void[instance] = max(0, self._void[instance] - slots)
        if not instance.slots and instance in self._among:
            self._among.remove(instance)
        self._slots.say(Give(self.name, self._address(instance), slots))

    def _sort(self) -> None:
        self._among = [i for i in self.held if i.usable]

    def _forget_session(self) -> None:
        self._owed = 0
        self._void.clear()
        self._seen = self._served = self._said = self._seen_said = self._served_said = 0
        self._told = self._asked = 0.0
        self._view = None
        self._stale = True

    @staticmethod
    def _address(instance: "Instance") -> str:
        return f"{instance.address.host}:{instance.address.port}"


class Slots:
    """All leases of this process. `tell` puts a frame on its way, while there is a connection."""

    def __init__(self, settings: Settings, clock: Callable[[], float], later: Callable[[float, Callable[[], None]], object]) -> None:
        self.settings = settings
        self.clock = clock
        self.leases: dict[str, Lease] = {}
        self.past: dict[str, tuple[int, int]] = {}  # counts of leases that ended in this session: the keeper counts on
        self.until = 0.0  # then unused slots are not ours any more, unless we hear from the keeper
        self.ttl = 0.0
        self.tell: Callable[[Frame], None] | None = None
        self.trips = 0  # answers of the keeper that brought slots
        self.said = 0  # frames to the keeper
        self._later = later
        self._dirty: list[Lease] = []
        self._woken = False
        self._pings: dict[int, float] = {}
        self._number = 0
        self._told = 0.0  # when the keeper last got a ping, or a Hello

    # The lines' side.

    def lease(self, line: "Line") -> Lease:
        lease = self.leases[str(line.key)] = Lease(line, self)
        return lease

    def ended(self, lease: Lease, seen: int, served: int) -> None:
        self.leases.pop(lease.name, None)
        self.past[lease.name] = (seen, served)

    def wake(self, lease: Lease) -> None:
        self._dirty.append(lease)
        if not self._woken:
            self._woken = True
            self._later(0, self._say)

    def say(self, frame: Frame) -> None:
        if self.tell is not None:
            self.said += 1
            self.tell(frame)

    @property
    def sure(self) -> bool:
        """Unused slots may be used."""
        return self.until > self.clock()

    # The connection's side.

    def connected(self, tell: Callable[[Frame], None]) -> list[Frame]:
        """A keeper has been connected to: what to say after Hello. Nothing unused is used until it answers: it may know better."""
        now = self.clock()
        sure, self.until, self._told = self.until > now, 0.0, now
        self.tell = tell
        self.past.clear()
        self._pings.clear()
        return [frame for lease in self.leases.values() for frame in lease.again(sure=sure)]

    def lost(self) -> None:
        """The connection is gone. What we hold we hold, until `until`."""
        self.tell = None
        for lease in self.leases.values():
            lease.recalled(0)

    def heard(self, frame: FromKeeper) -> None:
        if isinstance(frame, Pong):
            self._renew(self._pings.pop(frame.number, 0.0))
        elif isinstance(frame, Welcome):
            self.ttl = frame.ttl
            self._renew(self._told)
        else:
            lease = self.leases.get(frame.revision)
            if isinstance(frame, Grant):
                self.trips += 1
                if lease is not None:
                    lease.granted(frame)
                else:
                    seen, served = self.past.get(frame.revision, (0, 0))
                    self.past[frame.revision] = (seen + sum(frame.slots.values()), served)
                    for instance, slots in frame.slots.items():
                        self.say(Give(frame.revision, instance, slots))
            elif lease is not None and isinstance(frame, Recall):
                lease.recalled(frame.slots)
            elif lease is not None and isinstance(frame, Void):
                lease.voided(frame.instance, frame.slots)

    @property
    def silent(self) -> bool:
        """The keeper has not answered for so long that it is not there."""
        return bool(self._pings) and self.clock() - min(self._pings.values()) > self.ttl

    def sweep(self) -> None:
        """Every `slots_idle`: give back what is not used, and keep the keeper believing in us."""
        now = self.clock()
        if self.tell is None:
            return
        for lease in self.leases.values():
            if lease.held:
                lease.sweep()
        if self.ttl and now - self._told >= self.ttl / OFTEN:
            self._number += 1
            self._pings[self._number] = self._told = now
            self.say(Ping(self._number))

    def give_all(self) -> None:
        for lease in self.leases.values():
            lease.recalled(sum(instance.slots - instance.active for instance in lease.held))

    # Inside.

    def _renew(self, told: float) -> None:
        """The keeper knew of us at a moment after `told`."""
        was_sure = self.sure
        self.until = max(self.until, told + SURE * self.ttl)
        if not was_sure and self.sure:
            for lease in list(self.leases.values()):
                lease.line.advance()

    def _say(self) -> None:
        self._woken = False
        if self.tell is None:
            for lease in self._dirty:
                lease.mute()
            self._dirty = []
            return
        now = self.clock()
        self._dirty = [lease for lease in self._dirty if self.leases.get(lease.name) is lease and not lease.say(now)]
        if self._dirty:
            self._woken = True
            self._later(PAUSE, self._say)
