"""CloudEvents 1.0 and 0.3: the event, its JSON format, and the HTTP and NATS bindings. Pure; transport is the callers'."""

from kfn.cloudevents.event import Event, InvalidEvent, checked

__all__ = ["Event", "InvalidEvent", "checked"]
