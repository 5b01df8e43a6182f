"""Names of images in registries: `registry.example:5000/team/app:1.2@sha256:...`, read as docker reads them. Pure.

Names in kfn's own image store are another thing: builder/reference.py.
"""

import re
from dataclasses import dataclass, replace

from builder.errors import UsageError

HUB = "docker.io"  # the registry of names without one
HUB_HOST = "registry-1.docker.io"  # where its API is
HUB_KEY = "https://index.docker.io/v1/"  # how docker's configuration names it
LATEST = "latest"
LONGEST = 2048  # bytes of a whole reference
LONGEST_REPOSITORY = 255  # as docker: registry and repository together

_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """`registry` is a host with an optional port, `repository` a path there. With neither tag nor digest it names the repository."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Registry and repository, as `Blob.origin` has them."""
        return f"{self.registry}/{self.repository}"

    @property
    def reference(self) -> str:
        """What the API asks for: the digest, else the tag."""
        return self.digest or self.tag or LATEST

    @property
    def bare(self) -> "ImageRef":
        """The repository."""
        return ImageRef(self.registry, self.repository)

    def at(self, digest: str) -> "ImageRef":
        """By digest, without the tag."""
        return replace(self, tag="", digest=digest)

    def tagged(self, tag: str) -> "ImageRef":
        return replace(self, tag=tag, digest="")


def parse_ref(text: str, default_tag: str = LATEST) -> ImageRef:
    """Read a reference. One with neither tag nor digest gets `default_tag`. Raises UsageError, which names the fix."""
    if not text or len(text) > LONGEST:
        raise UsageError(f"an image reference has 1 to {LONGEST} characters, this has {len(text)}")
    if "://" in text:
        raise UsageError(f"image {text!r}: leave out {text.partition('://')[0]}://")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise UsageError(f"image {text!r}: the digest {digest!r} is not sha256: and 64 lower-case hexadecimal digits")
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    tag = rest[colon + 1 :] if colon >= 0 else ""
    if colon >= 0 and not _TAG.fullmatch(tag):
        raise UsageError(f"image {text!r}: the tag {tag!r} has 1 to 128 characters of A-Z a-z 0-9 _ . - and does not begin with . or -")
    found = parse_repository(rest[:colon] if colon >= 0 else rest, text)
    return replace(found, tag=tag or ("" if digest else default_tag), digest=digest)


def parse_repository(name: str, text: str = "") -> ImageRef:
    """Read `registry/path` or a short name, without tag and digest. `text` is what an error shows."""
    text = text or name
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, path = first, rest
    else:
        registry, path = HUB, name
    if registry in (HUB, f"index.{HUB}", HUB_HOST):
        registry, path = HUB, path if "/" in path else f"library/{path}"
    if not _HOST.fullmatch(registry) or _port(registry) > 65535:
        raise UsageError(f"image {text!r}: {registry!r} is not a registry; write a host name or address with an optional port")
    if len(registry) + 1 + len(path) > LONGEST_REPOSITORY:
        raise UsageError(
            f"image {text[:60]!r}...: registry and repository have {len(registry) + 1 + len(path)} characters, at most 255 may be"
        )
    for part in path.split("/"):
        if not _PART.fullmatch(part):
            lower = part.lower()
            hint = f"; {lower!r} would do" if _PART.fullmatch(lower) else ""
            raise UsageError(
                f"image {text!r}: the part {part!r} of the repository may hold a-z and 0-9, with single . _ or - between them{hint}"
            )
    return ImageRef(registry, path)


def _port(registry: str) -> int:
    text = registry.rpartition("]")[2].rpartition(":")[2] if ":" in registry.rpartition("]")[2] else ""
    return int(text or 0)
