"""What is kept of a run: one small record, rewritten as it goes on. Data is not in it, only what has become of each step. Pure.

Times are seconds since 1970. A step that begins anew (`retry`) has another `round`, so that what the former round still does is told apart.
"""

import msgspec

WAITING, RUNNING, SUCCEEDED, FAILED, SKIPPED, CANCELLED = "waiting", "running", "succeeded", "failed", "skipped", "cancelled"
ENDED = frozenset((SUCCEEDED, FAILED, SKIPPED, CANCELLED))
UNKNOWN = -1


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """`total` is how many items a map has, once that is known. `done` and `failed` are bit masks of its items, in hexadecimal digits.
    `window` is when a join waits no longer. `version` is the Revision that was called last."""

    status: str = WAITING
    round: int = 0
    attempts: int = 0
    started: float = 0.0
    ended: float = 0.0
    error: str = ""
    total: int = UNKNOWN
    done: str = ""
    failed: str = ""
    window: float = 0.0
    version: str = ""

    @property
    def is_over(self) -> bool:
        return self.status in ENDED

    @property
    def finished(self) -> int:
        """The mask of items that need nothing more."""
        return mask(self.done) | mask(self.failed)

    @property
    def done_count(self) -> int:
        return mask(self.done).bit_count()

    @property
    def failed_count(self) -> int:
        return mask(self.failed).bit_count()


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """The event that started a run, and the sequence that it has in its Broker's stream; 0: it came by HTTP."""

    source: str = ""
    id: str = ""
    type: str = ""
    sequence: int = 0


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """`generation` says which plan it follows, `versions` which Revision each function had when it began. `retries` counts how often it was
    taken up again after its end; `buried` says that its dead letter is stored."""

    id: str
    generation: int
    status: str = RUNNING
    started: float = 0.0
    ended: float = 0.0
    deadline: float = 0.0
    error: str = ""
    at: str = ""  # the step that failed
    steps: dict[str, Step] = {}
    versions: dict[str, str] = {}
    cause: Cause = Cause()
    trace: dict[str, str] = {}
    retries: int = 0
    buried: bool = False

    @property
    def is_over(self) -> bool:
        return self.status != RUNNING


_decoder = msgspec.json.Decoder(Run)


def dumps(run: Run) -> bytes:
    return msgspec.json.encode(run)


def loads(data: bytes) -> Run:
    """Raises `msgspec.DecodeError`."""
    return _decoder.decode(data)


def mask(digits: str) -> int:
    return int(digits, 16) if digits else 0


def digits(mask: int) -> str:
    return f"{mask:x}" if mask else ""
