"""Where a project says what it depends on. Reads those files; resolves nothing.

In order: uv.lock, pylock.toml, a requirements.txt with hashes, requirements.txt, pyproject.toml.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builder.errors import DependencyError, ProjectInvalid
from builder.python import nobuild
from builder.python.lockfile import logical_lines, normal

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[= ]?\s*(\S+)")
_EDITABLE = re.compile(r"-e|--editable")
_INDEX = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links|--no-index)\b[= ]?\s*(\S*)")
_PASSWORD = re.compile(r"://(?!git@)(?!(?:\$\{\w+\}:?)+@)[^/\s@]+@")
_MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Inputs:
    """`kind` is uv, pylock, hashed or open; an open one has to be resolved. `digest` names what decides about the result.
    `index` are the lines that say where packages are, which a lock does not hold; `sources` and `indexes` are what `[tool.uv]`
    says of it; `builds` names what tells uv to run packages' code, `texts` are all that was read; `warnings` are for the user."""

    kind: str
    file: str
    text: str
    digest: str
    index: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    requires: str = ""  # requires-python
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()  # of pyproject.toml's dependency groups
    sources: Mapping[str, Any] = field(default_factory=dict)
    indexes: tuple[Mapping[str, Any], ...] = ()
    builds: str = ""
    texts: tuple[tuple[str, str], ...] = ()  # file and text


def find(root: Path, extras: Iterable[str] = ()) -> Inputs | None:
    """None: the project has no dependencies. `extras` are those of its optional dependencies that are wanted."""
    pyproject = _toml(root)
    wanted = tuple(sorted({normal(extra) for extra in extras}))
    found = _found(root, pyproject, wanted)
    if found and wanted and found.kind not in ("uv", "open-project"):
        raise ProjectInvalid(f"extras ({', '.join(wanted)}) are pyproject.toml's, but {found.file} says what is installed")
    requires = python_of(pyproject)
    return replace(found, kind=found.kind.partition("-")[0], requires=requires) if found else None


def requires_python(root: Path) -> str:
    """What pyproject.toml says of Python; empty: nothing."""
    return python_of(_toml(root))


def python_of(pyproject: Mapping[str, Any] | None) -> str:
    found = (pyproject or {}).get("project", {}).get("requires-python", "")
    if not isinstance(found, str):
        raise DependencyError('pyproject.toml: requires-python must be a string such as ">=3.11"')
    return found


def _found(root: Path, pyproject: dict[str, Any] | None, extras: tuple[str, ...]) -> Inputs | None:
    if (root / "uv.lock").is_file() and pyproject is not None:
        known, more = _read(root / "uv.lock"), json.dumps(pyproject, sort_keys=True, default=str)
        return _of_project(root, _inputs("uv", "uv.lock", known, known, more, *extras), pyproject, extras)
    if (root / "pylock.toml").is_file():
        return _inputs("pylock", "pylock.toml", _read(root / "pylock.toml"))
    if (root / "requirements.txt").is_file():
        text = _read(root / "requirements.txt")
        lines = logical_lines(text)
        if not lines:
            return None
        if all("--hash" in line for line in lines):
            return _inputs("hashed", "requirements.txt", text)
        read = _Requirements(root)
        read.add(root / "requirements.txt")
        found = _inputs("open", "requirements.txt", text, "\n".join(read.lines), _uv_settings(pyproject))
        return replace(found, index=tuple(read.index), warnings=tuple(read.warnings), builds=read.builds, texts=tuple(read.texts))
    if pyproject is not None:
        return _from_pyproject(root, pyproject, extras)
    return None


def _from_pyproject(root: Path, pyproject: dict[str, Any], extras: tuple[str, ...]) -> Inputs | None:
    project = pyproject.get("project", {})
    if "dependencies" in project.get("dynamic", ()):
        raise DependencyError("pyproject.toml: dynamic dependencies would mean running its build; list them under [project] dependencies")
    wanted = project.get("dependencies", [])
    if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        raise DependencyError('pyproject.toml: [project] dependencies must be a list of strings such as "httpx>=0.28"')
    groups = _groups(pyproject)
    if not wanted and not extras and not groups:
        return None
    facts: list[Any] = [sorted(wanted), project.get("requires-python", "")]
    if extras or groups:
        chosen = {extra: one for extra, one in project.get("optional-dependencies", {}).items() if normal(extra) in extras}
        facts += [chosen, groups, pyproject.get("dependency-groups", {}) if groups else {}]
    text = "\n".join([*wanted, json.dumps(facts)])
    inputs = _inputs("open-project", "pyproject.toml", text, json.dumps(facts, sort_keys=True), _uv_settings(pyproject))
    return _of_project(root, inputs, pyproject, extras)


