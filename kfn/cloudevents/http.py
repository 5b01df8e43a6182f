"""The HTTP binding: headers and body to events (binary, structured, batched) and an event to headers and body."""

from collections.abc import Iterable

from kfn.cloudevents import encoding, json
from kfn.cloudevents.event import Event, InvalidEvent, checked

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

Headers = Iterable[tuple[bytes, bytes]]


class UnsupportedFormat(InvalidEvent):
    """The event format of the body is one that kfn does not read."""


def parse(headers: Headers, body: bytes) -> list[Event]:
    """The events of a request; one unless it is a batch. Raises `InvalidEvent` or `UnsupportedFormat`."""
    pairs = [(name.decode("latin-1").lower(), value) for name, value in headers]
    media = next((v for k, v in pairs if k == "content-type"), b"").decode("latin-1")
    essence = media.split(";", 1)[0].strip().lower()
    if essence.startswith("application/cloudevents"):
        _check_charset(media)
        if essence == BATCH:
            return json.load_batch(body)
        if essence in (STRUCTURED, "application/cloudevents"):
            return [json.loads(body)]
        raise UnsupportedFormat("Content-Type", f"{essence} is not supported; send {STRUCTURED}, {BATCH}, or binary mode (ce- headers)")
    return [_binary(pairs, media, body)]


def is_event(headers: Headers) -> bool:
    """Whether these headers announce an event rather than some other body."""
    for name, value in headers:
        lower = name.lower()
        if lower == b"ce-specversion" or (lower == b"content-type" and value.lower().startswith(b"application/cloudevents")):
            return True
    return False


def binary(event: Event) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of the event in binary mode."""
    headers = [(f"ce-{name}", encoding.encode(value)) for name, value in event.attributes.items() if name != "datacontenttype"]
    if event.datacontenttype:
        headers.append(("content-type", event.datacontenttype))
    return headers, event.data or b""


def structured(event: Event) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of the event in structured mode, JSON format."""
    return [("content-type", f"{STRUCTURED}; charset=utf-8")], json.dumps(event)


def _binary(pairs: list[tuple[str, bytes]], media: str, body: bytes) -> Event:
    attributes: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith("ce-"):
            if name[3:] in attributes:
                raise InvalidEvent(name, "is there twice")
            attributes[name[3:]] = encoding.decode(name, _text(value))
    if "specversion" not in attributes:
        raise InvalidEvent("ce-specversion", f"the header is missing, and Content-Type is not {STRUCTURED}: this is not a CloudEvent")
    if "datacontenttype" in attributes:
        raise InvalidEvent("ce-datacontenttype", "over HTTP this attribute is the Content-Type header")
    if media:
        attributes["datacontenttype"] = media
    try:
        return checked(Event(attributes, body or None))
    except InvalidEvent as error:
        raise InvalidEvent(f"ce-{error.attribute}", str(error).partition(": ")[2]) from None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _check_charset(media: str) -> None:
    _, _, parameters = media.partition("charset=")
    charset = parameters.split(";", 1)[0].strip(" \"'").lower()
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedFormat("Content-Type", f"charset {charset} is not supported; JSON events are UTF-8")
