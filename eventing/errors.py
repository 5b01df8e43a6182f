"""What the bus can refuse. Translated at the border: to HTTP answers by the ingress, to conditions by the reconcilers."""


class BusError(Exception):
    """The event bus could not do what was asked."""


class Unavailable(BusError):
    """NATS is away, or did not acknowledge in time; the same event may be sent again without being stored twice."""


class Full(BusError):
    """The Broker's stream is at its limit; events are refused, not dropped, until some expire."""


class TooLarge(BusError):
    """The event is larger than the stream accepts."""


class NoStream(BusError):
    """There is no such stream, or no such consumer."""


class NoMessage(BusError):
    """There is no such message in the stream, or not any more."""


class Refused(BusError):
    """NATS refused the request; the message says why."""


class Changed(Refused):
    """Something else is stored there meanwhile."""
