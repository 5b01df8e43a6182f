"""From a signed request to an event: whether the signature is right, and what the event's type and id are. Pure."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kfn.cloudevents import Event, InvalidEvent
from kfn.cloudevents.event import checked

_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Door:
    """What one WebhookSource takes and makes. Header names are in lower case."""

    url: str  # of its sink
    secret: bytes = field(repr=False)
    signature_header: str
    type: str
    type_header: str
    id_header: str
    source: str
    extensions: Mapping[str, str]


def is_signed(door: Door, headers: Mapping[str, str], body: bytes) -> bool:
    """Compared in constant time, as GitHub signs: `sha256=` and the HMAC-SHA256 of the body in hex."""
    expected = "sha256=" + hmac.new(door.secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers.get(door.signature_header, "").encode("utf-8", "surrogateescape"))


def event(door: Door, headers: Mapping[str, str], body: bytes, time: str) -> Event:
    """The same request gives the same type, source and id each time it is sent, so that a Broker stores it once."""
    kind = headers.get(door.type_header, "")
    type = f"{door.type}.{kind}" if _SUFFIX.fullmatch(kind) else door.type
    delivery = headers.get(door.id_header, "")
    id = delivery if _ID.fullmatch(delivery) else "sha256-" + hashlib.sha256(type.encode() + b"\n" + body).hexdigest()
    attributes = {"specversion": "1.0", "id": id, "source": door.source, "type": type, "time": time, **door.extensions}
    content_type = headers.get("content-type", "")
    if body and content_type:
        try:
            return checked(Event({**attributes, "datacontenttype": content_type}, body))
        except InvalidEvent:
            pass  # no media type; the body is what counts
    return Event(attributes, body or None)
