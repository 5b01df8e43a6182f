"""Names of files that an image or another machine cannot have: refused, or told in a warning. Pure."""

import unicodedata
from collections.abc import Iterable, Sequence

from builder.errors import BadEntry

MAX_NAME, MAX_PATH = 255, 4000  # bytes; PATH_MAX is 4096, and /func/ comes before it
MAX_DEPTH = 100
_RESERVED = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))))
_WINDOWS = frozenset('<>:"\\|?*')
_SHOWN = 5


def check(path: str, name: str) -> None:
    """Raises BadEntry for a name that cannot be shown or stored."""
    if name.isascii() and name.isprintable() and len(name) <= MAX_NAME and len(path) <= MAX_PATH // 4:
        return
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadEntry(f"{path!r}: a file name must be UTF-8. Rename it or add its folder to .kfnignore") from None
    if size > MAX_NAME or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name):
        raise BadEntry(f"{path!r}: a file name must not have control characters or more than {MAX_NAME} bytes")
    if len(path.encode()) > MAX_PATH:
        raise BadEntry(f"{path[:60]!r}...: a path must not have more than {MAX_PATH} bytes")


def warnings(paths: Iterable[str]) -> list[str]:
    """What goes wrong where this source is checked out on other systems. Folders count by the files in them."""
    seen: dict[str, str] = {}
    clashes: list[str] = []
    strange: list[str] = []
    done: set[str] = set()
    for path in paths:
        for part in _parents(path):
            if part in done:
                break
            done.add(part)
            folded = unicodedata.normalize("NFC", part).casefold() if not part.isascii() else part.lower()
            if (other := seen.setdefault(folded, part)) != part:
                clashes.append(f"{other} and {part}")
            if _strange(part.rpartition("/")[2]):
                strange.append(part)
    told = []
    if clashes:
        told.append(f"{_some(clashes)}: names that differ only in case or accents are one file on macOS and Windows")
    if strange:
        told.append(f"{_some(strange)}: Windows cannot have a file of such a name")
    return told


def _parents(path: str) -> Iterable[str]:
    """The path, then its folders from the deepest up."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _strange(name: str) -> bool:
    return name.partition(".")[0].lower() in _RESERVED or name[-1:] in (".", " ") or not _WINDOWS.isdisjoint(name)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
