"""Which fault comes when, from a seed: the same seed, length and kinds give the same schedule on every machine. Pure.

What a fault does to processes is nemesis.py's; a run of the same schedule meets the bus at other instructions, so a failure may
need several runs to come again.
"""

import random
from dataclasses import dataclass

KINDS = {
    "kill-nats": "kill -9 of nats-server",
    "stop-nats": "SIGSTOP of nats-server, then SIGCONT",
    "kill-function": "kill -9 of an instance",
    "stop-function": "SIGSTOP of an instance, then SIGCONT",
    "kill-platform": "kill -9 of the platform (gateway, dispatcher, nats-server, instances), and a start",
    "stop-platform": "SIGSTOP of the platform's process, then SIGCONT",
    "scale": "no events until the functions are at zero, then many at once",
    "redeploy": "a new revision under load",
    "cut": "every TCP connection of the platform's process is shut down",
}
# Seconds that a fault lasts, at least and at most; what is not here is over at once. ack_wait, 30 s, is for the long ones.
HOLD = {"stop-nats": (0.2, 5.0), "stop-function": (0.2, 8.0), "stop-platform": (0.2, 5.0), "scale": (9.0, 12.0)}
LONG = 35.0  # longer than ack_wait: the server thinks that the dispatcher is gone, and both go on
LONG_FROM = 180.0  # seconds of a run that has room for one of these
REST = 45.0  # seconds between two of `scale`, in which no events come: a run shall mostly be under load
FIRST, PAUSE, LAST = 3.0, (0.3, 4.0), 2.0  # seconds before the first fault, between two, after the last


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` and `hold` are seconds."""

    at: float
    kind: str
    hold: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:.1f} {self.kind}" + (f" for {self.hold:.1f}" if self.hold else "")


def schedule(seed: int, seconds: float, kinds: tuple[str, ...]) -> tuple[Fault, ...]:
    """Faults one after the other begin `PAUSE` apart, whether or not those before are over: some overlap. Every kind comes before
    any comes again, but `scale` seldom."""
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f"there is no fault {unknown[0]!r}; there are: {', '.join(KINDS)}")
    rng = random.Random(seed)  # noqa: S311 (no secret)
    faults: list[Fault] = []
    bag: list[str] = []
    at, rested, long = FIRST, -REST, False
    while kinds and at < seconds - LAST:
        bag = bag or rng.sample(kinds, len(kinds))
        kind = bag.pop()
        if kind == "scale" and len(kinds) > 1:
            if at - rested < REST:
                continue
            rested = at
        hold = rng.uniform(*HOLD[kind]) if kind in HOLD else 0.0
        if not long and kind.startswith("stop-") and seconds >= LONG_FROM and at + LONG < seconds:
            long, hold = True, LONG
        hold = min(hold, max(0.2, seconds - at))
        faults.append(Fault(round(at, 2), kind, round(hold, 2)))
        at += rng.uniform(*PAUSE) + (LONG if hold == LONG else 0.0)  # a kill in between would end the long one
    return tuple(faults)
