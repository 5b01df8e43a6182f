"""A base's lock file: exactly these packages, in a text with one form only. Pure.

The hashes in it are the trust: with a lock no index and no signature is read, and any mirror that still has the files will do.
"""

from dataclasses import dataclass

from builder.debian.model import Package, Selection, Snapshot

FORMAT = "kfn-base-lock 1"


@dataclass(frozen=True, slots=True)
class Lock:
    """`packages` are sorted by name; of their fields only those that name and prove the file are filled in."""

    suite: str
    architecture: str
    roots: tuple[str, ...]
    packages: tuple[Package, ...]
    snapshots: tuple[Snapshot, ...] = ()


def of(selection: Selection) -> Lock:
    raise NotImplementedError


def text(lock: Lock) -> str:
    """The file's text. The same lock gives the same text."""
    raise NotImplementedError


def parse(text: str, where: str) -> Lock:
    """`where` names the file in an error. Raises BaseLockInvalid with the line."""
    raise NotImplementedError
