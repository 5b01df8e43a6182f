"""One revision as the autoscaler knows it: its policy, its load, what was asked for and what is ready. It waits for nothing.

`app.py` feeds it with what happens and asks it for decisions; the arithmetic is in `decide.py`.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from math import inf

from anyio import CancelScope

from autoscaler.decide import Decision, Memory, Observation, decide, starting
from autoscaler.policy import RPS, Policy
from autoscaler.windows import Windows
from kfn.load import RevisionKey, Sample

FRESH_SECONDS = 3.0  # a gateway with requests inside says so every second; one that does not is taken for dead
EPSILON = 1e-3  # so that a timer that fires a little early still finds the window empty


@dataclass(frozen=True, slots=True)
class Record:
    """A decision with what it was based on. Equal ones in a row are one record: `times` decisions from `first` to `last`."""

    first: datetime
    last: datetime
    times: int
    seen: Observation
    decision: Decision


@dataclass(frozen=True, slots=True)
class Newest:
    """What a gateway said last: the requests inside it, and those of them that wait."""

    concurrency: float
    waiting: int
    at: float


class Tracked:
    """The state of one revision. `asked` is None as long as there is no Deployment to scale."""

    def __init__(self, key: RevisionKey, policy: Policy, now: float, *, keep: int) -> None:
        self.key = key
        self.policy = policy
        self.reachable = True
        self.initialized = False
        self.asked: int | None = None
        self.ready = 0
        self.writing = False
        self.heard_since: float | None = -inf  # since when gateways have been reporting; None: none does
        self.choosing: CancelScope | None = None  # who goes, while that is being found out
        self.memory = Memory()
        self.records: deque[Record] = deque(maxlen=keep)
        self._windows: Windows | None = None
        self._newest: dict[str, Newest] = {}  # by gateway
        self._since = now
        self._poked_at = now
        self._ready_at: float | None = None
        self._stalled_since: float | None = None

    # What happens.

    def deployed(self, replicas: int, ready: int, now: float) -> None:
        """The Deployment is there, or has changed."""
        if self.asked is None:
            self.memory = starting(ready, replicas, now)
            self.asked = replicas
            self.initialized = self.initialized or replicas == 0
        elif not self.writing:
            self.asked = replicas
        self.ready = ready
        if ready:
            self.initialized = True
            self._ready_at = now if self._ready_at is None else self._ready_at
            self._stalled_since = None
        elif not self.asked:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now

    def undeployed(self) -> None:
        self.asked, self.ready, self._stalled_since = None, 0, None

    def ask(self, replicas: int, now: float) -> None:
        """From now on, this many are wanted of the Deployment."""
        if not self.asked and replicas:
            self._stalled_since = now
        self.asked = replicas

    def poke(self, waiting: int, now: float, gateway: str = "") -> None:
        before = self._newest.get(gateway)
        inside = before.concurrency if before is not None and now - before.at <= FRESH_SECONDS else 0.0
        self._newest[gateway] = Newest(inside, max(1, waiting), now)
        self._poked_at = now

    def record(self, samples: list[Sample], now: float, gateway: str = "") -> None:
        """What one gateway's report, made at `now`, says of this revision."""
        if self._windows is None:
            self._windows = Windows(self.policy.stable_window)
        self._windows.span = max(self.policy.stable_window, self.policy.panic_window)
        for sample in samples:
            self._windows.record(now, sample.period, sample.concurrency, sample.requests, sample.idle, gateway)
        self._newest[gateway] = Newest(sum(s.concurrency for s in samples), sum(s.waiting for s in samples), now)

    def gone(self, gateway: str) -> None:
        """That gateway has ended: nothing is in it any more. What it had stays in the averages."""
        self._newest.pop(gateway, None)
        if self._windows is not None:
            self._windows.gone(gateway)

    # What follows.

    def waiting(self, now: float) -> int:
        """Requests that wait, in all gateways that are alive."""
        return sum(one.waiting for one in self._newest.values() if now - one.at <= FRESH_SECONDS)

    def waiting_in(self, now: float) -> list[str]:
        """The gateways they wait in."""
        return [gateway for gateway, one in self._newest.items() if one.waiting and now - one.at <= FRESH_SECONDS]

    def concurrency(self, now: float) -> float:
        """Requests inside all gateways that are alive, by their last reports."""
        return sum(one.concurrency for one in self._newest.values() if now - one.at <= FRESH_SECONDS)

    def needs_more(self, now: float) -> bool:
        """Whether what was asked for could not take the requests that wait."""
        return self.waiting(now) > (self.asked or 0) * self.policy.capacity

    def jumped(self, now: float) -> bool:
        """Whether the load is over the panic threshold of what was asked for."""
        return bool(self.asked) and self.concurrency(now) > self.policy.panic_threshold * (self.asked or 0) * self.policy.target

    def observe(self, now: float) -> Observation:
        policy = self.policy
        stable, panic = self._average(now, policy.stable_window), self._average(now, policy.panic_window)
        if stable is None and self.heard_since is not None and now - max(self._since, self.heard_since) >= policy.stable_window:
            stable = panic = 0.0
        return Observation(
            stable=stable,
            panic=panic,
            ready=self.ready,
            replicas=self.asked or 0,
            waiting=self.waiting(now),
            reachable=self.reachable,
            initialized=self.initialized,
            quiet_for=now - self._quiet_since,
            stalled_for=0.0 if self._stalled_since is None else now - self._stalled_since,
            heard_for=0.0 if self.heard_since is None else now - self.heard_since if self.heard_since > -inf else None,
        )

    def decide(self, now: float, at: datetime) -> Decision:
        seen = self.observe(now)
        decision, self.memory = decide(self.policy, seen, self.memory, now)
        last = self.records[-1] if self.records else None
        if last and (last.decision.replicas, last.decision.panicking) == (decision.replicas, decision.panicking):
            self.records[-1] = Record(last.first, at, last.times + 1, seen, decision)
        else:
            self.records.append(Record(at, at, 1, seen, decision))
        return decision

    def put_to_sleep(self, now: float) -> bool:
        """True when nothing will change until something happens. What was known of its load is then dropped: many sleep, few run."""
        if self.asked or (self._windows is not None and now - self._quiet_since <= self.policy.stable_window):
            return False
        self._windows = None
        self._newest.clear()
        return True

    def next_due(self, now: float) -> float | None:
        """The next moment at which time alone changes the decision: the window empties, a delay or a deadline ends."""
        if not self.asked:
            return None
        empty = self._quiet_since + self.policy.stable_window
        dues = [empty, empty + self.policy.scale_down_delay]
        if self.memory.zero_since is not None:
            dues.append(self.memory.zero_since + self.policy.zero_hold)
        if self._stalled_since is not None:
            dues += [self._stalled_since + self.policy.wave, self._stalled_since + self.policy.gives_up]
        return min((due + EPSILON for due in dues if due + EPSILON > now), default=None)

    @property
    def _quiet_since(self) -> float:
        loaded = self._windows.last_load if self._windows is not None else None
        return max(self._since, self._poked_at, self._ready_at or 0.0, loaded or 0.0, self.heard_since or 0.0)

    def _average(self, now: float, window: float) -> float | None:
        load = self._windows.average(now, window, weighted=self.policy.weighted) if self._windows is not None else None
        if load is None:
            return None
        return load.rps if self.policy.metric == RPS else load.concurrency
