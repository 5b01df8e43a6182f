"""One revision's line: who may go to which instance now, who waits, in which order they go on, and who is told about it.

It neither reads nor writes a socket: a request in the line is a `Waiter`, to be given an instance or a refusal later.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from random import random
from typing import Protocol

from gateway.addresses import Address
from gateway.coldstart import ColdStart
from gateway.errors import LineFull, NotInTime, Refusal, RevisionFailed
from gateway.instance import Instance
from gateway.observe.account import Meter
from gateway.observe.exposition import Histogram
from gateway.pick import pick
from gateway.policy import Policy
from gateway.settings import Settings
from gateway.slots.lease import Slots
from gateway.waiting import EVENTS, HTTP, Waiting
from kfn.load import LoadSink, RevisionKey

UNKNOWN = Policy()  # of a revision of which only instances have been seen, or a request
COLD_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # seconds


class Waiter(Protocol):
    """A request that waits. Exactly one of `go` and `refuse` is called, once, unless it leaves the line before."""

    @property
    def is_event(self) -> bool:
        """A delivery of the event bus. Asked when it has to wait, not before."""
        ...

    def go(self, instance: Instance) -> None: ...

    def refuse(self, why: Refusal) -> None: ...


class Shared:
    """What all lines share: the number of requests that wait anywhere, and the bytes they hold."""

    def __init__(self, settings: Settings, sink: LoadSink, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.sink = sink
        self.clock = clock
        self.waiting = 0
        self.held = 0
        self.cold_phases: dict[str, Histogram] = {}  # seconds
        self.slots: Slots | None = None  # where other gateways use the same instances
        self.probe: Callable[[Line, Instance], None] = lambda line, instance: None
        self.later: Callable[[float, Callable[[], None]], object] = lambda seconds, call: None


class Line:
    __slots__ = (
        "_shared",
        "_telling",
        "_told",
        "_try_again",
        "cold_count",
        "cold_seconds",
        "cold_starts",
        "instances",
        "key",
        "known",
        "lease",
        "meter",
        "policy",
        "usable",
        "waiting",
    )

    def __init__(self, key: RevisionKey, shared: Shared, policy: Policy | None = None) -> None:
        self.key = key
        self.policy = policy or UNKNOWN
        self.known = policy is not None  # the Revision itself has been seen
        self.meter = Meter(shared.clock())
        self.instances: dict[tuple[str, int], Instance] = {}
        self.usable: list[Instance] = []
        self.waiting: Waiting[Waiter] = Waiting()
        self.cold_starts: Sequence[ColdStart] = ()
        self.cold_count = 0
        self.cold_seconds: dict[str, float] = {}
        self.lease = None if shared.slots is None or not self.policy.concurrency else shared.slots.lease(self)
        self._shared = shared
        self._told = 0  # how many were waiting when the autoscaler was last poked
        self._telling = False
        self._try_again = 0.0  # when a failed revision may be poked again

    # Requests.

    def admit(self, waiter: Waiter, tried: Collection[Instance] = ()) -> Instance | None:
        """A place on an instance now, or None: the waiter is in the line. Raises the refusal if it cannot wait either.

        `tried` are instances that could not be reached just now; nobody is passed over for a request that comes back.
        """
        if not self.waiting or tried:
            instance = self._free(tried)
            if instance is not None:
                instance.active += 1
                return instance
        self._wait(waiter, first=bool(tried))
        return None

    def leave(self, waiter: Waiter) -> None:
        """The waiter's client has gone, or its time is over."""
        if waiter in self.waiting:
            self.waiting.leave(waiter)
            self._shared.waiting -= 1
            if not self.waiting:
                self._told = 0
            if self.lease is not None:
                self.lease.touched()

    def release(self, instance: Instance) -> None:
        """A place on an instance is free again."""
        instance.active -= 1
        if self.lease is not None:
            self.lease.released(instance)
        if self.waiting:
            self.advance()

    def advance(self) -> None:
        """Let as many go on as there are places, in their turn."""
        while self.waiting:
            instance = self._free(())
            if instance is None:
                return
            waiter = self.waiting.pop(self.policy.event_weight, self._shared.clock())
            self._shared.waiting -= 1
            instance.active += 1
            if self.lease is not None:
                self.lease.touched()
            waiter.go(instance)
        self._told = 0

    def keep(self, cold_start: ColdStart) -> None:
        if not isinstance(self.cold_starts, deque):
            self.cold_starts = deque(maxlen=self._shared.settings.cold_starts)  # not before: an empty one is 760 bytes a function
        self.cold_starts.append(cold_start)
        self.cold_count += 1
        phases = self._shared.cold_phases
        for name, milliseconds in cold_start.phases.items():
            self.cold_seconds[name] = self.cold_seconds.get(name, 0.0) + milliseconds / 1000
            phases.setdefault(name, Histogram(COLD_BUCKETS)).add(milliseconds / 1000)
        phases.setdefault("total", Histogram(COLD_BUCKETS)).add(cold_start.total / 1000)

    def not_in_time(self) -> Refusal:
        """Why a request that waited too long got nothing."""
        if self.usable and self.lease is not None and not self.lease.sure:
            return NotInTime(f"The keeper of slots, who gives out places of revision {self.key}, could not be reached in time.")
        if self.usable:
            return NotInTime(f"All {len(self.usable)} instances of revision {self.key} are busy; none became free in time.")
        if not self.known:
            return RevisionFailed(f"Revision {self.key} does not exist.")
        state = f"{len(self.instances)} started but not ready" if self.instances else "none has been started"
        return NotInTime(f"No instance of revision {self.key} was ready in time: {state}.")

    # The world.

    def set_policy(self, policy: Policy | None) -> None:
        """The Revision changed; None: it is gone."""
        self.known = policy is not None
        if policy is not None:
            unknown, self.policy = self.policy is UNKNOWN, policy
            self._share()
            if unknown and self.instances:
                self.changed()
            if policy.failure and not self.usable:
                self._refuse_all(self._failed())
            self.advance()
        elif not self.instances:
            self._refuse_all(RevisionFailed(f"Revision {self.key} was deleted."))

    def set_addresses(self, addresses: Mapping[tuple[str, int], Address]) -> None:
        for gone in self.instances.keys() - addresses.keys():
            self.instances.pop(gone).forget()
        for key, address in addresses.items():
            instance = self.instances.get(key)
            if instance is not None and instance.address.pod != address.pod:
                instance.forget()  # another pod has its address now
                instance = None
            if instance is None:
                instance = self.instances[key] = Instance(address)
            else:
                instance.update(address)
            if address.terminating:
                instance.forget()
        self.changed()

    def changed(self) -> None:
        """An instance became usable, or stopped being so. While no Revision has been seen there is no limit to keep, so none is."""
        self.usable = [] if self.policy is UNKNOWN else [i for i in self.instances.values() if i.usable]
        if self.usable:
            self._told = 0  # if they go again, the autoscaler is told again
        if self.lease is not None:
            self.lease.changed()
        if self.waiting:
            self.advance()
        for instance in self.instances.values():
            if not instance.usable and not instance.terminating and not instance.probing:
                self._shared.probe(self, instance)
        if self.waiting and not self.usable:
            self._poke()

    def reached(self, instance: Instance) -> None:
        """A connection to the instance succeeded."""
        if not instance.reached or instance.refused:
            instance.reached, instance.refused = True, False
            self.changed()

    def refused(self, instance: Instance) -> None:
        """A connection to the instance failed. It is left out only until the next one succeeds, which is tried at once."""
        if not instance.refused:
            instance.refused = True
            self.changed()

    def end(self) -> None:
        """It is forgotten."""
        if self.lease is not None:
            self.lease.end()

    @property
    def forgettable(self) -> bool:
        """Nothing is known about it and nobody is in it."""
        return not self.known and not self.instances and not self.meter.concurrency

    # Inside.

    def _share(self) -> None:
        """With a limit, and where other gateways are, places are slots."""
        slots = self._shared.slots
        if slots is None:
            return
        if self.lease is None and self.policy.concurrency:
            self.lease = slots.lease(self)
        elif self.lease is not None and not self.policy.concurrency:
            self.lease.end()
            self.lease = None
        elif self.lease is not None:
            self.lease.changed()

    def _free(self, tried: Collection[Instance]) -> Instance | None:
        if self.lease is not None:
            return self.lease.free(tried)
        among = [i for i in self.usable if i not in tried] if tried else self.usable
        chance = random() if len(among) > 1 else 0.0  # noqa: S311 - spreads load, guards nothing
        index = pick(among, self.policy.concurrency, chance)
        return None if index < 0 else among[index]

    def _failed(self) -> RevisionFailed:
        """What is after the reason is the function's own output, which is not for strangers."""
        why = self.policy.failure if self._shared.settings.tell else self.policy.failure.partition(":")[0]
        return RevisionFailed(f"Revision {self.key} cannot start: {why}")

    def _wait(self, waiter: Waiter, *, first: bool) -> None:
        shared = self._shared
        if self.policy.failure and not self.usable:
            now = shared.clock()
            if now >= self._try_again:
                self._try_again = now + 1.0
                shared.sink.poke(self.key, len(self.waiting) + 1)  # what made it fail may be over: let the autoscaler try
            raise self._failed()
        retry_after = shared.settings.retry_after
        is_event = waiter.is_event
        many = self.waiting.count(EVENTS if is_event else HTTP)
        if many >= shared.settings.line:
            raise LineFull(f"{many} {'events' if is_event else 'requests'} wait for revision {self.key} already.", retry_after)
        if shared.waiting >= shared.settings.line_in_all:
            raise LineFull(f"{shared.waiting} requests wait in this gateway already.", retry_after)
        self.waiting.join(waiter, shared.clock(), event=is_event, first=first)
        shared.waiting += 1
        if self.lease is not None:
            self.lease.joined()
        if not self.usable:
            self._poke()
            for instance in self.instances.values():
                if not instance.terminating and not instance.probing:
                    shared.probe(self, instance)

    def _poke(self) -> None:
        """Tell the autoscaler at once; while more join, again every few milliseconds, not for each."""
        if self._told == 0:
            self._told = len(self.waiting)
            self._shared.sink.poke(self.key, self._told)
        elif not self._telling:
            self._telling = True
            self._shared.later(0.01, self._poke_again)

    def _poke_again(self) -> None:
        self._telling = False
        if len(self.waiting) > self._told and not self.usable:
            self._told = len(self.waiting)
            self._shared.sink.poke(self.key, self._told)

    def _refuse_all(self, why: Refusal) -> None:
        for waiter in self.waiting.clear():
            self._shared.waiting -= 1
            waiter.refuse(why)
        self._told = 0
