"""`kfn.load` between processes: what a gateway's `POST /load` carries, and what can be wrong with it.

One request lasts as long as both live. Its body is a message a line, JSON, and so is the answer's: an empty line now and then, which
says that the autoscaler lives, where a pod that somebody waits for starts, a question, or an object with the reason why it stops
listening. The gateway's end is `gateway/load/report.py`, the autoscaler's `autoscaler/receive.py`. What a gateway does not
understand it passes over, so that it can be older than the autoscaler.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from kfn.load import RevisionKey, Sample

PATH = "/load"
GATEWAY = "kfn-gateway"  # the header with the gateway's identity
MAX_LINE = 256 * 1024  # bytes of one message
MAX_SAMPLES = 500  # in one message: under 500 bytes each with the longest names
MAX_PODS = 900  # in one answer: under 280 bytes each with the longest names
BEAT = 1.0  # seconds between two signs of life, both ways
LONGEST = 3600.0  # seconds that any message speaks of

_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Name = Annotated[str, Meta(min_length=1, max_length=253)]
Count = Annotated[int, Meta(ge=0, le=10_000_000)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST)]


class BadMessage(Exception):
    """What came is no message; the text says what is wrong and where."""


class Poke(Struct, frozen=True, tag="poke", tag_field="say"):
    namespace: Name
    revision: Name
    waiting: Count


class WireSample(Struct, frozen=True, omit_defaults=True):
    namespace: Name
    revision: Name
    concurrency: Annotated[float, Meta(ge=0, le=10_000_000)]
    requests: Count
    period: Seconds
    waiting: Count = 0
    idle: Seconds = 0.0


class Report(Struct, frozen=True, tag="report", tag_field="say"):
    """Samples of a period that ended `age` seconds before this was sent. Without samples it is a sign of life."""

    samples: Annotated[list[WireSample], Meta(max_length=MAX_SAMPLES)] = []
    age: Seconds = 0.0

    def as_samples(self) -> list[Sample]:
        return [Sample(RevisionKey(s.namespace, s.revision), s.concurrency, s.requests, s.waiting, s.period, s.idle) for s in self.samples]


class Busy(Struct, frozen=True, tag="busy", tag_field="say"):
    """The answer to `Ask`: the requests under way on each pod; a pod that is not named has none."""

    number: Count
    pods: Annotated[dict[Name, Count], Meta(max_length=MAX_PODS)] = {}


class Starting(Struct, frozen=True, omit_defaults=True, tag="starting", tag_field="say"):
    """A pod has its address. Whether anything listens there nobody has looked yet."""

    namespace: Name
    revision: Name
    pod: Name
    host: Annotated[str, Meta(min_length=2, max_length=45, pattern=r"^[0-9a-fA-F:.]+$")]
    port: Annotated[int, Meta(ge=1, le=65535)]
    http2: bool = False


class Gone(Struct, frozen=True, tag="gone", tag_field="say"):
    """A pod that was `Starting` has ended, or is about to."""

    namespace: Name
    revision: Name
    pod: Name


class Ask(Struct, frozen=True, tag="ask", tag_field="say"):
    """What is under way on the pods of this revision? `number` comes back in the answer."""

    number: Count
    namespace: Name
    revision: Name


Upward = Poke | Report | Busy
Downward = Starting | Gone | Ask

_encoder = msgspec.json.Encoder()
_upward: msgspec.json.Decoder[Upward] = msgspec.json.Decoder(Upward)
_downward: msgspec.json.Decoder[Downward] = msgspec.json.Decoder(Downward)


def poke(revision: RevisionKey, waiting: int) -> bytes:
    return _encoder.encode(Poke(revision.namespace, revision.name, waiting)) + b"\n"


def reports(samples: Sequence[Sample], age: float) -> Iterator[bytes]:
    """As many messages as the samples need."""
    for at in range(0, len(samples), MAX_SAMPLES):
        wired = [_wired(sample) for sample in samples[at : at + MAX_SAMPLES]]
        yield _encoder.encode(Report(wired, round(age, 3))) + b"\n"


def _wired(sample: Sample) -> WireSample:
    key = sample.revision
    period, idle = min(sample.period, LONGEST), min(sample.idle, LONGEST)
    return WireSample(key.namespace, key.name, sample.concurrency, sample.requests, period, sample.waiting, idle)


ALIVE = _encoder.encode(Report()) + b"\n"


def busy(number: int, pods: Mapping[str, int]) -> bytes:
    """The busiest first, if there are too many."""
    most = sorted(((count, pod) for pod, count in pods.items() if count > 0), reverse=True)[:MAX_PODS]
    return line(Busy(number, {pod: count for count, pod in most}))


def line(message: Upward | Downward) -> bytes:
    return _encoder.encode(message) + b"\n"


def message(line: bytes) -> Upward:
    """What a gateway says. Raises BadMessage."""
    try:
        return _upward.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessage(str(error)) from None


def answer(line: bytes) -> Downward | None:
    """What the autoscaler says; None if it is nothing that this version understands."""
    try:
        return _downward.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def is_identity(text: str) -> bool:
    return _IDENTITY.fullmatch(text) is not None


class Lines:
    """Puts lines together out of pieces as they come."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without empty ones. Raises BadMessage for one that is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise BadMessage(f"a message is longer than {MAX_LINE} bytes")
        return [line for line in lines if line.strip()]

    @property
    def rest(self) -> bytes:
        """What has come of a line that is not whole."""
        return self._rest