def _of_project(root: Path, inputs: Inputs, pyproject: dict[str, Any], extras: tuple[str, ...]) -> Inputs:
    """With what only a project has: extras, groups, and which index a package comes from."""
    known = {normal(extra) for extra in pyproject.get("project", {}).get("optional-dependencies", {})}
    if missing := [extra for extra in extras if extra not in known]:
        there = f"it has {', '.join(sorted(known))}" if known else "it has no [project.optional-dependencies]"
        raise DependencyError(f"pyproject.toml: there is no extra {missing[0]!r}; {there}")
    tool = pyproject.get("tool", {}).get("uv", {})
    groups = _groups(pyproject)
    sources = {name: kept for name, value in tool.get("sources", {}).items() if (kept := _from_indexes(value, extras, groups))}
    indexes = tuple({**one, "url": _absolute(root, str(one.get("url", "")))} for one in tool.get("index", ()))
    return replace(inputs, extras=extras, groups=groups, sources=sources, indexes=indexes)


def _groups(pyproject: Mapping[str, Any]) -> tuple[str, ...]:
    """The dependency groups that uv installs by default, but for `dev`, which is not for an image."""
    wanted = pyproject.get("tool", {}).get("uv", {}).get("default-groups", ())
    known = pyproject.get("dependency-groups", {})
    return tuple(sorted(str(name) for name in (known if wanted == "all" else wanted) if name != "dev"))


def _from_indexes(value: Any, extras: tuple[str, ...], groups: tuple[str, ...]) -> list[dict[str, Any]]:
    """The entries of a source that name an index and hold here. What they hold for has been chosen already."""
    kept = []
    for one in value if isinstance(value, list) else [value]:
        unwanted = normal(one.get("extra", "")) not in ("", *extras) or one.get("group", "") not in ("", *groups)
        if "index" in one and not unwanted:
            kept.append({key: one[key] for key in ("index", "marker") if key in one})
    return kept


def _absolute(root: Path, url: str) -> str:
    """A folder as an index is named from the project."""
    return url if "://" in url else (root / url).resolve().as_uri()


def _uv_settings(pyproject: dict[str, Any] | None) -> str:
    return json.dumps((pyproject or {}).get("tool", {}).get("uv", {}), sort_keys=True, default=str)


def _inputs(kind: str, file: str, text: str, *more: str) -> Inputs:
    digest = hashlib.sha256(json.dumps([kind, *(more or (text,))]).encode()).hexdigest()
    return Inputs(kind, file, text, f"sha256:{digest}")


@dataclass
class _Requirements:
    """The meaningful lines of a requirements file and of the files that it includes."""

    root: Path
    lines: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    builds: str = ""
    texts: list[tuple[str, str]] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def add(self, path: Path) -> None:
        if path in self.seen:
            return
        self.seen.add(path)
        name, text = path.relative_to(self.root).as_posix(), _read(path)
        self.texts.append((name, text))
        self.warnings += _passwords(name, text)
        for line in logical_lines(text):
            self._refuse_editable(name, line)
            self.lines.append(line)
            if found := _INCLUDE.match(line):
                self.add(self._target(path, name, found[1]))
            elif found := _INDEX.match(line):
                self.index.append(self._place(path, found[1], found[2]))
        for line in text.splitlines():
            # For uv a comment ends with its line, also one that ends in a backslash; what looks like its continuation counts.
            begun = line.strip(" \t\\\ufeff")
            if nobuild.line(begun):
                self.builds = f"{name} has the line {begun[:80]!r}"
            self._refuse_editable(name, begun)
            if found := _INCLUDE.match(begun):
                self.add(self._target(path, name, found[1]))

    def _refuse_editable(self, name: str, line: str) -> None:
        if _EDITABLE.match(line):
            raise DependencyError(f"{name}: `-e` would run that package's code in the build; put its folder into the source instead")

    def _target(self, path: Path, name: str, wanted: str) -> Path:
        if "://" in wanted or wanted.startswith("file:"):
            raise DependencyError(f"{name}: `-r` and `-c` take files of the source, not URLs: copy that file into the source")
        target = Path(os.path.normpath(path.parent / wanted))
        if not target.resolve().is_relative_to(self.root.resolve()) or not target.is_relative_to(self.root):
            raise DependencyError(
                f"{name}: `{wanted}` is outside the source, and the source must hold all it needs: copy that file into it"
            )
        if not target.is_file():
            raise DependencyError(f"{name}: `{wanted}` names a file that is not there")
        return target

    def _place(self, path: Path, option: str, value: str) -> str:
        """The same option for a file that lies elsewhere."""
        local = [place for place in (path.parent / value, self.root / value) if value and "://" not in value and place.exists()]
        return f"{option} {local[0].resolve() if local else value}".strip()


def _passwords(name: str, text: str) -> list[str]:
    return [
        f"{name} line {number} has a password in a URL, which everyone who has the image can read: "
        "give the index in UV_DEFAULT_INDEX or UV_INDEX, or the password in a netrc file or as ${VARIABLE}"
        for number, line in enumerate(text.splitlines(), 1)
        if _PASSWORD.search(line)
    ]


def _toml(root: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(_read(root / "pyproject.toml"))
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as error:
        raise DependencyError(f"pyproject.toml: {error}") from None


def _read(path: Path) -> str:
    if path.stat().st_size > _MAX_BYTES:
        raise DependencyError(f"{path.name} is larger than {_MAX_BYTES >> 20} MiB")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DependencyError(f"{path.name} is not UTF-8 text (byte {error.start})") from None
