"""For which machines an image is: `linux/amd64`, `linux/arm64`. The names that others use for the same. Pure, but for `host`."""

import platform as machine
from dataclasses import dataclass

from builder.errors import UsageError

_UNAME = {"amd64": "x86_64", "arm64": "aarch64"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """OCI's names: `architecture` is amd64 or arm64, which are Debian's names too."""

    architecture: str
    os: str = "linux"

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"

    @property
    def machine(self) -> str:
        """As `uname -m` and wheels name it."""
        return _UNAME[self.architecture]

    @property
    def oci(self) -> dict[str, str]:
        return {"architecture": self.architecture, "os": self.os}


def parse(text: str) -> Platform:
    """`linux/arm64`, `arm64` or `aarch64`; a variant such as `/v8` is dropped. Raises UsageError."""
    parts = text.strip().lower().split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    os, name = parts[0], parts[1] if len(parts) > 1 else ""
    if os != "linux" or name not in _ARCHITECTURES or len(parts) > 3 or (len(parts) == 3 and (name, parts[2]) != ("arm64", "v8")):
        raise UsageError(f"--platform {text!r}: kfn builds for {' and '.join(f'linux/{a}' for a in _UNAME)}")
    return Platform(_ARCHITECTURES[name])


def parse_all(texts: tuple[str, ...]) -> tuple[Platform, ...]:
    """Each may list several, with commas. Sorted, without repetition."""
    return tuple(sorted({parse(part) for text in texts for part in text.split(",") if part.strip()}))


def host() -> Platform:
    """Of the machine that this runs on. Raises UsageError for one that kfn makes no images for."""
    return parse(machine.machine())
