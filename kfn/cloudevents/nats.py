"""The NATS binding: kfn writes binary mode and reads both modes. Header names are written in lower case, read in any."""

from collections.abc import Mapping

from kfn.cloudevents import encoding, json
from kfn.cloudevents.event import Event, checked


def headers(event: Event) -> dict[str, str]:
    """The event's headers in binary mode; its data is the payload. `datacontenttype` is a ce- header here, unlike HTTP."""
    return {f"ce-{name}": encoding.encode(value) for name, value in event.attributes.items()}


def parse(message_headers: Mapping[str, str] | None, payload: bytes) -> Event:
    """The event in a message of either mode. Raises `InvalidEvent`."""
    folded = {name.lower(): value for name, value in (message_headers or {}).items()}
    if folded.get("content-type", "").lower().startswith("application/cloudevents"):
        return json.loads(payload)
    attributes = {name[3:]: encoding.decode(name, value) for name, value in folded.items() if name.startswith("ce-")}
    return checked(Event(attributes, payload or None))
