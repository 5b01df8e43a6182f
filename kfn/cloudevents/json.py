"""The JSON event format: one event, or a batch, from bytes and to bytes. Data that is JSON keeps its exact bytes."""

import base64
import binascii
import re
from typing import Any

import msgspec

from kfn.cloudevents.event import Event, InvalidEvent, checked

_JSON_TYPE = re.compile(r"[^/\s]+/(json|[^;\s]*\+json)\s*(;.*)?", re.IGNORECASE | re.DOTALL)
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_value = msgspec.json.Decoder()
_TOO_DEEP = "the body is nested too deeply"


def is_json(media_type: str) -> bool:
    """Whether data of this content type is JSON; an absent type counts as JSON, as the format says."""
    return not media_type or _JSON_TYPE.fullmatch(media_type) is not None


def loads(body: bytes) -> Event:
    """One event in structured mode. Raises `InvalidEvent`."""
    try:
        return _event(_raw_object.decode(body))
    except msgspec.DecodeError as error:
        raise InvalidEvent("", f"the body is not a JSON object: {error}") from None
    except RecursionError:
        raise InvalidEvent("", _TOO_DEEP) from None


def _event(fields: dict[str, msgspec.Raw]) -> Event:
    fields = {name: raw for name, raw in fields.items() if bytes(raw) != b"null"}  # null is the same as absent
    attributes = {name: _string(name, _value.decode(raw)) for name, raw in fields.items() if name not in ("data", "data_base64")}
    encoding = attributes.pop("datacontentencoding", "") if attributes.get("specversion") == "0.3" else ""
    data = _data(fields, attributes.get("datacontenttype", ""), encoding)
    if "data" in fields and data is not None:
        attributes.setdefault("datacontenttype", "application/json")
    return checked(Event(attributes, data))


def load_batch(body: bytes) -> list[Event]:
    """Every event of a batch. Raises `InvalidEvent` that lists each wrong one by its place."""
    try:
        items = _raw_list.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidEvent("", f"the body is not a JSON array of events: {error}") from None
    except RecursionError:
        raise InvalidEvent("", _TOO_DEEP) from None
    events, problems = [], []
    for index, item in enumerate(items):
        try:
            events.append(loads(bytes(item)))
        except InvalidEvent as error:
            problems.append(f"[{index}].{error}")
    if problems:
        raise InvalidEvent("", "; ".join(problems[:20]))
    return events


def dumps(event: Event) -> bytes:
    """The event in structured mode."""
    fields: dict[str, Any] = dict(event.attributes)
    if event.data is not None:
        if is_json(event.datacontenttype) and _is_valid(event.data):
            fields["data"] = msgspec.Raw(event.data)
        elif event.specversion == "0.3":
            fields |= {"data": base64.b64encode(event.data).decode(), "datacontentencoding": "base64"}
        else:
            fields["data_base64"] = base64.b64encode(event.data).decode()
    return msgspec.json.encode(fields)


def _data(fields: dict[str, msgspec.Raw], content_type: str, encoding: str) -> bytes | None:
    if "data" in fields and "data_base64" in fields:
        raise InvalidEvent("data_base64", "an event has data or data_base64, not both")
    encoded = fields.get("data_base64")
    if encoded is None and encoding == "base64":
        encoded = fields.get("data")
    if encoded is not None:
        return _base64(_value.decode(encoded))
    raw = fields.get("data")
    if raw is None:
        return None
    if is_json(content_type):
        return bytes(raw)
    value = _value.decode(raw)
    return value.encode() if isinstance(value, str) else bytes(raw)


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise InvalidEvent("data_base64", "is not base64") from None


def _string(name: str, value: Any) -> str:
    """The canonical string form of an attribute's JSON value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -(2**31) <= value < 2**31:
        return str(value)
    raise InvalidEvent(name, "must be a string, a boolean or a 32-bit integer")


def _is_valid(data: bytes) -> bool:
    try:
        _value.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
