"""What the blobs of the cache are for, as far as the keys that made them say."""

import json
from pathlib import Path


def of(path: Path) -> dict[str, str]:
    """A blob's file name to words for a person. A key that cannot be read says nothing."""
    found: dict[str, str] = {}
    for file in sorted((path / "keys").glob("*.json")):
        try:
            facts = json.loads(file.read_bytes())["facts"]
            layer = facts["layer"]
            form = {"gzip": ", gzip", "zstd": ", zstd"}.get(layer["media_type"].rpartition("+")[2], "")
            title = facts.get("title") or facts.get("handler") or ""
            found[layer["digest"].removeprefix("sha256:")] = f"{layer['kind']}{form}{': ' if title else ''}{title}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
