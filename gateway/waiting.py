"""Who waits for a place of one revision, in two classes: people's requests and the event bus's deliveries. Each class is served in order,
and while both wait they share the places by weight, so that neither a backlog of events nor a crowd of people starves the other. Pure.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

W = TypeVar("W")

HTTP, EVENTS = "http", "event"
NONE = {HTTP: 0, EVENTS: 0}
WEIGHT = 100  # of people's requests; a revision's `event_weight` is against it


class Waiting(Generic[W]):
    """What never waited costs one small object: there may be ten thousand lines."""

    __slots__ = ("_balance", "_events", "_http", "seconds", "went")

    def __init__(self) -> None:
        self._http: OrderedDict[W, float] | None = None  # each with when it came
        self._events: OrderedDict[W, float] | None = None
        self._balance = 0  # below 0 it is an event's turn
        self.went: dict[str, int] | None = None  # how many of each class got a place after they waited
        self.seconds: dict[str, float] | None = None  # how long they waited, all together

    def __len__(self) -> int:
        return self.count(HTTP) + self.count(EVENTS)

    def __bool__(self) -> bool:
        return bool(self._http) or bool(self._events)

    def __contains__(self, waiter: W) -> bool:
        return any(queue is not None and waiter in queue for queue in (self._http, self._events))

    def __iter__(self) -> Iterator[W]:
        for queue in (self._http, self._events):
            yield from queue or ()

    def count(self, kind: str) -> int:
        queue = self._events if kind == EVENTS else self._http
        return len(queue) if queue is not None else 0

    def join(self, waiter: W, now: float, *, event: bool, first: bool = False) -> None:
        """At the end of its class, or before all others of it."""
        queue: OrderedDict[W, float] | None
        if event:
            queue = self._events = self._events if self._events is not None else OrderedDict()
        else:
            queue = self._http = self._http if self._http is not None else OrderedDict()
        queue[waiter] = now
        if first:
            queue.move_to_end(waiter, last=False)

    def leave(self, waiter: W) -> None:
        for queue in (self._http, self._events):
            if queue is not None and waiter in queue:
                del queue[waiter]
        self._even()

    def pop(self, event_weight: int, now: float) -> W:
        """Whose turn it is. Somebody waits."""
        http, events = self._http, self._events
        if http and events:
            is_event = self._balance < 0
            self._balance += WEIGHT if is_event else -event_weight
        else:
            is_event = bool(events)
        queue = events if is_event else http
        assert queue
        waiter, since = queue.popitem(last=False)
        self._even()
        if self.went is None or self.seconds is None:
            self.went, self.seconds = {**NONE}, dict.fromkeys(NONE, 0.0)
        kind = EVENTS if is_event else HTTP
        self.went[kind] += 1
        self.seconds[kind] += max(0.0, now - since)
        return waiter

    def clear(self) -> list[W]:
        """Everybody, who then waits no more."""
        all_of_them = list(self)
        self._http = self._events = None
        self._balance = 0
        return all_of_them

    def _even(self) -> None:
        """Nobody saves turns up for later."""
        if not (self._http and self._events):
            self._balance = 0
