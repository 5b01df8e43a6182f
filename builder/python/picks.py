"""Which file of each package a target gets: reads uv's answer (a pylock.toml for one target), writes what uv is asked. Pure.

A lock serves every platform; a pick is one of its packages for one of them, with the digest of the file that is installed.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from builder.errors import DependencyError
from builder.python.lockfile import Pin, normal


@dataclass(frozen=True, slots=True, order=True)
class Pick:
    """`file` is its name (`idna-3.10-py3-none-any.whl`). `where` is its URL or path if it is to be had from there only, else empty; it
    is remembered nowhere."""

    name: str
    version: str
    file: str
    sha256: str
    where: str = field(default="", compare=False, repr=False)

    @property
    def wheel(self) -> bool:
        return self.file.endswith(".whl")

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def spec(self) -> str:
        """How it is asked for. Its hash goes beside it, but for a URL, which holds it."""
        return f"{self.name} @ {self.where}#sha256={self.sha256}" if self.where else f"{self.name}=={self.version}"


def parse(text: str, pins: Sequence[Pin], file: str) -> tuple[Pick, ...]:
    """What uv chose, checked against the lock `file` that it had to choose from."""
    allowed: dict[str, set[str]] = {}
    for pin in pins:
        allowed.setdefault(pin.name, set()).update(pin.hashes)
    picks = []
    for package in tomllib.loads(text).get("packages", ()):
        pick = _pick(package, file)
        if f"sha256:{pick.sha256}" not in allowed.get(pick.name, set()):
            raise DependencyError(
                f"{file}: {pick.file} has the sha256 {pick.sha256}, which is not among the hashes that are locked for {pick.name}. Lock it "
                "anew if a file was added to that release; one that was exchanged can mean tampering: find out why first"
            )
        picks.append(pick)
    return tuple(sorted(picks))


def _pick(package: Mapping[str, Any], file: str) -> Pick:
    name, version = normal(package["name"]), str(package.get("version", ""))
    kind = next((kind for kind in ("wheels", "archive", "sdist") if package.get(kind)), "")
    found = package.get(kind)
    one = found[0] if isinstance(found, list) else found
    where = str(one.get("url") or one.get("path") or "") if one else ""
    digest = str(one.get("hashes", {}).get("sha256", "")) if one else ""
    if not where or not digest:
        raise DependencyError(f"{file}: {name} is neither a wheel nor a source distribution with a sha256 hash")
    base = str(one.get("name") or unquote(PurePosixPath(urlsplit(where).path if "://" in where else where).name)) if one else ""
    return Pick(name, version or [*base.split("-"), ""][1], base, digest, where.partition("#")[0] if kind == "archive" else "")


def project(specs: Sequence[str], sources: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]]) -> str:
    """A pyproject.toml that asks for `specs`, each from the index that the function's own names for it (`[tool.uv.sources]`)."""
    lines = ["[project]", 'name = "function"', 'version = "0"', f"dependencies = {_text(list(specs))}"]
    lines += ["[tool.uv.sources]", *(f"{_text(name)} = {_inline(value)}" for name, value in sources.items())]
    for index in indexes:
        lines += ["[[tool.uv.index]]", *(f"{_text(key)} = {_inline(value)}" for key, value in index.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(key)} = {_inline(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(one) for one in value) + "]"
    return _text(value)


def _text(value: Any) -> str:
    """JSON's strings, numbers and lists of strings are TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
