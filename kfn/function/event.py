"""CloudEvents 1.0: the Event that a handler is given and may return. Part of the author's SDK (`kfn.Event`, `kfn.cloudevent`).

Its forms in HTTP are in `event_http`.
"""

import json
from collections.abc import Callable, Mapping
from os import urandom
from time import time as now
from typing import Any, TypeVar

from kfn.function.errors import BadEvent
from kfn.function.times import rfc3339

REQUIRED = ("id", "source", "type")
_CORE = frozenset(("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"))
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")

F = TypeVar("F", bound=Callable[..., Any])


def cloudevent(handler: F) -> F:
    """Mark a handler as one that takes CloudEvents, whatever its parameter is called."""
    handler.__kfn_takes__ = "event"  # type: ignore[attr-defined]
    return handler


class Event:
    """A CloudEvent. `data` is what its content type says: JSON as objects, text as str, anything else as bytes."""

    __slots__ = ("_body", "_data", "attributes")

    def __init__(self, type: str, source: str, data: Any = None, *, id: str = "", **attributes: Any) -> None:
        self.attributes: dict[str, str] = {"specversion": "1.0", "id": id or urandom(16).hex(), "source": source, "type": type}
        for name, value in attributes.items():
            if value is not None:
                self.attributes[name] = as_text(name, value)
        self.attributes.setdefault("time", rfc3339(now()))
        self._body: bytes | None = None
        self._data = data
        if data is not None and "datacontenttype" not in self.attributes:
            self.attributes["datacontenttype"] = _content_type(data)
        _validate(self.attributes)

    @classmethod
    def received(cls, attributes: dict[str, str], body: bytes | None, data: Any = None) -> "Event":
        """An event as it came: its data as bytes, or as the object that a structured event held."""
        event: Event = cls.__new__(cls)
        _validate(attributes)
        event.attributes = attributes
        event._body = body
        event._data = data
        return event

    def __class_getitem__(cls, item: Any) -> type["Event"]:
        return cls  # `kfn.Event[Doc]` in an annotation says what the data is to its reader

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def source(self) -> str:
        return self.attributes["source"]

    @property
    def type(self) -> str:
        return self.attributes["type"]

    @property
    def subject(self) -> str | None:
        return self.attributes.get("subject")

    @property
    def time(self) -> str | None:
        return self.attributes.get("time")

    @property
    def datacontenttype(self) -> str | None:
        return self.attributes.get("datacontenttype")

    @property
    def extensions(self) -> dict[str, str]:
        return {name: value for name, value in self.attributes.items() if name not in _CORE}

    @property
    def data(self) -> Any:
        """The data, decoded by its content type."""
        if self._data is None and self._body:
            self._data = _decode(self._body, self.datacontenttype)
        return self._data

    @property
    def has_data(self) -> bool:
        return self._data is not None or bool(self._body)

    @property
    def body(self) -> bytes:
        """The data as bytes, as it came or as it will be sent."""
        if self._body is None:
            self._body = _encode(self._data, self.datacontenttype)
        return self._body

    def reply(self, type: str, data: Any = None, *, source: str = "", id: str = "", **attributes: Any) -> "Event":
        """An event that answers this one.

        Its id follows from this event's source and id and from the reply's type, so that when this event is delivered again the
        reply is recognised as the same. The function's own source is filled in when it is sent.
        """
        if not id:
            from hashlib import sha256

            id = sha256("\n".join((self.source, self.id, type)).encode()).hexdigest()[:32]
        if "traceparent" in self.attributes:
            attributes.setdefault("traceparent", self.attributes["traceparent"])
        return Event(type, source or own_source, data, id=id, **attributes)

    def __repr__(self) -> str:
        return f"<Event {self.type} {self.id} from {self.source}>"


own_source = "/kfn/function"  # set once, at start, to this function's name


def _validate(attributes: Mapping[str, str]) -> None:
    version = attributes.get("specversion")
    if version != "1.0":
        raise BadEvent(f"attribute `specversion` is {version!r}; it must be '1.0'." if version else "attribute `specversion` is missing.")
    for name in REQUIRED:
        if not attributes.get(name):
            raise BadEvent(f"attribute `{name}` is {'empty' if name in attributes else 'missing'}; every CloudEvent needs it.")
    for name in attributes:
        if not name or not _NAME.issuperset(name):
            raise BadEvent(f"attribute `{name}` has a bad name: only lower-case letters and digits are allowed.")
    if "time" in attributes and not _is_time(attributes["time"]):
        raise BadEvent(f"attribute `time` is {attributes['time']!r}; it must be an RFC 3339 timestamp.")


def _is_time(text: str) -> bool:
    date, separator, clock = text[:10], text[10:11], text[11:]
    shape = date[:4].isdigit() and date[4:8:3] == "--" and date[5:7].isdigit() and date[8:10].isdigit() and separator in ("T", "t", " ")
    zone = clock[-1:] in ("Z", "z") or (clock[-6:-5] in ("+", "-") and clock[-3:-2] == ":")
    return shape and zone and clock[:2].isdigit() and clock[2:3] == ":" and clock[3:5].isdigit()


def as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise BadEvent(f"attribute `{name}` is {value!r}; it must be a string, a number or a boolean.")


def _is_json(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _decode(body: bytes, content_type: str | None) -> Any:
    try:
        if _is_json(content_type):
            return json.loads(body)
        return body.decode() if (content_type or "").lower().startswith("text/") else body
    except ValueError as error:
        raise BadEvent(f"`data` is not {content_type}: {error}.") from None


def _content_type(data: Any) -> str:
    if isinstance(data, bytes):
        return "application/octet-stream"
    return "text/plain; charset=utf-8" if isinstance(data, str) else "application/json"


def _encode(data: Any, content_type: str | None) -> bytes:
    if data is None:
        return b""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str) and not _is_json(content_type):
        return data.encode()
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
