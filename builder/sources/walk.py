"""Every entry of a source folder that goes into the image, by names and sizes alone. Reads no content but the ignore files'.

Folders are opened through their parent and never through a link, so that what is walked is what lies below the root, whatever somebody
renames meanwhile. Limits count while walking. Reading and hashing is `source.py`.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BadEntry, SourceTooLarge
from builder.sources import names
from builder.sources.ignore import FUNC, GIT, KFN, Rules, Verdict
from builder.sources.leftout import LeftOut
from builder.sources.patterns import Patterns, patterns, split

LARGEST = 10
PEEKED = 500  # entries of ignored folders that are looked at, to say how large they are
MAX_IGNORE = 1_000_000  # bytes of one ignore file
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe put in a file's place must not block


@dataclass(frozen=True, slots=True)
class Found:
    """A file or, with `link`, a link. `info` is what the walk saw."""

    path: str
    info: os.stat_result
    link: str = ""


class Walk:
    """What one walk found. `secrets` were left out, `asked` look like some and were brought back."""

    def __init__(self, root: Path, max_bytes: int, max_files: int) -> None:
        self.root, self.max_bytes, self.max_files = root, max_bytes, max_files
        self.found: list[Found] = []
        self.secrets: list[str] = []
        self.asked: list[str] = []
        self.left_out: list[LeftOut] = []
        self.folders: set[str] = {""}
        self.bytes = 0
        self._peeks = PEEKED

    def run(self) -> None:
        with opened_root(self.root) as fd:
            self._folder(fd, "", Rules(), 0, asked=False)
        if self.bytes > self.max_bytes:
            raise SourceTooLarge(f"{self.root} has {self.bytes / 1e6:.0f} MB, {self.max_bytes / 1e6:.0f} MB are allowed. {self.largest()}")

    def largest(self) -> str:
        top = sorted(self.found, key=lambda one: -one.info.st_size)[:LARGEST]
        lines = "".join(f"\n  {one.info.st_size / 1e6:9.1f} MB  {one.path}" for one in top)
        return f"Name what the function does not need in .kfnignore, for example /{top[0].path if top else 'data'}. The largest:{lines}"

    def _folder(self, fd: int, prefix: str, rules: Rules, depth: int, *, asked: bool) -> None:
        if depth > names.MAX_DEPTH:
            raise BadEntry(f"{prefix[:60]}... lies in more than {names.MAX_DEPTH} folders")
        try:
            with os.scandir(fd) as scan:
                entries = list(scan)
        except OSError as error:
            raise BadEntry(f"{prefix or self.root} cannot be read: {error.strerror}") from None
        rules = self._rules(fd, prefix, rules, {entry.name for entry in entries if entry.name in (GIT, FUNC, KFN)})
        for entry in entries:
            self._entry(fd, entry, prefix + entry.name, rules, depth, asked)

    def _entry(self, fd: int, entry: os.DirEntry[str], path: str, rules: Rules, depth: int, asked: bool) -> None:
        folder = entry.is_dir(follow_symlinks=False)
        verdict = rules.judge(path, entry.name, folder)
        if verdict is not Verdict.IN and verdict is not Verdict.ASKED:
            return self._out(fd, entry, path, folder, verdict)
        names.check(path, entry.name)
        asked = asked or verdict is Verdict.ASKED
        if folder:
            self.folders.add(path)
            with _opened(entry.name, fd, path, _FOLDER) as inner:
                return self._folder(inner, f"{path}/", rules, depth + 1, asked=asked)
        try:
            info = entry.stat(follow_symlinks=False)
            link = os.readlink(entry.name, dir_fd=fd) if stat.S_ISLNK(info.st_mode) else ""
        except OSError as error:
            raise BadEntry(f"{path} cannot be read: {error.strerror}; build again if it was just removed") from None
        if not link:
            _check_kind(path, info.st_mode)
            self.bytes += info.st_size
            if asked:
                self.asked.append(path)
        self.found.append(Found(path, info, link))
        if len(self.found) > self.max_files:
            raise SourceTooLarge(f"{self.root} has more than {self.max_files} files. {self.largest()}")
        return None

    def _out(self, fd: int, entry: os.DirEntry[str], path: str, folder: bool, verdict: Verdict) -> None:
        if verdict is Verdict.SECRET:
            self.secrets.append(path)
        elif verdict is Verdict.GIT and len(self.left_out) < self.max_files:
            try:
                size = self._peek(entry.name, fd) if folder else entry.stat(follow_symlinks=False).st_size
            except OSError:
                size = 0
            self.left_out.append(LeftOut(f"{path}/" if folder else path, size))

    def _peek(self, name: str, fd: int) -> int:
        """How large an ignored folder is at least: nobody waits for a walk through all of it."""
        if self._peeks <= 0:
            return 0
        total = 0
        inner = os.open(name, _FOLDER, dir_fd=fd)
        try:
            with os.scandir(inner) as scan:
                for entry in scan:
                    self._peeks -= 1
                    if self._peeks <= 0:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        total += self._peek(entry.name, inner)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        finally:
            os.close(inner)
        return total

    def _rules(self, fd: int, prefix: str, rules: Rules, there: set[str]) -> Rules:
        if not there:
            return rules
        read = {
            name: self._patterns(fd, prefix, name) if name in there and (name != FUNC or not prefix) else None for name in (GIT, FUNC, KFN)
        }
        return rules.within(read[GIT], read[FUNC], read[KFN])

    def _patterns(self, fd: int, prefix: str, name: str) -> Patterns | None:
        path = prefix + name
        try:
            with _opened(name, fd, path, _FILE) as inner:
                if not stat.S_ISREG(os.fstat(inner).st_mode):
                    raise BadEntry(f"{path} is no file, so its rules cannot be read")
                with open(inner, "rb", closefd=False) as file:
                    data = file.read(MAX_IGNORE + 1)
        except BadEntry:
            if name == GIT:
                return None  # a link, as a rule; git does not follow one either
            raise
        if len(data) > MAX_IGNORE:
            raise BadEntry(f"{path} has more than {MAX_IGNORE // 1_000_000} MB")
        return patterns(split(data), prefix)


@contextmanager
def opened_root(root: Path) -> Iterator[int]:
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BadEntry(f"{root} cannot be read: {error.strerror}") from None
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_folder(root: int, path: str) -> Iterator[int]:
    """A folder below the open `root`, each part of its path opened through the one before, and none through a link."""
    fd = os.dup(root)
    try:
        for part in path.split("/") if path else ():
            try:
                inner = os.open(part, _FOLDER, dir_fd=fd)
            except OSError as error:
                raise BadEntry(f"{path} cannot be read: {error.strerror}; it changed while it was read, so build again") from None
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def open_file(folder: int, name: str, path: str) -> int:
    """A file of an open folder, never through a link. Raises BadEntry."""
    try:
        fd = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        raise BadEntry(f"{path} cannot be read: {error.strerror}. Make it readable, or add it to .kfnignore") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadEntry(f"{path} changed while it was read; build again")
    return fd


@contextmanager
def _opened(name: str, folder: int, path: str, flags: int) -> Iterator[int]:
    try:
        fd = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise BadEntry(f"{path} cannot be read: {error.strerror}. Make it readable, or add it to .kfnignore") from None
    try:
        yield fd
    finally:
        os.close(fd)


def _check_kind(path: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = "named pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    raise BadEntry(f"{path} is a {kind}; only files, folders and links can go into an image. Remove it or add it to .kfnignore")
