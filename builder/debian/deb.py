"""Read a .deb as what it would put into a root file system. Never writes a path: who composes a layer decides what becomes of an entry.

Everything in it is taken for hostile, signature or not: names, links, modes, sizes, counts and the compression ratio are checked.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

Kind = Literal["file", "folder", "link"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of the package's data.

    `path` is relative, without `./`, `..` or empty parts: `usr/bin/python3.13`. A hard link is a file with the content and mode of what
    it links to, whose path is `hard`. `open` gives the content (empty for what is no file); use it before the package is closed.
    """

    path: str
    kind: Kind
    mode: int  # permission bits; setuid, setgid and sticky as the package has them
    size: int
    link: str  # a symbolic link's target as it stands there; absolute ones point into the root file system
    hard: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Deb:
    """`control` has the fields of the control file, `md5sums` the file of that name (empty if there is none)."""

    control: Mapping[str, str]
    control_text: str
    md5sums: str
    entries: Callable[[], Iterator[Entry]]  # once, in the order of the package
    postinst: str = ""  # never run; `builder/base` reads what it would register as alternatives


@contextmanager
def opened(path: Path, scratch: Path | None = None) -> Iterator[Deb]:
    """`scratch` is the folder for the unpacked data (a file without a name), by default the system's. Raises BadPackage."""
    raise NotImplementedError
