"""From a NATS message to an event: one that is an event already, or a plain one that becomes one. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from kfn.cloudevents import Event, InvalidEvent
from kfn.cloudevents import nats as binding

_MEDIA_TYPE = re.compile(r"[^\s/;]+/[^\s/;]+\s*(;[\x20-\x7e]*)?")
_SAFE = "!$&'()*+,;=:@-._~"  # of a path's segment


@dataclass(frozen=True, slots=True)
class Message:
    """`id` and `time` are for what says neither itself."""

    subject: str
    headers: Mapping[str, str]
    data: bytes
    id: str
    time: str


@dataclass(frozen=True, slots=True)
class Made:
    """What the events of one source are made with. `server` is the URL of the first one."""

    server: str
    type: str
    extensions: Mapping[str, str] = field(default_factory=dict)


def event(message: Message, made: Made) -> Event:
    """What claims to be an event and is not valid goes as a plain message, so that it is seen."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    found = None
    if "ce-specversion" in headers or headers.get("content-type", "").lower().startswith("application/cloudevents"):
        try:
            found = binding.parse(message.headers, message.data)
        except InvalidEvent:
            found = None
    return (found or _plain(message, made, headers.get("content-type", ""))).with_attributes(**made.extensions)


def source(server: str, subject: str) -> str:
    """The `source` attribute: server and subject, without credentials."""
    parts = urlsplit(server)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"nats://{host}{f':{parts.port}' if parts.port else ''}/{quote(subject, safe=_SAFE)}"


def _plain(message: Message, made: Made, media: str) -> Event:
    attributes = {
        "specversion": "1.0",
        "id": message.id,
        "source": source(made.server, message.subject),
        "type": made.type,
        "subject": message.subject,
        "time": message.time,
    }
    if _MEDIA_TYPE.fullmatch(media) and not media.lower().startswith("application/cloudevents"):
        attributes["datacontenttype"] = media
    return Event(attributes, message.data or None)
