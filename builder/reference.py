"""Names of images in the local store: `kfn.local/<namespace>/<name>[@sha256:<manifest digest>]`. Pure."""

import re
from dataclasses import dataclass

from builder.errors import ImageNotFound

HOST = "kfn.local"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """`name` holds host and path; without a digest it means the image added last under that name."""

    name: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else self.name


def image_name(namespace: str, name: str) -> str:
    return f"{HOST}/{namespace}/{name}"


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Split a reference. Raises `ImageNotFound` for anything that the local store cannot hold."""
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise ImageNotFound(f"{text!r} does not end in @sha256: and 64 hexadecimal digits")
    if not _NAME.fullmatch(name):
        raise ImageNotFound(f"{text!r} is not an image name of the form {HOST}/<namespace>/<name>[@sha256:<digest>]")
    return Reference(name, digest)
