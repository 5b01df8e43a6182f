"""Why the gateway itself answers a request. Each refusal is one HTTP status; `answers` turns it into bytes."""


class Refusal(Exception):
    """The gateway answers this request itself."""

    status = 500
    title = "Internal Server Error"
    retry_after = 0
    close = False  # the client's connection cannot go on after this
    grpc = 2  # gRPC's code for it: UNKNOWN

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (self.__doc__ or ""))

    @property
    def detail(self) -> str:
        return str(self.args[0])


class BadRequest(Refusal):
    """The request is not valid HTTP/1.1."""

    status, title, close = 400, "Bad Request", True
    grpc = 13  # INTERNAL, as gRPC's table has it


class UnknownHost(Refusal):
    """No Route has this host."""

    status, title = 404, "Not Found"
    grpc = 12  # UNIMPLEMENTED


class RevisionGone(Refusal):
    """The Revision that the request asks for is not there any more, or not of this Service."""

    status, title = 410, "Gone"
    grpc = 9  # FAILED_PRECONDITION


class HeadTimeout(Refusal):
    """The request's head did not arrive in time."""

    status, title, close = 408, "Request Timeout", True
    grpc = 4  # DEADLINE_EXCEEDED


class BodyTimeout(Refusal):
    """The request's body stopped coming."""

    status, title, close = 408, "Request Timeout", True
    grpc = 4


class BodyTooLarge(Refusal):
    """The request's body is over the limit."""

    status, title, close = 413, "Content Too Large", True
    grpc = 8  # RESOURCE_EXHAUSTED


class ExpectationFailed(Refusal):
    """The only expectation understood here is 100-continue."""

    status, title, close = 417, "Expectation Failed", True


class HeadTooLarge(Refusal):
    """The request's head is over the limit."""

    status, title, close = 431, "Request Header Fields Too Large", True
    grpc = 8


class InternalError(Refusal):
    """The gateway has a bug; its log says where."""

    close = True
    grpc = 13


class NotImplementedHere(Refusal):
    """The request's method or transfer coding is not known here."""

    status, title, close = 501, "Not Implemented", True
    grpc = 12


class Unreachable(Refusal):
    """No instance could be reached, or its answer was cut off or was not HTTP."""

    status, title = 502, "Bad Gateway"
    grpc = 14  # UNAVAILABLE: may be tried again


class LineFull(Refusal):
    """Too many requests wait already."""

    status, title = 503, "Service Unavailable"
    grpc = 14

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ConnectionsFull(LineFull):
    """There are as many connections as the gateway takes."""

    close = True


class TooManyConnections(LineFull):
    """One client has too many connections, or too many requests on one: its own doing, so that nobody takes the gateway for overloaded."""

    status, title, close = 429, "Too Many Requests", True
    grpc = 8


class RevisionFailed(Refusal):
    """The revision cannot start."""

    status, title = 503, "Service Unavailable"
    grpc = 14


class Stopping(Refusal):
    """The gateway is shutting down."""

    status, title, close = 503, "Service Unavailable", True
    grpc = 14


class NotInTime(Refusal):
    """No instance was ready in time, or the instance did not answer in time."""

    status, title = 504, "Gateway Timeout"
    grpc = 14


class OutOfTime(NotInTime):
    """The instance did not begin its answer within the revision's time limit."""

    grpc = 4


class UnsupportedVersion(Refusal):
    """Only versions 1.0 and 1.1 of HTTP are spoken here."""

    status, title, close = 505, "HTTP Version Not Supported", True
    grpc = 13
