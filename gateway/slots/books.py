"""The books of the keeper of slots: sessions, what each has to do with a revision, and a revision's slots and queue. Pure.

They count; what is to be done about it is decided in `ledger`.
"""

from collections import deque
from math import inf


class Session:
    __slots__ = ("gateway", "gone", "heard", "number", "past", "ready", "stakes")

    def __init__(self, number: int, gateway: str, now: float) -> None:
        self.number = number
        self.gateway = gateway
        self.heard = now
        self.ready = False  # it has told all that it holds
        self.gone = False  # its connection is closed
        self.stakes: dict[str, Stake] = {}
        self.past: dict[str, tuple[int, int]] = {}  # granted and served, of stakes that were forgotten: both sides count on


class Stake:
    """What one session has to do with one revision."""

    __slots__ = (
        "granted", "held", "limit", "longest", "moved", "queued", "recalled", "sees", "served", "session", "total", "until", "voided",
    )  # fmt: skip

    def __init__(self, session: Session) -> None:
        self.session = session
        self.limit = 0  # 0: not told yet
        self.longest = 0.0
        self.sees: dict[str, int] = {}  # instances, with their place in its order
        self.held: dict[str, int] = {}
        self.total = 0  # held of all instances
        self.queued = 0  # wants in the book's queue
        self.granted = 0  # in this session, ever
        self.served = 0
        self.recalled = 0  # what it was last told to give back, less what it gave since
        self.voided: dict[str, int] = {}
        self.moved = 0.0  # when its wants were last seen to make progress
        self.until = inf  # of a session that is gone: its slots are out until then


class Run:
    """Wants of one stake that came one after the other."""

    __slots__ = ("count", "stake")

    def __init__(self, stake: Stake, count: int) -> None:
        self.stake = stake
        self.count = count


class Book:
    """One revision."""

    __slots__ = ("limit", "name", "out", "queue", "room", "stakes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.limit = 0  # the smallest that any session tells: they differ only while a change is on its way
        self.stakes: dict[int, Stake] = {}
        self.out: dict[str, int] = {}
        self.queue: deque[Run] = deque()
        self.room: set[str] = set()  # instances that somebody sees, with a slot left

    def move(self, stake: Stake, instance: str, slots: int) -> None:
        """So many more, or fewer, are with this stake."""
        stake.total += slots
        for counts in (stake.held, self.out):
            counts[instance] = counts.get(instance, 0) + slots
            if not counts[instance]:
                del counts[instance]
        if self.out.get(instance, 0) >= self.limit:
            self.room.discard(instance)
        elif slots < 0 and any(instance in other.sees for other in self.stakes.values()):
            self.room.add(instance)

    def look(self) -> None:
        """What the limit is and which instances there are, from what the sessions say."""
        told = [stake for stake in self.stakes.values() if stake.limit and not stake.session.gone]
        self.limit = min((stake.limit for stake in told), default=0)
        seen = {instance for stake in told for instance in stake.sees}
        self.room = {instance for instance in seen if self.out.get(instance, 0) < self.limit}

    def join(self, stake: Stake, count: int) -> None:
        stake.queued += count
        if self.queue and self.queue[-1].stake is stake:
            self.queue[-1].count += count
        else:
            self.queue.append(Run(stake, count))

    def leave(self, stake: Stake, count: int, *, oldest: bool) -> None:
        """So many of its wants are no more: the oldest were served where they wait, those of clients that left are the newest."""
        if count <= 0:
            return
        stake.queued -= count
        for run in self.queue if oldest else reversed(self.queue):
            if run.stake is stake:
                part = min(count, run.count)
                run.count -= part
                count -= part
                if not count:
                    break
        self.queue = deque(run for run in self.queue if run.count)
