"""What can go wrong, as a tree. A StartError ends the process with its message; a RequestError becomes a response."""


class FunctionError(Exception):
    """Something is wrong with a function or with a request to it."""


class StartError(FunctionError):
    """The function cannot start."""


class BadSetting(StartError):
    """An environment variable of the runtime contract has a value that cannot be used."""


class HandlerNotFound(StartError):
    """There is no handler where one was named or looked for."""


class HandlerUnusable(StartError):
    """The handler was found, but it cannot be called in any of the ways that kfn knows."""


class ImportFailed(StartError):
    """The function's own code failed while it was imported, or while its model was loaded."""


class RequestError(FunctionError):
    """The request cannot be served as it is."""

    status = 400
    title = "Bad Request"


class BadRequest(RequestError):
    """The request is not valid HTTP, or its body is not what it says it is."""


class BadEvent(RequestError):
    """The request is not a valid CloudEvent."""


class BodyTooLarge(RequestError):
    """The body is larger than the function accepts."""

    status = 413
    title = "Content Too Large"


class HeadTooLarge(RequestError):
    """The request line and headers are larger than the server accepts."""

    status = 431
    title = "Request Header Fields Too Large"


class BadResponse(FunctionError):
    """The handler returned something that cannot be sent."""


class Disconnected(FunctionError):
    """The client went away before the exchange was over."""
