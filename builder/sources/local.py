"""Whether a folder lies in a git checkout, of which commit, and whether it has been changed since.

Nothing in the checkout is believed further than that: its configuration is not used, for it may name programs to run. git looks at
the files through a repository of ours that borrows objects and index.
"""

import os
import shutil
import stat
from pathlib import Path

import anyio.to_thread

from builder import process
from builder.cache import Cache
from builder.errors import BuildError
from builder.sources.giturl import hidden
from builder.sources.origin import UNKNOWN, Origin, committed
from builder.together import each

_TIMEOUT = 20.0  # seconds; a checkout that git needs longer for is told without its state
_HEX = frozenset("0123456789abcdef")
_LARGEST = 1_000_000  # bytes of packed-refs and other files of git's that are read


async def find(folder: Path, cache: Path) -> Origin:
    """UNKNOWN if there is no checkout, or none that can be read. Never fails a build."""
    try:
        return await _find(Path(await anyio.to_thread.run_sync(os.path.realpath, folder)), cache)
    except (OSError, BuildError, ValueError):
        return UNKNOWN


async def _find(folder: Path, cache: Path) -> Origin:
    top = next((path for path in (folder, *folder.parents) if (path / ".git").exists()), None)
    if top is None:
        return UNKNOWN
    private, common = await anyio.to_thread.run_sync(_git_folder, top)
    ref, commit = await anyio.to_thread.run_sync(_head, private, common)
    if not commit:
        return UNKNOWN
    inner = folder.relative_to(top).as_posix()
    inner = "" if inner == "." else inner
    with Cache(cache).folder() as scratch:
        await anyio.to_thread.run_sync(_borrow, scratch, private, common, commit)
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "none", "LC_ALL": "C"}
        settings = (
            "-c",
            "core.fsmonitor=false",
            "-c",
            f"core.hooksPath={os.devnull}",
            "-c",
            "core.bare=false",
            "-c",
            "submodule.recurse=false",
        )
        git = ("git", f"--git-dir={scratch}", f"--work-tree={top}", *settings)
        ask: dict[str, tuple[Path, list[str]]] = {
            "status": (top, [*git, "status", "--porcelain", "-z", "--ignore-submodules=all", "--", inner or "."]),
            "commit": (top, [*git, "cat-file", "commit", commit]),
            "url": (scratch, ["git", "config", "--no-includes", f"--file={common / 'config'}", "--get", "remote.origin.url"]),
        }
        said: dict[str, process.Ended] = {}

        async def one(name: str) -> None:
            cwd, argv = ask[name]
            said[name] = await process.run(argv, timeout=_TIMEOUT, env=env, cwd=cwd)

        await each(one, ask)  # at once, for the build waits
    if said["status"].code:
        return UNKNOWN
    url, dirty = said["url"].stdout.decode("utf-8", "replace").strip(), bool(said["status"].stdout)
    return Origin(hidden(url), commit, ref, inner, committed(said["commit"].stdout), dirty)


def _git_folder(top: Path) -> tuple[Path, Path]:
    """The folder of this working tree's own state, and the one that it shares with others."""
    private = top / ".git"
    if private.is_file():
        private = (top / _text(private).removeprefix("gitdir:").strip()).resolve()
    common = private / "commondir"
    return private, (private / _text(common)).resolve() if common.is_file() else private


def _head(private: Path, common: Path) -> tuple[str, str]:
    """The branch, if one is checked out, and the commit."""
    text = _text(private / "HEAD")
    if not text.startswith("ref:"):
        return "", _commit(text)
    ref = text.removeprefix("ref:").strip()
    if ".." in ref or ref.startswith("/"):
        return "", ""
    name = ref.removeprefix("refs/heads/")
    for place in (private / ref, common / ref):
        if place.is_file():
            return name, _commit(_text(place))
    packed = common / "packed-refs"
    lines = _text(packed).splitlines() if packed.is_file() else []
    return name, next((_commit(line.split()[0]) for line in lines if line.endswith(f" {ref}")), "")


def _commit(text: str) -> str:
    return text if len(text) in (40, 64) and set(text) <= _HEX else ""


def _borrow(scratch: Path, private: Path, common: Path, commit: str) -> None:
    (scratch / "objects/info").mkdir(parents=True)
    (scratch / "refs").mkdir()
    (scratch / "objects/info/alternates").write_text(f"{common / 'objects'}\n", "utf-8")
    (scratch / "HEAD").write_text(f"{commit}\n")
    sha256 = "\tobjectformat = sha256\n" if len(commit) == 64 else ""
    version = 1 if sha256 else 0
    (scratch / "config").write_text(f"[core]\n\trepositoryformatversion = {version}\n" + (f"[extensions]\n{sha256}" if sha256 else ""))
    if (private / "index").is_file():
        # With its time: git reads again what may have been written in the second of the index's own, and a younger copy has none of it.
        shutil.copy2(private / "index", scratch / "index")
    if (common / "info/exclude").is_file():
        (scratch / "info").mkdir()
        shutil.copyfile(common / "info/exclude", scratch / "info/exclude")


def _text(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make it wait
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is no file")
        return file.read(_LARGEST).decode("utf-8", "replace").strip()
