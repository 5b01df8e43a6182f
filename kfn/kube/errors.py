"""What an API server can answer instead of an object. The tree is small: catch the narrowest that you can act on."""

from typing import Any


class KubeError(Exception):
    """The API server could not do what was asked."""


class Unreachable(KubeError):
    """No answer came from the API server."""


class ApiError(KubeError):
    """The API server answered with a failure `metav1.Status`."""

    def __init__(self, code: int, reason: str, message: str, status: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.status = status or {}


class NotFound(ApiError):
    """404: there is no such object."""


class Conflict(ApiError):
    """409: the object changed since it was read, or a precondition failed."""


class AlreadyExists(ApiError):
    """409 AlreadyExists: an object of that name is there."""


class Invalid(ApiError):
    """422 or 400: the object was refused; the message names the fields."""


class Gone(ApiError):
    """410: the resourceVersion is too old; list again."""


class Forbidden(ApiError):
    """401 or 403: the credentials do not allow this."""


def from_status(code: int, body: Any) -> ApiError:
    """The error for a failed answer."""
    status = body if isinstance(body, dict) else {}
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or f"the API server answered {code}")
    kinds: dict[int, type[ApiError]] = {400: Invalid, 401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 422: Invalid}
    kind = AlreadyExists if reason == "AlreadyExists" else kinds.get(code, ApiError)
    return kind(code, reason, message, status)
