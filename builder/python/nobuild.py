"""Whether a project tells uv to build packages, which runs their code.

uv does so in spite of `--no-build` for packages that `--no-binary` names: on a line of a requirements file, or in the settings that it
finds in the project and in every folder above.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LINE = re.compile(r"--no-binary\b")
_SETTINGS = ("no-binary", "no-binary-package")
_MOST = 4 << 20  # bytes of a file of settings


def line(text: str) -> bool:
    """Whether this line of a requirements file is such an option. Pure."""
    return _LINE.match(text) is not None


def settings(root: Path) -> str:
    """The file in which uv would find such a setting, and its name; empty if there is none."""
    for folder in (root, *root.parents):
        for name, inside in (("uv.toml", ()), ("pyproject.toml", ("tool", "uv"))):
            if found := _named(_section(folder / name, inside)):
                return f"{folder / name if folder != root else name} has {found}"
    return ""


def _named(content: Mapping[str, Any]) -> str:
    for where, section in (("", content), ("pip.", _mapping(content.get("pip")))):
        if found := next((name for name in _SETTINGS if section.get(name)), ""):
            return where + found
    return ""


def _section(path: Path, inside: tuple[str, ...]) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content: Mapping[str, Any] = tomllib.loads(file.read(_MOST).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}  # what uv cannot read either
    for name in inside:
        content = _mapping(content.get(name))
    return content


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
