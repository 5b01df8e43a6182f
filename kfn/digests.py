"""The port through which the controller asks what an image's tag means now. `builder.registry.digest` answers it; `cli` joins the two."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Resolve = Callable[[str, Sequence[dict[str, Any]]], Awaitable[str]]
"""(image, docker configurations of its pull secrets) -> `sha256:...`. Raises Unresolved, and nothing else that is not a bug."""


class Unresolved(Exception):
    """Why the digest is not known, in words for the user. `lasting`: asking again soon will not help (not there, not allowed)."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting
