"""What admission says when it refuses an object: one error that lists every field at fault, with its path and the fix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `message` ends with what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Invalid(Exception):
    """The object was refused; the message names each field."""

    def __init__(self, errors: Sequence[FieldError], subject: str = "") -> None:
        self.errors = list(errors)
        self.subject = subject
        told = "; ".join(map(str, self.errors))
        super().__init__(f"{subject} is invalid: {told}" if subject else told)

    def causes(self) -> list[dict[str, Any]]:
        """The errors as `details.causes` of a `metav1.Status`."""
        return [{"reason": "FieldValueInvalid", "message": e.message, "field": e.path} for e in self.errors]
