"""Read a source folder once: which files go into the image, with the hash of their content. Modification times count for nothing.

Symbolic links stay links when they stay inside the folder; anything else that is not a file or a folder is refused.
"""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BadEntry, SourceTooLarge
from builder.ignore import FILES, Rules, rules

_LARGEST = 10


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`path` is relative, with `/`. `sha256` is of the content; for a link, `link` is its target."""

    path: str
    size: int
    executable: bool
    sha256: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """`digest` names the whole content."""

    root: Path
    files: tuple[SourceFile, ...]
    digest: str
    secrets: tuple[str, ...]  # left out
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def has(self, path: str) -> bool:
        return any(file.path == path for file in self.files)


def read_source(root: Path, max_bytes: int, max_files: int, warn_bytes: int) -> Source:
    """Walk, check, then hash. Limits are checked before any content is read."""
    root = root.absolute()
    walk = _Walk(root, _rules(root), max_bytes, max_files)
    walk.folder("")
    if walk.bytes > max_bytes:
        raise SourceTooLarge(f"{root} has {walk.bytes / 1e6:.0f} MB, {max_bytes / 1e6:.0f} MB are allowed. {walk.largest()}")
    warnings = list(walk.warnings)
    if walk.bytes > warn_bytes:
        warnings.append(f"the source has {walk.bytes / 1e6:.0f} MB. {walk.largest()}")
    if walk.secrets:
        names = ", ".join(sorted(walk.secrets)[:_LARGEST])
        warnings.append(
            f"left out, for they look like secrets: {names}. If one belongs in the image, write !{min(walk.secrets)} in .kfnignore"
        )
    files = tuple(_hashed(root, file) for file in sorted(walk.found, key=lambda f: f.path))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.path}\0{file.executable:d}\0{file.link}\0{file.sha256}\n".encode())
    return Source(root, files, total.hexdigest(), tuple(sorted(walk.secrets)), tuple(warnings))


def read_file(root: Path, file: SourceFile) -> bytes:
    """The content of a file. It never follows a link, and what was hashed is what is returned."""
    return _read(root, file, expect=True)


def _rules(root: Path) -> Rules:
    lines: list[str] = []
    for name in FILES:
        try:
            lines += (root / name).read_text("utf-8").splitlines()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise BadEntry(f"{name} cannot be read: {error}") from None
    try:
        return rules(lines)
    except ValueError as error:
        raise BadEntry(f"{' or '.join(FILES)} has a wrong pattern: {error}") from None


class _Walk:
    def __init__(self, root: Path, rules: Rules, max_bytes: int, max_files: int) -> None:
        self.root, self.rules, self.max_bytes, self.max_files = root, rules, max_bytes, max_files
        self.found: list[SourceFile] = []
        self.secrets: list[str] = []
        self.warnings: list[str] = []
        self.bytes = 0

    def folder(self, prefix: str) -> None:
        try:
            with os.scandir(self.root / prefix) as entries:
                for entry in entries:
                    self.entry(entry, prefix + entry.name)
        except OSError as error:
            raise BadEntry(f"{prefix or self.root} cannot be read: {error.strerror}") from None

    def entry(self, entry: os.DirEntry[str], path: str) -> None:
        folder = entry.is_dir(follow_symlinks=False)
        if self.rules.ignored(f"{path}/" if folder else path):
            if self.rules.secret(f"{path}/" if folder else path):
                self.secrets.append(path)
            return None
        _check_name(path)
        if folder:
            return self.folder(f"{path}/")
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            self.found.append(SourceFile(path, 0, False, link=self.link(path)))
        elif stat.S_ISREG(info.st_mode):
            self.bytes += info.st_size
            self.found.append(SourceFile(path, info.st_size, bool(info.st_mode & 0o111)))
        else:
            raise BadEntry(
                f"{path} is a {_kind(info.st_mode)}; only files, folders and links can go into an image. Remove it or add it to .kfnignore"
            )
        if len(self.found) > self.max_files:
            raise SourceTooLarge(f"{self.root} has more than {self.max_files} files. {self.largest()}")
        return None

    def link(self, path: str) -> str:
        target = os.readlink(self.root / path)
        if target.startswith("/"):
            raise BadEntry(f"{path} is a link to {target}; a link in an image must be relative. Copy the file, or add {path} to .kfnignore")
        inside = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if inside == ".." or inside.startswith("../"):
            raise BadEntry(f"{path} is a link to {target}, which is outside {self.root}. Copy the file, or add {path} to .kfnignore")
        try:
            real = os.path.realpath(self.root / path, strict=True)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise BadEntry(f"{path} is a link that leads back to itself") from None
            self.warnings.append(f"{path} is a link to {target}, which does not exist")
            return target
        if os.path.commonpath([real, os.path.realpath(self.root)]) != os.path.realpath(self.root):
            raise BadEntry(f"{path} is a link to {target}, which leads outside {self.root}. Copy the file, or add {path} to .kfnignore")
        return target

    def largest(self) -> str:
        top = sorted(self.found, key=lambda f: -f.size)[:_LARGEST]
        lines = "".join(f"\n  {file.size / 1e6:9.1f} MB  {file.path}" for file in top)
        return f"Name what the function does not need in .kfnignore, for example /{top[0].path if top else 'data'}. The largest:{lines}"


def _check_name(path: str) -> None:
    name = path.rpartition("/")[2]
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadEntry(f"{path!r}: a file name must be UTF-8") from None
    if size > 255 or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise BadEntry(f"{path!r}: a file name must not have control characters or more than 255 bytes")


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "named pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _hashed(root: Path, file: SourceFile) -> SourceFile:
    if file.link:
        return file
    digest = hashlib.sha256(_read(root, file, expect=False)).hexdigest()
    return SourceFile(file.path, file.size, file.executable, digest)


def _read(root: Path, file: SourceFile, *, expect: bool) -> bytes:
    try:
        fd = os.open(root / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as opened:
            data = opened.read(file.size + 1)
    except OSError as error:
        raise BadEntry(f"{file.path} cannot be read: {error.strerror}") from None
    if len(data) != file.size or (expect and hashlib.sha256(data).hexdigest() != file.sha256):
        raise BadEntry(f"{file.path} changed while it was read; build again")
    return data
