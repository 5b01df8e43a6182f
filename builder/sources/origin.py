"""Which commit of which repository a source is, for provenance. A value; `git.py` fills it for a URL, `checkout.py` for a folder."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """All empty for a folder that is no git checkout. `url` never has a user or a password in it."""

    url: str = ""
    commit: str = ""  # 40 or 64 hexadecimal digits
    ref: str = ""  # the branch, tag or commit that was asked for, or that is checked out
    folder: str = ""  # of the source within the repository; empty: its root
    dirty: bool = False  # the source has something that the commit has not

    def __bool__(self) -> bool:
        return bool(self.commit)


UNKNOWN = Origin()
