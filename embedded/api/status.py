"""Failures as Kubernetes words them: every refusal is a `StatusError`, which becomes a `metav1.Status` at the border."""

from collections.abc import Sequence
from typing import Any

from kfn.api.base import Json
from kfn.api.kinds import Kind


class StatusError(Exception):
    """A request was refused; carries the code, the reason and the details that clients decide on."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def body(self) -> Json:
        status: Json = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        }  # fmt: skip
        if self.details:
            status["details"] = self.details
        return status


def _details(kind: Kind[Any], name: str) -> Json:
    return {"name": name, "group": kind.group, "kind": kind.plural} if kind.group else {"name": name, "kind": kind.plural}


def not_found(kind: Kind[Any], name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{kind.qualified} "{name}" not found', _details(kind, name))


class UnknownPath(StatusError):
    """The server could not find the requested resource.

    Over HTTP it is said in plain text, as Kubernetes does: that is how kn and client-go tell a kind that is not installed from an
    object that does not exist."""

    text = "404 page not found\n"


def unknown_path() -> StatusError:
    return UnknownPath(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind[Any], name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', _details(kind, name))


def conflict(kind: Kind[Any], name: str, why: str = "") -> StatusError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return StatusError(409, "Conflict", f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}', _details(kind, name))


def invalid(kind: Kind[Any], name: str, causes: Sequence[tuple[str, str, str]]) -> StatusError:
    """422. A cause is (field, reason, message), such as ("spec.traffic", "FieldValueInvalid", "Invalid value: 90: must sum to 100")."""
    texts = [f"{field}: {message}" if field else message for field, _, message in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details: Json = {"name": name, "group": kind.group, "kind": kind.kind} if kind.group else {"name": name, "kind": kind.kind}
    details["causes"] = [{"reason": reason, "message": message, "field": field} for field, reason, message in causes]
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def forbidden(kind: Kind[Any], name: str, why: str) -> StatusError:
    return StatusError(403, "Forbidden", f'{kind.qualified} "{name}" is forbidden: {why}', _details(kind, name))


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", text)


def too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def gone(asked: int, oldest: int) -> StatusError:
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def storage_full(why: str) -> StatusError:
    return StatusError(507, "InsufficientStorage", f"{why}: free some space there and try again; nothing accepted before is lost")


def internal(why: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {why}")
