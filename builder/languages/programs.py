"""Ready programs: which file of the source is one, whether it can start on a base, and the layer it becomes.

`{arch}` in its path stands for the platform's architecture, so that one function has a program for each.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath

from builder import elf
from builder.base.model import NONE, Base
from builder.cache import Cache, key
from builder.errors import HandlerNotFound, ProgramUnfit, SourceTooLarge, UsageError
from builder.options import FORMAT
from builder.platform import Platform
from builder.sources.source import Source, SourceFile, open_file
from builder.tar import Member
from builder.untar import Bounded

ARCH = "{arch}"
_CHUNK = 1 << 20


def read_programs(path: str, platforms: Iterable[Platform], max_bytes: int) -> Source:
    """The source that is nothing but the program at `path`, one for each platform if `{arch}` is in it."""
    full = Path(path).absolute()
    parts = (full if ARCH in path else full.resolve()).parts
    at = next((n for n, part in enumerate(parts) if ARCH in part), len(parts) - 1)
    root, rest = Path(*parts[:at]), "/".join(parts[at:])
    found, total = [], hashlib.sha256()
    for name in sorted({rest.replace(ARCH, platform.architecture) for platform in platforms}):
        file = _program_file(root, name)
        if file.size > max_bytes:
            raise SourceTooLarge(f"{root / name} has {file.size / 1e6:.0f} MB, {max_bytes / 1e6:.0f} MB are allowed")
        total.update(f"{file.path}\0{file.sha256}\n".encode())
        found.append(file)
    return Source(root, tuple(found), total.hexdigest(), (), ())


def path_in(source: Source, wanted: str, platform: Platform) -> str:
    """The path of the program in `source`: what the author named, or the only one there is. Raises HandlerNotFound."""
    if wanted:
        path = str(PurePosixPath(wanted.replace(ARCH, platform.architecture)))
        if not source.has(path):
            raise HandlerNotFound(f"kfn.handler: there is no file {path}. {_there(source)}")
        return path
    found = [file.path for file in source.files if not file.link and elf.is_program(source.root / file.path)]
    if len(found) != 1:
        what = f"{len(found)} programs: {', '.join(found[:5])}" if found else f"no program. {_there(source)}"
        raise HandlerNotFound(f"{source.root} has {what}; name one in func.yaml, for example kfn: {{handler: ./{(found or ['hello'])[0]}}}")
    return found[0]


def others(wanted: str, platform: Platform, source: Source) -> frozenset[str]:
    """The files that are the same program for another architecture, which this platform's image does not need."""
    path = str(PurePosixPath(wanted))
    every = (
        {path.replace(ARCH, name) for name in ("amd64", "arm64", "arm", "386", "riscv64", "s390x", "ppc64le")} if ARCH in path else set()
    )
    return frozenset(file.path for file in source.files if file.path in every - {path.replace(ARCH, platform.architecture)})


def check(file: Path, shown: str, base: Base, has: frozenset[str] | None) -> None:
    """Refuse a program that cannot start on `base`, which has files of the names `has` (None: unknown). Raises ProgramUnfit."""
    _check_mode(file, shown)
    try:
        program = elf.read(file)
    except elf.NotElf as error:
        raise ProgramUnfit(f"{shown}: {error}") from None
    if program.architecture != base.platform.architecture:
        raise ProgramUnfit(
            f"{shown} is for {program.architecture}, the image for {base.platform}. Give the program for that platform, "
            f"or name one of each: {ARCH} in the path stands for amd64, arm64"
        )
    if program.library:
        raise ProgramUnfit(f"{shown} is a shared library, not a program")
    if not program.interpreter:
        return
    needs = (program.interpreter, *program.needed)
    if base.name == NONE:
        missing = tuple(name for name in needs[:1] if not os.path.exists(name))
    else:
        missing = () if has is None else tuple(name for name in needs if PurePosixPath(name).name not in has)
    if missing:
        where = "this machine does not have" if base.name == NONE else f"the base {base.name} does not have"
        raise ProgramUnfit(
            f"{shown} is linked dynamically and needs {', '.join(missing)}, which {where}. Link it statically (CGO_ENABLED=0, -static, "
            "a musl target), or choose a base that has them, for example --base python"
        )


def names_in(cache: Cache, base: Base) -> frozenset[str] | None:
    """The names, without folders, of all files in the base. None if its layers are not here to look into."""
    found: set[str] = set()
    for layer in base.layers:
        name = key("names", FORMAT, layer.digest)
        facts = cache.facts(name)
        if facts is None:
            try:
                with tarfile.open(cache.blob(layer.digest), "r:*", tarinfo=Bounded) as tar:
                    facts = {"names": sorted({PurePosixPath(member.name).name for member in tar if not member.isdir()})}
            except (OSError, tarfile.TarError):
                return None
            cache.remember(name, facts)
        found.update(facts["names"])
    return frozenset(found) if base.layers or base.name != NONE else None


def members(source: Source, files: Iterable[SourceFile], prefix: str, programs: frozenset[str] = frozenset()) -> list[Member]:
    """The files as they go into a layer below `prefix`; `programs` can be started whatever their mode."""
    return [
        Member(f"{prefix}/{file.path}", link=file.link)
        if file.link
        else Member(
            f"{prefix}/{file.path}",
            stream=partial(open_file, source.root, file),
            size=file.size,
            executable=file.executable or file.path in programs,
        )
        for file in files
    ]


def _program_file(root: Path, name: str) -> SourceFile:
    path = root / name
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            raise UsageError(f"--binary {root / name} is not a file" + ("; give what the link leads to" if path.is_symlink() else ""))
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        raise UsageError(f"--binary {root / name}: there is no such file") from None
    except OSError as error:
        raise UsageError(f"--binary {root / name}: {error.strerror}") from None
    return SourceFile(name, info.st_size, True, digest.hexdigest())


def _check_mode(file: Path, shown: str) -> None:
    if file.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise ProgramUnfit(f"{shown} would change its user when it starts (setuid or setgid); remove that: chmod ug-s {shown}")


def _there(source: Source) -> str:
    names = [file.path for file in source.files[:8]]
    return f"There are {', '.join(names)}" + (", ..." if len(source.files) > len(names) else "") if names else "There are no files"
