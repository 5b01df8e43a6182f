"""What a Go program carries about how it was built: the compiler's version and every module with its sum. Reads the file, runs nothing.

The Go linker puts it into a section that begins with a marker; since Go 1.18 two length-prefixed texts follow it in place.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path

from builder.components import Component

_MARKER = b"\xff Go buildinf:"
_ALIGN, _HEADER = 16, 32
_INLINE = 2  # flag: the texts follow, they are not behind pointers (as before Go 1.18)
_MOST = 4 << 20
_FRAME = 16  # bytes of sentinels around the list of modules


@dataclass(frozen=True, slots=True)
class Module:
    path: str
    version: str
    sum: str = ""


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """`go` is as `go version` says it, without the leading `go`: 1.26.8."""

    go: str
    main: Module | None
    modules: tuple[Module, ...]
    settings: tuple[tuple[str, str], ...]


def read(path: Path) -> BuildInfo | None:
    """None for a program that Go did not make, or one made before 1.18."""
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _find(data)
        except ValueError:
            return None  # an empty file


def components(path: Path) -> tuple[Component, ...]:
    """The modules in a program, and the standard library, as package URLs. Nothing for a program that is not Go's."""
    info = read(path)
    if info is None:
        return ()
    found = [Component(f"pkg:golang/std@{info.go}", "std", info.go)]
    for module in info.modules:
        sums = (("go:h1", module.sum),) if module.sum else ()
        version = f"@{module.version}" if module.version else ""  # a module of this very source has none
        found.append(Component(f"pkg:golang/{module.path}{version}", module.path, module.version, sums=sums))
    return tuple(sorted(found))


def parse(version: str, text: str) -> BuildInfo:
    """`text` is what `go version -m` shows: a line a fact, its fields parted by tabs. A replaced module is what replaced it."""
    main, modules, settings = None, [], []
    for line in text.splitlines():
        kind, *fields = line.split("\t")
        if kind in ("mod", "dep") and len(fields) >= 2:
            module = Module(*fields[:3])
            if kind == "mod":
                main = module
            else:
                modules.append(module)
        elif kind == "=>" and len(fields) >= 2 and modules:
            modules[-1] = Module(*fields[:3])
        elif kind == "build" and fields:
            name, _, value = fields[0].partition("=")
            settings.append((name, value))
    return BuildInfo(version.removeprefix("go").split(" ")[0], main, tuple(modules), tuple(settings))


def _find(data: mmap.mmap) -> BuildInfo | None:
    at = data.find(_MARKER)
    while at >= 0:
        if at % _ALIGN == 0 and at + _HEADER <= len(data) and data[at + 15] & _INLINE:
            version, end = _text(data, at + _HEADER)
            listed, _ = _text(data, end)
            if version.startswith(b"go") or version.startswith(b"devel"):
                return parse(version.decode("utf-8", "replace"), listed[_FRAME:-_FRAME].decode("utf-8", "replace"))
        at = data.find(_MARKER, at + 1)
    return None


def _text(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    """A text with its length before it, as a varint; empty if it does not fit."""
    length = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    return (data[at : at + length], at + length) if length <= _MOST and at + length <= len(data) else (b"", at)
