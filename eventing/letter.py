"""A dead letter: the event, with Knative's extensions that say where it failed and how. Pure."""

import base64

from eventing.retry import DeadLetter
from kfn.cloudevents import Event

TTL = "knativebrokerttl"


def dead(event: Event, verdict: DeadLetter, destination: str) -> Event:
    """`destination` is the address that did not take it."""
    return event.with_attributes(
        **{TTL: None},
        knativeerrordest=destination,
        knativeerrorcode=str(verdict.code),
        knativeerrordata=base64.b64encode(verdict.data[:1024]).decode() or None,
    )
