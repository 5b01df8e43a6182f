"""Which commit of which repository a source is, for provenance. A value; `git.py` fills it for a URL, `local.py` for a folder."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

_COMMITTER = re.compile(rb"^committer .*> (\d{1,12}) [+-]\d{4}$", re.MULTILINE)
_LAST = 253402300799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Origin:
    """All empty for a folder that is no git checkout. `url` never has a user or a password in it."""

    url: str = ""
    commit: str = ""  # 40 or 64 hexadecimal digits
    ref: str = ""  # the branch, tag or commit that was asked for, or that is checked out
    folder: str = ""  # of the source within the repository; empty: its root
    committed: str = field(default="", compare=False)  # when, in UTC as RFC 3339: the commit says it already
    dirty: bool = False  # the source has something that the commit has not

    def __bool__(self) -> bool:
        return bool(self.commit)


UNKNOWN = Origin()


def committed(commit: bytes) -> str:
    """The time in a commit object (`git cat-file commit`), as RFC 3339; empty if it has none that can be."""
    found = _COMMITTER.search(commit.partition(b"\n\n")[0])
    if not found or int(found[1]) > _LAST:
        return ""
    return datetime.fromtimestamp(int(found[1]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
