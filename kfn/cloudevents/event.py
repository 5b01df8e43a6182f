"""One event: its attributes as strings, exactly as they came, and its data as bytes. Says what makes an event valid.

Every attribute keeps its string form, so that an event leaves byte for byte as it arrived, extensions included.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

VERSIONS = ("1.0", "0.3")
REQUIRED = ("specversion", "id", "source", "type")

_NAME = re.compile(r"[a-z0-9]+")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_MEDIA_TYPE = re.compile(r"[^\s/;]+/[^\s/;]+\s*(;.*)?", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class InvalidEvent(ValueError):
    """What arrived is not a CloudEvent; `attribute` names what is wrong."""

    def __init__(self, attribute: str, problem: str) -> None:
        super().__init__(f"{attribute}: {problem}" if attribute else problem)
        self.attribute = attribute


@dataclass(frozen=True, slots=True)
class Event:
    """`attributes` holds context attributes and extensions by lower-case name; `data` None means the event has none."""

    attributes: Mapping[str, str]
    data: bytes | None = None

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    @property
    def source(self) -> str:
        return self.attributes.get("source", "")

    @property
    def type(self) -> str:
        return self.attributes.get("type", "")

    @property
    def specversion(self) -> str:
        return self.attributes.get("specversion", "")

    @property
    def datacontenttype(self) -> str:
        return self.attributes.get("datacontenttype", "")

    def with_attributes(self, **changes: str | None) -> "Event":
        """The same event with attributes set, or removed where the value is None."""
        merged = {k: v for k, v in {**self.attributes, **changes}.items() if v is not None}
        return replace(self, attributes=merged)


def checked(event: Event) -> Event:
    """The event itself, if it is valid. Raises `InvalidEvent`, which names the attribute."""
    for name in REQUIRED:
        if not event.attributes.get(name):
            raise InvalidEvent(name, "is required and must not be empty")
    if event.specversion not in VERSIONS:
        raise InvalidEvent("specversion", f"{event.specversion!r} is not supported; send {' or '.join(VERSIONS)}")
    for name, value in event.attributes.items():
        if not _NAME.fullmatch(name):
            raise InvalidEvent(name, "an attribute's name consists of lower-case letters and digits")
        if _CONTROL.search(value):
            raise InvalidEvent(name, "must not contain control characters")
    _check_optional(event.attributes)
    return event


def _check_optional(attributes: Mapping[str, str]) -> None:
    for name in ("subject", "datacontenttype", "dataschema", "schemaurl", "time"):
        if attributes.get(name) == "":
            raise InvalidEvent(name, "must not be empty; leave it out instead")
    time = attributes.get("time")
    if time and not _RFC3339.fullmatch(time):
        raise InvalidEvent("time", f"{time!r} is not an RFC 3339 timestamp such as 2026-01-31T10:00:00Z")
    content_type = attributes.get("datacontenttype")
    if content_type and not _MEDIA_TYPE.fullmatch(content_type):
        raise InvalidEvent("datacontenttype", f"{content_type!r} is not a media type such as application/json")
    schema = attributes.get("dataschema")
    if schema and attributes.get("specversion") == "1.0" and not _SCHEME.match(schema):
        raise InvalidEvent("dataschema", f"{schema!r} is not an absolute URI")
