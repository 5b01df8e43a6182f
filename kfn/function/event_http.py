"""CloudEvents in HTTP: binary, structured and batched messages to Events and back. Attributes go through byte for byte."""

import json
from collections.abc import Iterable
from typing import Any

from kfn.function.errors import BadEvent
from kfn.function.event import Event, as_text

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def is_event(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request says that it carries a CloudEvent."""
    for name, value in headers:
        if name == b"ce-specversion" or name == b"ce-type" or name == b"ce-id":
            return True
        if name == b"content-type" and value.lower().startswith(b"application/cloudevents"):
            return True
    return False


def from_http(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Event | None:
    """The event in a request; None if it carries none. Header names are lower case. A malformed event raises BadEvent."""
    attributes: dict[str, str] = {}
    content_type = ""
    for name, value in headers:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name.startswith(b"ce-"):
            attributes[name[3:].decode("latin-1")] = _from_header(name, value)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == STRUCTURED:
        return from_json(_parse(body))
    if kind == BATCH:
        raise BadEvent("This is a batch of events, and one event is taken at a time.")
    if not attributes:
        return None
    if content_type:
        attributes["datacontenttype"] = content_type
    return Event.received(attributes, body)


def batch_from_http(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> list[Event] | None:
    """The events of a batched request; None if it is not one."""
    for name, value in headers:
        if name == b"content-type" and value.partition(b";")[0].strip().lower() == BATCH.encode():
            items = _parse(body)
            if not isinstance(items, list):
                raise BadEvent("A batch of events is a JSON array.")
            return [from_json(item) for item in items]
    return None


def from_json(item: Any) -> Event:
    """An event in CloudEvents' JSON format."""
    if not isinstance(item, dict):
        raise BadEvent("A structured event is a JSON object.")
    attributes = {name: as_text(name, value) for name, value in item.items() if name not in ("data", "data_base64") and value is not None}
    if "data_base64" in item:
        from base64 import b64decode

        try:
            return Event.received(attributes, b64decode(item["data_base64"], validate=True))
        except (ValueError, TypeError):
            raise BadEvent("`data_base64` is not base64.") from None
    data = item.get("data")
    if data is not None:
        attributes.setdefault("datacontenttype", "application/json")
    return Event.received(attributes, None if data is not None else b"", data)


def to_headers(event: Event) -> list[tuple[bytes, bytes]]:
    """The event's attributes as headers of a binary-mode message; its body is `event.body`."""
    headers = []
    for name, value in event.attributes.items():
        if name == "datacontenttype":
            headers.append((b"content-type", value.encode("latin-1", "replace")))
        else:
            headers.append((b"ce-" + name.encode(), _to_header(value)))
    return headers


def to_json(event: Event) -> dict[str, Any]:
    """The event in CloudEvents' JSON format."""
    item: dict[str, Any] = dict(event.attributes)
    if not event.has_data:
        return item
    data = event.data
    if isinstance(data, bytes):
        from base64 import b64encode

        item["data_base64"] = b64encode(data).decode()
    else:
        item["data"] = data
    return item


def _from_header(name: bytes, value: bytes) -> str:
    if b"%" in value:
        from urllib.parse import unquote_to_bytes

        value = unquote_to_bytes(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadEvent(f"attribute `{name[3:].decode('latin-1')}` is not percent-encoded UTF-8.") from None


def _to_header(value: str) -> bytes:
    raw = value.encode()
    if all(0x21 <= byte <= 0x7E and byte not in (0x22, 0x25) for byte in raw):
        return raw
    return b"".join(b"%c" % byte if 0x21 <= byte <= 0x7E and byte not in (0x22, 0x25) else b"%%%02X" % byte for byte in raw)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise BadEvent(f"The structured event is not JSON: {error}.") from None
