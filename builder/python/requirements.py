"""Where a project says what it depends on. Reads those files; resolves nothing.

In order: uv.lock, pylock.toml, a requirements.txt with hashes, requirements.txt, pyproject.toml.
"""

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builder.errors import DependencyError
from builder.python.lockfile import logical_lines

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[= ]?\s*(\S+)")
_EDITABLE = re.compile(r"-e|--editable")
_INDEX = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links|--no-index)\b[= ]?\s*(\S*)")
_PASSWORD = re.compile(r"://(?!git@)(?!(?:\$\{\w+\}:?)+@)[^/\s@]+@")
_MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Inputs:
    """`kind` is uv, pylock, hashed or open; an open one has to be resolved. `digest` names what decides about the result.
    `index` are the lines that say where packages are, which a lock does not hold; `warnings` are for the user."""

    kind: str
    file: str
    text: str
    digest: str
    index: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def find(root: Path) -> Inputs | None:
    """None: the project has no dependencies."""
    pyproject = _toml(root)
    if (root / "uv.lock").is_file() and pyproject is not None:
        return _inputs("uv", "uv.lock", _read(root / "uv.lock"))
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
        return replace(found, index=tuple(read.index), warnings=tuple(read.warnings))
    if pyproject is not None:
        return _from_pyproject(pyproject)
    return None


def _from_pyproject(pyproject: dict[str, Any]) -> Inputs | None:
    project = pyproject.get("project", {})
    if "dependencies" in project.get("dynamic", ()):
        raise DependencyError("pyproject.toml: dynamic dependencies would mean running its build; list them under [project] dependencies")
    wanted = project.get("dependencies", [])
    if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        raise DependencyError('pyproject.toml: [project] dependencies must be a list of strings such as "httpx>=0.28"')
    if not wanted:
        return None
    facts = json.dumps([sorted(wanted), project.get("requires-python", "")])
    return _inputs("open", "pyproject.toml", "\n".join(wanted), facts, _uv_settings(pyproject))


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
    seen: set[Path] = field(default_factory=set)

    def add(self, path: Path) -> None:
        if path in self.seen:
            return
        self.seen.add(path)
        name, text = path.relative_to(self.root).as_posix(), _read(path)
        self.warnings += _passwords(name, text)
        for line in logical_lines(text):
            if _EDITABLE.match(line):
                # uv would run its build in spite of --only-binary.
                raise DependencyError(f"{name}: `-e` would run that package's code in the build; put its folder into the source instead")
            self.lines.append(line)
            if found := _INCLUDE.match(line):
                self.add(self._target(path, name, found[1]))
            elif found := _INDEX.match(line):
                self.index.append(self._place(path, found[1], found[2]))

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
