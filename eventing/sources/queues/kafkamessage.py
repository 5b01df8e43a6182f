"""From a Kafka record to an event, as Knative makes it: one that is an event already, or a plain one that becomes one. Pure."""

import base64
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kfn.api.kafkasource import TYPE, source_of
from kfn.cloudevents import Event, InvalidEvent, checked, json

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MEDIA_TYPE = re.compile(r"[^\s/;]+/[^\s/;]+\s*(;[\x20-\x7e]*)?")
_NO_EXTENSION = ("content-type", "traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Record:
    """`timestamp` is in milliseconds, or negative where there is none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Made:
    """What the events of one source are made with."""

    namespace: str
    name: str
    key_type: str = "string"
    extensions: Mapping[str, str] = field(default_factory=dict)


def event(record: Record, made: Made) -> Event:
    """What claims to be an event and is not valid goes as a plain record, so that it is seen."""
    headers = texts(record.headers)
    try:
        found = _event(record, headers)
    except InvalidEvent:
        found = None
    key = _key(record.key, made.key_type)
    if found is None:
        found = _plain(record, headers, made)
        if key:
            found = found.with_attributes(key=key)
    if key and "partitionkey" not in found.attributes:
        found = found.with_attributes(partitionkey=key)
    return found.with_attributes(**made.extensions)


def texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """Names in lower case, and values where they are text; of a name that is there twice the last counts."""
    found = {}
    for name, value in headers:
        try:
            found[name.lower()] = (value or b"").decode()
        except UnicodeDecodeError:
            continue
    return found


def _event(record: Record, headers: Mapping[str, str]) -> Event | None:
    media = headers.get("content-type", "")
    if media.lower().startswith("application/cloudevents"):
        return json.loads(record.value or b"")
    if "ce_specversion" not in headers:
        return None
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce_")}
    if media:
        attributes["datacontenttype"] = media
    return checked(Event(attributes, record.value or None))


def _plain(record: Record, headers: Mapping[str, str], made: Made) -> Event:
    attributes = {
        "specversion": "1.0",
        "id": f"partition:{record.partition}/offset:{record.offset}",
        "source": source_of(made.namespace, made.name, record.topic),
        "type": TYPE,
        "subject": f"partition:{record.partition}#{record.offset}",
    }
    if record.timestamp >= 0:
        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        attributes["time"] = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    media = headers.get("content-type", "")
    if _MEDIA_TYPE.fullmatch(media) and not media.lower().startswith("application/cloudevents"):
        attributes["datacontenttype"] = media
    for name, value in headers.items():
        short = re.sub(r"[^a-z0-9]", "", name)
        if short and name not in _NO_EXTENSION and not _CONTROL.search(value):
            attributes[f"kafkaheader{short}"] = value
    return Event(attributes, record.value or None)


def _key(key: bytes | None, type_: str) -> str:
    """As text; what is none of its type is told in base64."""
    if not key:
        return ""
    form = {("int", 4): ">i", ("int", 8): ">q", ("float", 4): ">f", ("float", 8): ">d"}.get((type_, len(key)))
    if form:
        return str(struct.unpack(form, key)[0])
    if type_ == "string":
        try:
            text = key.decode()
        except UnicodeDecodeError:
            text = "\0"
        if not _CONTROL.search(text):
            return text
    return base64.b64encode(key).decode()
