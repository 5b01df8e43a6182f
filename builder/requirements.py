"""Where a project says what it depends on. Reads those files; resolves nothing.

In order: uv.lock, pylock.toml, a requirements.txt with hashes, requirements.txt, pyproject.toml.
"""

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.errors import DependencyError
from builder.lockfile import logical_lines

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[= ]?\s*(\S+)")
_MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Inputs:
    """`kind` is uv, pylock, hashed or open; an open one has to be resolved. `digest` names what decides about the result."""

    kind: str
    file: str
    text: str
    digest: str


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
        return _inputs(
            "open", "requirements.txt", text, "\n".join(_included(root, root / "requirements.txt", set())), _uv_settings(pyproject)
        )
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


def _included(root: Path, path: Path, seen: set[Path]) -> list[str]:
    """The meaningful lines of a requirements file and of the files that it includes."""
    if path in seen:
        return []
    seen.add(path)
    lines: list[str] = []
    for line in logical_lines(_read(path)):
        lines.append(line)
        found = _INCLUDE.match(line)
        if found and "://" not in found[1]:
            target = path.parent / found[1]
            if not target.is_file():
                raise DependencyError(f"{path.relative_to(root)}: `{line}` names a file that is not there")
            lines += _included(root, target, seen)
    return lines


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
