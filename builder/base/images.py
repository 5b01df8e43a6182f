"""What the names of base images meant when they were first used: lines `NAME DIGEST` in kfn-images.lock beside func.yaml.

So that a tag that moves does not change what is built; `kfn base update` asks anew. Commit the file.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from builder import files
from builder.errors import BaseLockInvalid

FILE = "kfn-images.lock"
_HEAD = "# kfn-images 1\n# What each base image was when it was first used. Made by kfn build; `kfn base update` asks anew.\n"
_LINE = re.compile(r"(\S+) (sha256:[0-9a-f]{64})")
MOST = 100_000  # bytes


def read(file: Path) -> dict[str, str]:
    """Digest by name. Raises BaseLockInvalid."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            if not match:
                raise BaseLockInvalid(
                    f"{file}, line {number}: not a name and a sha256 digest; remove the file, the next build makes it anew"
                )
            found[match[1]] = match[2]
    return found


def write(file: Path, more: Mapping[str, str]) -> None:
    """Add these; a folder that cannot be written to is left as it is, then every build asks."""
    everything = {**read(file), **more}
    try:
        files.write(file, (_HEAD + "".join(f"{name} {digest}\n" for name, digest in sorted(everything.items()))).encode())
    except (PermissionError, OSError) as error:
        if not isinstance(error, PermissionError) and error.errno != 30:  # EROFS
            raise
