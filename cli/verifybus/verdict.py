"""What became of the events, from what was acknowledged, what is stored and what was seen at the sinks. Pure.

Missing events are told apart as Jepsen does it, by what else of the same writer was seen: `prefix` (nothing before it: the
stream began anew, or the Trigger too late), `postfix` (nothing after it: the end was cut off, or delivery stands still) and `middle`
(neighbours on both sides: a loss beyond doubt).
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

KEYS = 3


class Id(NamedTuple):
    """An event: its writer, and the writer's counter."""

    writer: int
    number: int

    def __str__(self) -> str:
        return f"w{self.writer}-{self.number}"

    @property
    def key(self) -> str:
        """Its partition key, of which each writer has a few."""
        return f"w{self.writer}k{self.number % KEYS}"


def parse(text: str) -> Id | None:
    """The id that `str` made; None if it is none of ours."""
    writer, dash, number = text.partition("-")
    if not (dash and writer[:1] == "w" and _plain(writer[1:]) and _plain(number)):
        return None
    return Id(int(writer[1:]), int(number))


def _plain(text: str) -> bool:
    return text.isascii() and text.isdecimal()


@dataclass(frozen=True, slots=True)
class Flow:
    """One Trigger: how often each event was seen at its sink and among its dead letters.

    `doomed` events must end among the dead letters and must not be seen; `excused` ones need not come, because what they follow from
    was itself a dead letter.
    """

    name: str
    seen: Mapping[Id, int]
    dead: Mapping[Id, int] = field(default_factory=dict)
    doomed: Set[Id] = frozenset()
    excused: Set[Id] = frozenset()


@dataclass(frozen=True, slots=True)
class Finding:
    """What is told of one Flow. `given_up` are dead letters that were not doomed: nothing is lost, the retries were used up."""

    name: str
    wanted: int
    delivered: int
    dead: int
    excused: int
    duplicates: int
    given_up: int
    both: int  # seen and a dead letter: the sink had it, its answer did not come back
    missing: Mapping[str, tuple[Id, ...]]
    phantoms: tuple[Id, ...]  # seen, but never published
    spared: tuple[Id, ...]  # doomed, and yet seen

    @property
    def lost(self) -> int:
        return sum(map(len, self.missing.values()))

    @property
    def ok(self) -> bool:
        return not (self.lost or self.phantoms or self.spared)


@dataclass(frozen=True, slots=True)
class Order:
    """Of the ordered Trigger, by key: `swapped` came for the first time after a later one; `stale` came again though a later one had come,
    which nobody may see but after a crash of both sides, dispatcher and nats-server, and then once a crash."""

    keys: int = 0
    repeats: int = 0
    swapped: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.swapped and not self.stale


@dataclass(frozen=True, slots=True)
class Verdict:
    """`twice` are events or replies that the stream holds more than once within the dedup window; `unstored` were acknowledged and
    are not in it. Both are empty where the stream was not read."""

    published: int
    acknowledged: int
    findings: tuple[Finding, ...]
    unstored: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    order: Order = Order()

    @property
    def ok(self) -> bool:
        return all(one.ok for one in self.findings) and not self.unstored and not self.twice and self.order.ok

    @property
    def lost(self) -> int:
        return sum(one.lost for one in self.findings)


def judge(published: Set[Id], acknowledged: Set[Id], flows: Iterable[Flow], order: Order = Order()) -> Verdict:
    """`published` has every event that was sent at all: one that was not acknowledged may have come or not."""
    found = tuple(_finding(published, acknowledged, flow) for flow in flows)
    return Verdict(len(published), len(acknowledged), found, order=order)


def in_order(attempts: Iterable[Id], crashes: int) -> Order:
    """Every attempt on an event, in the order in which the sink saw them, and how often dispatcher and nats-server died at once."""
    of_key: dict[str, list[int]] = {}
    for one in attempts:
        of_key.setdefault(one.key, []).append(one.number)
    swapped: list[str] = []
    stale: list[str] = []
    repeats = 0
    for key, numbers in of_key.items():
        seen: set[int] = set()
        newest, before, back = -1, -1, []
        for number in numbers:
            if number in seen:
                repeats += 1
                if number < before:  # what follows until the newest comes again with it
                    back.append(f"{key}: {number} came again after {before}")
            elif number < newest:
                swapped.append(f"{key}: {number} came after {newest}")
            seen.add(number)
            newest, before = max(newest, number), number
        stale += back if len(back) > crashes else ()
    return Order(len(of_key), repeats, tuple(swapped), tuple(stale))


def stored(acknowledged: Set[Id], at: Mapping[Id, Sequence[float]], window: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of what was acknowledged: what a stream does not hold. Of all: what it holds twice within the dedup window of so many seconds."""
    twice = [one for one in sorted(at) if any(later - earlier < window for earlier, later in pairwise(sorted(at[one])))]
    return tuple(str(one) for one in sorted(acknowledged - at.keys())), tuple(map(str, twice))


def _finding(published: Set[Id], acknowledged: Set[Id], flow: Flow) -> Finding:
    seen, dead = flow.seen.keys(), flow.dead.keys()
    missing = acknowledged - dead - (seen - flow.doomed) - flow.excused
    return Finding(
        name=flow.name,
        wanted=len(acknowledged),
        delivered=len(acknowledged & seen),
        dead=len(acknowledged & dead),
        excused=len((acknowledged & flow.excused) - seen - dead),
        duplicates=sum(times - 1 for times in flow.seen.values()),
        given_up=len(dead - flow.doomed),
        both=len(seen & dead),
        missing=_classified(missing, seen | dead),
        phantoms=tuple(sorted((seen | dead) - published)),
        spared=tuple(sorted(seen & flow.doomed)),
    )


def _classified(missing: Set[Id], arrived: Set[Id]) -> dict[str, tuple[Id, ...]]:
    """By what arrived of the same writer. Of a writer of whom nothing arrived, all is `prefix`."""
    ends: dict[int, tuple[int, int]] = {}
    for one in arrived:
        low, high = ends.get(one.writer, (one.number, one.number))
        ends[one.writer] = min(low, one.number), max(high, one.number)
    found: dict[str, list[Id]] = {"prefix": [], "middle": [], "postfix": []}
    for one in sorted(missing):
        low, high = ends.get(one.writer, (one.number + 1, one.number + 1))
        found["prefix" if one.number < low else "postfix" if one.number > high else "middle"].append(one)
    return {kind: tuple(ids) for kind, ids in found.items() if ids}
