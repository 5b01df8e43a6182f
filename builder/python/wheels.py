"""What uv installed: which files belong to which distribution, and how they go into layers. Reads metadata, writes nothing.

A wheel that claims files which it does not have, or outside its folder, is refused. What differs between two installations of the
same wheel is left out or rewritten: the installer's notes and the interpreter in scripts' first lines.
"""

import csv
import io
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath

from builder.errors import DependencyError
from builder.python.lockfile import normal
from builder.tar import Member

LARGE = 1 << 20  # bytes installed: from here on a distribution has a layer of its own
MOST_LAYERS = 18  # own layers for the largest; every layer costs a node and a registry something
_NOTES = ("direct_url.json", "REQUESTED", "uv_cache.json", "INSTALLER", "uv_build.json")
_LICENSE_TEXT = 100  # signs: what is longer is a licence itself, not its name
_MODULE = re.compile(r"([A-Za-z_]\w*)(\.py|\.[\w-]*\.?(so|pyd))?")


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution. `files` are relative to the installation folder, with what RECORD says of their content."""

    name: str
    version: str
    root: Path
    files: Mapping[str, str]
    size: int  # bytes
    licenses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

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
    """Every distribution in an installation folder, by name. Raises DependencyError for one that is no proper wheel."""
    infos = sorted(target.glob("*.dist-info"))
    records = {info: _record_of(info) for info in infos}
    owners = {file: info for info, record in records.items() for file in record}
    extra: dict[Path, list[str]] = {}
    if unlisted := [file for file in _present(target) if file not in owners]:
        folders = {folder: owners[file] for file in sorted(owners, reverse=True) for folder in _parents(file)}
        for file in unlisted:
            extra.setdefault(_owner(file, folders, infos), []).append(file)
    return tuple(sorted((_read(target, info, records[info], extra.get(info, [])) for info in infos), key=lambda d: d.name))


def largest(sizes: Mapping[str, int], most: int = MOST_LAYERS) -> frozenset[str]:
    """The distributions with a layer of their own, of those with these sizes. Pure."""
    large = sorted((name for name, size in sizes.items() if size >= LARGE), key=lambda name: (-sizes[name], name))
    return frozenset(large[:most])


def shared(records: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What distributions cannot have in layers of their own, by their files: a path with different content, or a package that one
    of them makes (`__init__.py`) and another one puts modules into. Pure."""
    owners: dict[str, list[str]] = {}
    for name, files in records.items():
        for file in files:
            owners.setdefault(file, []).append(name)
    found = []
    for file, names in sorted(owners.items()):
        contents = {records[name][file] for name in names}
        if len(names) > 1 and (len(contents) > 1 or "" in contents):
            found.append(f"{' and '.join(sorted(names))} both contain {file}; what {max(names)} has is taken")
    packages = {file.rpartition("/")[0]: names for file, names in owners.items() if file.endswith("/__init__.py")}
    for name, files in sorted(records.items()):
        folders = {folder for file in files for folder in _parents(file)}
        if inside := sorted(folder for folder in folders & packages.keys() if name not in packages[folder]):
            found.append(f"{name} puts files into {inside[0]}, which belongs to {' and '.join(sorted(packages[inside[0]]))}")
    return found


def members(distributions: Sequence[Distribution], prefix: str) -> list[Member]:
    """Of a path that several have, the last by name wins."""
    unique = {file: distribution.root for distribution in sorted(distributions, key=lambda d: d.name) for file in distribution.files}
    return [_member(root, file, prefix) for file, root in unique.items()]


def _parents(file: str) -> list[str]:
    parts = file.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _present(target: Path) -> list[str]:
    """The files there, but for what installers leave and bytecode."""
    found = []
    for folder, _, names in os.walk(target):
        inside = os.path.relpath(folder, target)
        for name in names:
            file = name if inside == "." else f"{inside}/{name}"
            if not _left_out(file):
                found.append(file)
    return sorted(found)


def _left_out(file: str) -> bool:
    folder, _, name = file.rpartition("/")
    return name.endswith(".pyc") or (name in _NOTES and folder.endswith(".dist-info")) or (not folder and name in (".lock", ".gitignore"))


def _owner(file: str, folders: Mapping[str, Path], infos: Sequence[Path]) -> Path:
    """Whose a file is that no RECORD lists: of who has files in the same folder, or in the one above it."""
    for folder in reversed(_parents(file)):
        if folder in folders:
            return folders[folder]
    if len(infos) == 1:
        return infos[0]
    raise DependencyError(f"a wheel brings {file}, and no RECORD lists it; it is not a proper wheel")


def _record_of(info: Path) -> dict[str, str]:
    """The files that a distribution claims, with their hashes as it gives them."""
    try:
        rows = list(csv.reader(io.StringIO((info / "RECORD").read_text("utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DependencyError(f"{info.name} has no RECORD that can be read ({error}); it is not a proper wheel") from None
    found = {}
    for row in rows:
        if not row or not row[0]:
            continue
        path = PurePosixPath(row[0])
        if path.is_absolute() or ".." in path.parts or "\\" in row[0] or any(ord(c) < 32 or ord(c) == 127 for c in row[0]):
            raise DependencyError(f"{info.name} claims the file {row[0]!r}, outside its folder; it is not a proper wheel")
        if not _left_out(path.as_posix()):
            # uv writes this machine's interpreter into scripts, so their hash says nothing.
            found[path.as_posix()] = row[1] if len(row) > 1 and path.parts[0] != "bin" else ""
    return found


def _read(target: Path, info: Path, record: Mapping[str, str], extra: Sequence[str]) -> Distribution:
    size = 0
    for file in (*record, *extra):
        try:
            status = (target / file).lstat()
        except OSError:
            raise DependencyError(f"{info.name} claims the file {file} and does not have it; it is not a proper wheel") from None
        if not stat.S_ISREG(status.st_mode):
            raise DependencyError(f"{info.name}: {file} is not a plain file; it is not a proper wheel")
        size += status.st_size
    name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
    told = (
        (f"{normal(name)} {version}: its RECORD does not list {extra[0]}{f' and {len(extra) - 1} more' if extra[1:] else ''}",)
        if extra
        else ()
    )
    files = dict(sorted({**record, **dict.fromkeys(extra, "")}.items()))
    return Distribution(normal(name), version, target, files, size, _licenses(info / "METADATA"), told)


def _licenses(metadata: Path) -> tuple[str, ...]:
    """The SPDX expression, or else what older packages say: a short text, or classifiers."""
    try:
        with metadata.open(encoding="utf-8", errors="replace") as file:
            head = list(takewhile(str.strip, file))
    except OSError:
        return ()
    fields = [line.partition(": ")[::2] for line in head if not line.startswith((" ", "\t"))]
    values = {name: value.strip() for name, value in reversed(fields)}
    if expression := values.get("License-Expression"):
        return (expression,)
    if classes := [v.strip().rpartition(" :: ")[2] for n, v in fields if n == "Classifier" and v.startswith("License :: OSI Approved :: ")]:
        return tuple(sorted(classes))
    text = values.get("License", "")
    return (text,) if 0 < len(text) <= _LICENSE_TEXT and text != "UNKNOWN" else ()


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
