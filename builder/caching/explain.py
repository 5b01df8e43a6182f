"""Why a layer was made anew: what the parts of its key were at the last build of this project, beside what they are now.

A build notes the parts (`Cache.note`); they are kept under the project's place. Comparing is pure; `remembered` reads and writes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder import files
from builder.errors import BuildError

Noted = Mapping[str, Mapping[str, Any]]  # layer -> part -> value; a mapping as value is compared entry by entry
FOLDER = "projects"
_SHOWN = 5


def compare(before: Noted | None, now: Noted) -> tuple[str, ...]:
    """One line for each layer whose parts changed."""
    if before is None:
        return ("no earlier build of this project is known here, so everything was looked for under new keys",)
    lines = []
    for layer, parts in now.items():
        if layer not in before:
            lines.append(f"{layer}: the last build had none")
        elif told := _parts(before[layer], parts):
            lines.append(f"{layer}: {'; '.join(told)}")
    lines += [f"{layer}: it is not needed any more" for layer in before if layer not in now]
    return tuple(lines) or ("nothing that a layer depends on changed since the last build",)


def remembered(cache: Path, project: str, now: Noted) -> tuple[str, ...]:
    """What changed since the last build of `project`, a path or URL; from now on this one is the last. Blocks."""
    file = cache / FOLDER / f"{hashlib.sha256(project.encode('utf-8', 'surrogateescape')).hexdigest()[:40]}.json"
    before: Noted | None = None
    try:
        found = json.loads(file.read_bytes())
        before = {str(layer): dict(parts) for layer, parts in found["layers"].items()} if found["project"] == project else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        before = None
    plain = json.loads(json.dumps(now, default=str))
    if plain != before:
        try:
            files.write(file, json.dumps({"project": project, "layers": plain}, sort_keys=True).encode("utf-8", "surrogateescape"))
        except (OSError, BuildError):
            pass  # it only explains
    return compare(before, plain)


def _parts(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    told = []
    for part in dict.fromkeys((*now, *before)):
        old, new = before.get(part), now.get(part)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            told.append(f"{part}: {_entries(old, new)}")
        else:
            told.append(f"{part} was {_short(old)}, is {_short(new)}")
    return told


def _entries(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    groups = (
        ("changed", [_change(name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]),
        ("new", [name for name in new if name not in old]),
        ("gone", [name for name in old if name not in new]),
    )
    return ", ".join(f"{_some(names)} {what}" for what, names in groups if names)


def _change(name: str, old: Any, new: Any) -> str:
    """With both values if they tell a person something, as versions do and hashes do not."""
    told = isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) <= 20
    return f"{name} ({old} to {new})" if told else name


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 40 else f"{text[:37]}..."
