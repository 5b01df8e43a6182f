"""A git URL to a folder of files and the commit they are of. git fetches; the files are written here.

There is no working tree of git's: no hook, filter, attribute or line-end rule of the repository or of this user has a say, so every machine
gets the same bytes, and a tree that tries to write elsewhere cannot. Passwords reach git by its environment, and are shown nowhere.
Only what the commit's folder holds is fetched (one commit deep, blobs by name), its entries and sizes are known before it is written.
"""

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from builder import files, process
from builder.cache import Cache
from builder.errors import GitError, SourceTooLarge
from builder.options import BuildOptions
from builder.sources import gitwords, tree
from builder.sources.giturl import GitUrl, hidden
from builder.sources.origin import Origin, committed
from builder.sources.tree import Entry

_KEPT = re.compile(
    r"GIT_(ASKPASS|SSH|SSH_COMMAND|SSH_VARIANT|SSL_.*|HTTP_.*|PROXY_.*|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+))"
)
_HELPER = '!f() { test "$1" = get || exit 0; printf "username=%s\\npassword=%s\\n" "$KFN_GIT_USER" "$KFN_GIT_PASSWORD"; }; f'
_LISTING = 64_000_000  # bytes of names
_LOOK = 0.2  # seconds between looks at how much has come
_SHOWN = 5
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


@dataclass(frozen=True, slots=True)
class Checkout:
    """`path` is the folder that was asked for, with nothing of git's own in it. `name` is what to know it by; empty: the path."""

    path: Path
    origin: Origin
    warnings: tuple[str, ...] = ()
    fetched: bool = False
    name: str = ""


@asynccontextmanager
async def checkout(url: GitUrl, options: BuildOptions) -> AsyncIterator[Checkout]:
    """The repository's files at its ref, in a folder that is gone afterwards. Raises GitError, GitRefused, GitUnreachable."""
    with Cache(options.cache).folder() as scratch:
        repository = _Repository(url, options, scratch / "git")
        commit = await repository.fetch()
        entries = await repository.entries(commit)
        await repository.blobs(entries)
        sizes = await repository.sizes(entries)
        tree.check_size(str(url), entries, sizes, options.max_source_bytes)
        content = scratch / "content"
        await repository.read(entries, content)
        path = scratch / (re.sub(r"[^A-Za-z0-9._-]", "-", url.name).lstrip(".") or "source")
        pointers = await anyio.to_thread.run_sync(tree.write, path, entries, content)
        content.unlink()
        when = committed(await repository.commit(commit))
        origin = Origin(url.url, commit, url.ref, url.folder, when)
        yield Checkout(path, origin, _warnings(url, entries, pointers), fetched=True, name=f"{url.url}#{url.folder}")


def _warnings(url: GitUrl, entries: Sequence[Entry], pointers: Sequence[str]) -> tuple[str, ...]:
    told = []
    if modules := [entry.path for entry in entries if entry.submodule]:
        told.append(
            f"submodules are not fetched: {', '.join(modules[:_SHOWN])}. What the function needs of them must be in the repository itself"
        )
    if pointers:
        told.append(
            f"{', '.join(pointers[:_SHOWN])}{' and more' if len(pointers) > _SHOWN else ''}: only Git LFS pointers came, not the files. "
            "Build from a checkout that has them, or put them into the repository or a volume"
        )
    if url.password:
        told.append(
            "the git URL holds a password; it was used and is kept nowhere, but your shell's history may: use a git credential helper"
        )
    return tuple(told)


