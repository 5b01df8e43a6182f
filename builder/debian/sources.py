"""Where Debian's packages come from: a flag or the environment, else the machine's own apt configuration. No address is known here.

Only the address of a mirror of Debian's archive (and of its security archive) is taken from the machine, whatever release it runs
itself; which suites are read is up to who asks. Sources of others are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIRROR = "KFN_DEBIAN_MIRROR"
SECURITY_MIRROR = "KFN_DEBIAN_SECURITY_MIRROR"
KEYRING = "KFN_DEBIAN_KEYRING"
ALLOW_STALE = "KFN_DEBIAN_ALLOW_STALE"


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Addresses without a slash at the end, the one to ask first first. `keyrings` are trusted beside the keys that kfn ships."""

    archive: tuple[str, ...]
    security: tuple[str, ...]  # empty: the archive's address with `-security`
    keyrings: tuple[Path, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)  # scheme or scheme://host -> proxy; empty text: none
    allow_stale: bool = False  # of a mirror of some day in the past


def find(environ: Mapping[str, str], etc: Path = Path("/etc/apt"), *, mirror: str = "", security: str = "") -> Mirrors:
    """`mirror` and `security` are flags. Raises MirrorUnknown if neither they nor the environment nor the machine name one."""
    raise NotImplementedError
