"""What uv installed: which files belong to which distribution, and how they go into layers. Reads metadata, writes nothing.

What differs between two installations of the same wheel is left out or rewritten: the installer's notes and the interpreter
in scripts' first lines.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from builder.errors import DependencyError
from builder.python.lockfile import normal
from builder.tar import Member

LARGE = 1 << 20  # bytes installed: from here on a distribution has a layer of its own
MOST_LAYERS = 18  # own layers for the largest; every layer costs a node and a registry something
_NOTES = ("direct_url.json", "REQUESTED", "uv_cache.json", "INSTALLER", "uv_build.json")
_MODULE = re.compile(r"([A-Za-z_]\w*)(\.py|\.[\w-]*\.?(so|pyd))?")


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution. `files` are relative to the installation folder."""

    name: str
    title: str
    files: tuple[str, ...]
    size: int  # bytes

    @property
    def modules(self) -> tuple[str, ...]:
        """What `import` finds of it at the top level."""
        found = set()
        for file in self.files:
            first, _, rest = file.partition("/")
            match = _MODULE.fullmatch(first)
            code = (rest or first).endswith((".py", ".so"))
            if match and code and first != "bin" and not (rest and match[2]):
                found.add(match[1])
        return tuple(sorted(found))


def read(target: Path) -> tuple[Distribution, ...]:
    """Every distribution in an installation folder, by name."""
    return tuple(sorted((_read(target, info) for info in target.glob("*.dist-info")), key=lambda d: d.name))


def largest(sizes: Mapping[str, int], most: int = MOST_LAYERS) -> frozenset[str]:
    """The distributions with a layer of their own, of those with these sizes. Pure."""
    large = sorted((name for name, size in sizes.items() if size >= LARGE), key=lambda name: (-sizes[name], name))
    return frozenset(large[:most])


def clashes(found: Sequence[Distribution]) -> list[str]:
    """Paths that two distributions both bring: which one wins is chance."""
    owners: dict[str, list[str]] = {}
    for distribution in found:
        for file in distribution.files:
            owners.setdefault(file, []).append(distribution.name)
    return [f"{' and '.join(names)} both contain {file}" for file, names in owners.items() if len(names) > 1]


def members(target: Path, distributions: Sequence[Distribution], prefix: str) -> list[Member]:
    unique = {file: distribution for distribution in distributions for file in distribution.files}
    return [_member(target, file, prefix) for file in unique]


def _read(target: Path, info: Path) -> Distribution:
    files, size = [], 0
    for row in csv.reader(io.StringIO((info / "RECORD").read_text("utf-8"))):
        if not row:
            continue
        path = PurePosixPath(row[0])
        if path.is_absolute() or ".." in path.parts:
            raise DependencyError(f"{info.name} claims the file {row[0]}, outside its folder; it is not a proper wheel")
        file = target / path
        if path.name in _NOTES and path.parent.name.endswith(".dist-info"):
            continue
        if path.suffix == ".pyc" or file.is_symlink() or not file.is_file():
            continue
        files.append(path.as_posix())
        size += file.stat().st_size
    name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
    return Distribution(normal(name), f"{normal(name)} {version}", tuple(sorted(set(files))), size)


def _member(target: Path, file: str, prefix: str) -> Member:
    source = target / file
    executable = bool(source.stat().st_mode & 0o111) and file.startswith("bin/")
    if file.startswith("bin/"):
        return Member(f"{prefix}/{file}", load=partial(_script, source), executable=executable)
    if file.endswith(".dist-info/RECORD"):
        return Member(f"{prefix}/{file}", load=partial(_record, source))
    return Member(f"{prefix}/{file}", source=source)


def _script(source: Path) -> bytes:
    """A script for whatever python3 the image has, not for the builder's."""
    text = source.read_bytes()
    first, newline, rest = text.partition(b"\n")
    return b"#!/usr/bin/env python3\n" + rest if first.startswith(b"#!") and b"python" in first and newline else text


def _record(source: Path) -> bytes:
    """RECORD without what is not there, and without the hashes of what was rewritten."""
    rows = list(csv.reader(io.StringIO(source.read_text("utf-8"))))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in sorted(rows):
        if not row or row[0].endswith(".pyc") or (row[0].rpartition("/")[2] in _NOTES and ".dist-info/" in row[0]):
            continue
        writer.writerow([row[0], "", ""] if row[0].startswith("bin/") else row)
    return out.getvalue().encode()
