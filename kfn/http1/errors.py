"""Why a call got no answer. One small tree: catch `HttpError` for all of them."""


class HttpError(Exception):
    """No usable answer came."""


class InvalidUrl(HttpError):
    """The URL is not an absolute http or https URL."""


class ConnectFailed(HttpError):
    """No connection could be made."""


class Disconnected(HttpError):
    """The connection ended before the whole answer was there, or the answer was not HTTP."""


class TimedOut(HttpError):
    """The answer took longer than the caller allows."""


class TooLarge(HttpError):
    """The answer is larger than the caller allows."""
