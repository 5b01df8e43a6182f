"""Changes that wait to be sent: in their order for each object, bounded, and brought down to one an object where they are too many. Pure.

While the sink is away the list grows. At its bound the changes of one object become its last: an `add` that is followed by updates stays
an `add`, of the newest state. If that does not help, as the objects are as many, the list is `full`: whoever fills it stops watching, and
goes on where it stopped when there is room. Of one sweep of a list, which cannot be stopped in the middle, all are taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kfn.api.kinds import Kind
from kfn.api.raw import Raw


@dataclass(frozen=True, slots=True)
class Change:
    """`verb` is add, update or delete; `time` is when it was heard of."""

    kind: Kind[Raw]
    verb: str
    obj: Raw
    time: str

    @property
    def uid(self) -> str:
        return self.obj.metadata.uid


class Outbox:
    """Each object's changes are handed out one at a time, so that none overtakes another."""

    def __init__(self, most: int = 1000, most_bytes: int = 32 << 20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting: dict[str, list[Change]] = {}  # by uid, in the order in which the objects' first changes came
        self._busy: dict[str, Change] = {}
        self._count = self._bytes = 0
        self._folded_at = 0

    def __len__(self) -> int:
        """Changes that are not sent yet."""
        return self._count + len(self._busy)

    @property
    def full(self) -> bool:
        return self._count >= self._most or self._bytes >= self._most_bytes

    @property
    def roomy(self) -> bool:
        """There is room enough again to go on after it was full."""
        return self._count <= self._most // 2 and self._bytes <= self._most_bytes // 2

    def add(self, change: Change) -> int:
        """How many changes were left out for newer ones of the same object."""
        self._waiting.setdefault(change.uid, []).append(change)
        self._count, self._bytes = self._count + 1, self._bytes + len(change.obj.body)
        if not self.full or self._count < 2 * self._folded_at:
            return 0
        return self._fold()

    def take(self) -> Change | None:
        """The next to send, of an object of which none is being sent; say `done` of it."""
        for uid, changes in self._waiting.items():
            if uid in self._busy:
                continue
            change = self._busy[uid] = changes.pop(0)
            if not changes:
                del self._waiting[uid]
            self._count, self._bytes = self._count - 1, self._bytes - len(change.obj.body)
            return change
        return None

    def done(self, change: Change) -> None:
        """It is sent, or given up."""
        self._busy.pop(change.uid, None)
        if self.roomy:
            self._folded_at = 0

    def put_back(self, change: Change) -> None:
        """It was taken, and is not sent."""
        self._busy.pop(change.uid, None)
        self._waiting.setdefault(change.uid, []).insert(0, change)
        self._count, self._bytes = self._count + 1, self._bytes + len(change.obj.body)

    def _fold(self) -> int:
        before = self._count
        self._waiting = {uid: [_folded(changes)] for uid, changes in self._waiting.items()}
        self._count, self._bytes = len(self._waiting), sum(len(one.obj.body) for one in self._all())
        self._folded_at = self._count  # looked at again when it has doubled, or adding n changes would cost n²
        return before - self._count

    def _all(self) -> Iterator[Change]:
        for changes in self._waiting.values():
            yield from changes


def _folded(changes: list[Change]) -> Change:
    first, last = changes[0], changes[-1]
    return replace(last, verb=first.verb) if first.verb == "add" and last.verb == "update" else last