class _Repository:
    """A bare repository for one build."""

    def __init__(self, url: GitUrl, options: BuildOptions, folder: Path) -> None:
        self._url, self._folder, self._options = url, folder, options
        self._online, self._offline = _environment(url, online=True), _environment(url, online=False)
        self._deadline = anyio.current_time() + options.clone_timeout

    async def fetch(self) -> str:
        """The commit that the ref names, with its trees and, if the server cannot leave them out, its blobs."""
        await self._git("init", "--quiet", "--bare", "--template=", str(self._folder), at=None)
        ended = await self._fetch("--depth=1", "--filter=blob:none", "--", "origin", self._url.ref or "HEAD")
        if ended.code:
            raise await self._failure(ended)
        found = await self._git("rev-parse", "--verify", "--quiet", "--end-of-options", "FETCH_HEAD^{commit}")
        if found.code:
            raise GitError(f"{self._url}: {self._url.ref or 'HEAD'} is no commit")
        return found.stdout.decode().strip()

    async def commit(self, commit: str) -> bytes:
        return (await self._git("cat-file", "commit", commit, offline=True)).stdout

    async def entries(self, commit: str) -> tuple[Entry, ...]:
        """What the folder holds. Raises SourceTooLarge before a tree that was built to have no end is read to it."""
        wanted = f"{commit}:{self._url.folder}"
        try:
            ended = await self._git("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", wanted, most=_LISTING, offline=True)
        except process.SaidTooMuch:
            raise SourceTooLarge(f"{self._url} has names of more than {_LISTING // 1_000_000} MB") from None
        if ended.code:
            top = await self._git("ls-tree", "-z", "--name-only", "-d", commit, most=_LISTING, offline=True)
            names = [name.decode("utf-8", "replace") for name in top.stdout.split(b"\0") if name][:10]
            raise GitError(f"{self._url}: there is no folder {self._url.folder!r} in it; there are {', '.join(names) or 'none at all'}")
        entries = tree.parse(ended.stdout)
        if len(entries) > self._options.max_source_files:
            raise SourceTooLarge(
                f"{self._url} has {len(entries)} files, {self._options.max_source_files} are allowed; name a folder with #REF:FOLDER"
            )
        return entries

    async def blobs(self, entries: Sequence[Entry]) -> None:
        """Fetch those that did not come, in one request."""
        missing = [line.split()[0] for line in await self._ask(entries) if line.endswith(b" missing")]
        if missing:
            ended = await self._fetch("--filter=blob:none", "--stdin", "--", "origin", stdin=b"\n".join(missing) + b"\n")
            if ended.code:
                raise await self._failure(ended)

    async def sizes(self, entries: Sequence[Entry]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for line in await self._ask(entries):
            oid, kind, *size = line.decode().split()
            if kind != "blob":
                raise GitError(f"{self._url}: object {oid} did not come; is the repository damaged?")
            found[oid] = int(size[0])
        return found

    async def read(self, entries: Sequence[Entry], into: Path) -> None:
        """Every blob into one file, in the order of `tree.wanted`."""
        with into.open("wb") as file:
            ended = await self._git("cat-file", "--batch", "--buffer", stdin=tree.wanted(entries), into=file, offline=True)
        if ended.code:
            said = ended.stderr.decode("utf-8", "replace")
            raise files.said_full(said, into.parent) or GitError(f"{self._url}: {hidden(said.strip())}")

    async def _ask(self, entries: Sequence[Entry]) -> list[bytes]:
        ended = await self._git("cat-file", "--batch-check", "--buffer", stdin=tree.wanted(entries), offline=True)
        return ended.stdout.splitlines()

    async def _fetch(self, *argv: str, stdin: bytes = b"") -> process.Ended:
        """Ends it when more comes than the source may have; packs are compressed, so this is late rather than early."""
        most = 2 * self._options.max_source_bytes + _LISTING
        ended: list[process.Ended] = []

        async def work() -> None:
            ended.append(await self._git("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", *argv, stdin=stdin))
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
                while True:
                    await anyio.sleep(_LOOK)
                    if sum(path.stat().st_size for path in (self._folder / "objects/pack").glob("*")) > most:
                        raise SourceTooLarge(f"{self._url} has more than {most / 1e6:.0f} MB; name a folder with #REF:FOLDER")
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # callers know single errors
        # git has noted that missing objects may be fetched when they are met, which would be one by one; here they are asked for at once.
        await anyio.to_thread.run_sync((self._folder / "config").write_text, _CONFIG)
        return ended[0]

    async def _git(
        self, *argv: str, stdin: bytes = b"", at: str | None = "--git-dir", offline: bool = False, **how: object
    ) -> process.Ended:
        left = max(1.0, self._deadline - anyio.current_time())
        env = self._offline if offline else self._online
        where = (f"--git-dir={self._folder}",) if at else ()
        try:
            return await process.run(["git", *where, *argv], timeout=left, stdin=stdin, env=env, **how)  # type: ignore[arg-type]
        except process.TookTooLong:
            raise gitwords.slow(self._url, self._options.clone_timeout) from None

    async def _failure(self, ended: process.Ended) -> Exception:
        said = gitwords.clean(ended.stderr.decode("utf-8", "replace"), self._url)
        refs: tuple[str, ...] = ()
        if gitwords.no_ref(said):
            listed = await self._git("ls-remote", "--quiet", "--heads", "--tags", "--refs", "--", "origin", most=_LISTING)
            refs = tuple(line.split("/", 2)[2] for line in listed.stdout.decode("utf-8", "replace").splitlines() if line.count("/") >= 2)
        return files.said_full(said, self._folder) or gitwords.explain(said, self._url, refs)


def _environment(url: GitUrl, *, online: bool) -> dict[str, str]:
    """What git gets to see: nothing that points it at another repository, and settings that win over every file."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}
    env |= {
        "GIT_ALLOW_PROTOCOL": ":".join(("https", "ssh", "git", *(["http"] if url.scheme == "http" else []))) if online else "none",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        "LC_ALL": "C",
    }
    settings = [
        ("protocol.file.allow", "never"),
        ("protocol.ext.allow", "never"),
        ("core.hooksPath", os.devnull),
        ("core.fsmonitor", "false"),
        ("fetch.fsckObjects", "true"),
        ("fetch.unpackLimit", "1"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "60"),
    ]
    if online:
        settings += [
            ("remote.origin.url", url.url),
            ("remote.origin.promisor", "true"),
            ("remote.origin.partialCloneFilter", "blob:none"),
        ]
    if url.scheme in ("http", "https") and (url.user or url.password):
        place = "/".join(url.url.split("/")[:3])  # only for this host: a redirect to another one gets nothing
        if url.password:
            settings.append((f"credential.{place}.helper", ""))  # none of this user's: what is in the URL is meant
        settings += [(f"credential.{place}.helper", _HELPER), (f"credential.{place}.username", url.user)]
        env |= {"KFN_GIT_USER": url.user, "KFN_GIT_PASSWORD": url.password.text if url.password else ""}
    first = int(env.get("GIT_CONFIG_COUNT") or 0) if (env.get("GIT_CONFIG_COUNT") or "0").isdigit() else 0
    for number, (name, value) in enumerate(settings, first):
        env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return env | {"GIT_CONFIG_COUNT": str(first + len(settings))}
