"""Get files from a mirror: bounded, resumed, retried, tried at the next mirror, and nothing visible before its hash is right.

Whose fault a failure is decides the error: a mirror that does not answer is MirrorUnreachable, one that gives other bytes than the signed
index promises ArchiveRefused, and a file that no mirror has is None, since only who asks knows what that means.
"""

import fcntl
import hashlib
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial as bound
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from builder import files
from builder.errors import ArchiveRefused, MirrorUnreachable
from kfn import lighthttp

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 10.0  # seconds; doubled each time, with jitter
CONNECT, READ = 10.0, 30.0  # seconds
SLOWEST = 20_000  # bytes a second: below that a mirror counts as dead
CONNECTIONS = 6
_RETRY = {408, 425, 429, 500, 502, 503, 504}


class _Again(Exception):
    """A failure that may pass. `pause` is what the server asked for, in seconds."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Answer:
    """A small file. `fresh` is False if it has not changed since; then there is no `data`."""

    base: str
    data: bytes
    tag: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must be. `name` is for people."""

    name: str
    sha256: str
    size: int


class Downloads:
    """Holds the connections; use as an async context manager. `proxies` as in `sources.Mirrors`."""

    def __init__(self, proxies: Mapping[str, str]) -> None:
        self._proxies = proxies
        self._client: httpx.AsyncClient | None = None
        self._at_once = anyio.CapacityLimiter(CONNECTIONS)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def small(self, base: str, path: str, most: int, tag: str = "") -> Answer | None:
        """A file of at most `most` bytes, or None if the mirror has none. `tag` is that of an earlier answer."""

        async def once() -> Answer | None:
            async with self._get(f"{base}/{path}", {"If-None-Match": tag} if tag else {}) as response:
                if response.status_code == 304:
                    return Answer(base, b"", tag, False)
                if not _there(response):
                    return None
                data = bytearray()
                async with aclosing(_raw(response)) as chunks:  # else an error leaves it open until it is collected
                    async for chunk in chunks:
                        data += chunk
                        if len(data) > most:
                            raise ArchiveRefused(f"{shown(base)}/{path} has more than {most} bytes")
                return Answer(base, bytes(data), response.headers.get("etag", ""), True)

        return await self._tried(once, f"{shown(base)}/{path}", READ + most / SLOWEST)

    async def file(self, urls: Sequence[str], expected: Expected, partial: Path, target: Path) -> bool:
        """Put the file at `target`. What came of it stays at `partial`, for the next try or the next run. False if nobody has it."""
        wrong: ArchiveRefused | None = None
        down: MirrorUnreachable | None = None
        async with _held(partial) as (path, fd):
            for url in urls:
                try:
                    if await self._tried(bound(self._append, url, expected, fd), shown(url), READ + expected.size / SLOWEST):
                        await anyio.to_thread.run_sync(_finish, fd, path, target)
                        return True
                except ArchiveRefused as error:
                    wrong = error
                except MirrorUnreachable as error:
                    down = error
        if wrong or down:
            raise wrong or down or AssertionError
        return False

    async def _append(self, url: str, expected: Expected, fd: int) -> bool:
        """Go on behind what is there. At a wrong hash everything is thrown away, and tried once more from the start if it was pieced."""
        digest, have = await anyio.to_thread.run_sync(_hashed, fd, expected.size)
        pieced = have > 0
        if have < expected.size:
            async with self._get(url, {"Range": f"bytes={have}-"} if have else {}) as response:
                if response.status_code == 416 or (response.status_code == 206 and not _continues(response, have)):
                    os.ftruncate(fd, 0)
                    raise _Again("the mirror would not go on where it stopped")
                if not _there(response):
                    return False
                if response.status_code != 206:
                    os.ftruncate(fd, 0)
                    digest, have, pieced = hashlib.sha256(), 0, False
                async with aclosing(_raw(response)) as chunks:  # as they come: what a size would hold back is lost at a cut
                    async for chunk in chunks:
                        have += len(chunk)
                        if have > expected.size:
                            os.ftruncate(fd, 0)
                            raise ArchiveRefused(f"{expected.name} should have {expected.size} bytes, {shown(url)} has more")
                        digest.update(chunk)
                        _write(fd, chunk, have - len(chunk))
            if have < expected.size:
                raise _Again(f"the connection ended after {have} of {expected.size} bytes")
        if digest.hexdigest() == expected.sha256:
            return True
        os.ftruncate(fd, 0)
        if pieced:
            raise _Again("what was there did not fit together")
        raise ArchiveRefused(
            f"{expected.name} from {shown(url)} has the sha256 {digest.hexdigest()}, but {expected.sha256} is promised: "
            "it was changed on its way, or the mirror is broken"
        )

    @asynccontextmanager
    async def _get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator["httpx.Response"]:
        lighthttp.prepare()
        import httpx

        if self._client is None:
            self._client = _client(self._proxies)
        try:
            async with self._at_once, self._client.stream("GET", url, headers={"Accept-Encoding": "identity", **headers}) as response:
                yield response
        except httpx.InvalidURL as error:
            raise ArchiveRefused(f"{shown(url)} is no address: {error}") from None
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ArchiveRefused(f"{shown(url)}: {error}; SSL_CERT_FILE names the file of an authority of your own") from None
            raise _Again(str(error) or type(error).__name__) from None
        except httpx.TooManyRedirects:
            raise ArchiveRefused(f"{shown(url)} redirects too often") from None

    async def _tried(self, once: Callable[[], Awaitable[T]], what: str, seconds: float) -> T:
        """`once`, again after a failure that may pass. `seconds` bound one try."""
        pause, why = FIRST_PAUSE, ""
        for attempt in range(TRIES):
            try:
                with anyio.fail_after(seconds):
                    return await once()
            except TimeoutError:
                why = f"it took more than {seconds:.0f} s"
            except _Again as error:
                why = str(error)
                pause = max(pause, error.pause)
            if attempt < TRIES - 1:
                await anyio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - only spreads the retries
                pause = min(pause * 2, LONGEST_PAUSE)
        raise MirrorUnreachable(f"{what}: {why}, {TRIES} times")


def _client(proxies: Mapping[str, str]) -> "httpx.AsyncClient":
    import httpx

    trust = httpx.create_ssl_context()
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT  # from 3.13 on it refuses hand-made authorities without a key identifier
    mounts = {scheme: httpx.AsyncHTTPTransport(verify=trust, proxy=proxy or None) for scheme, proxy in proxies.items()}
    return httpx.AsyncClient(
        follow_redirects=True,
        max_redirects=5,
        timeout=httpx.Timeout(READ, connect=CONNECT),
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        mounts=mounts,
        verify=trust,
    )


def _raw(response: "httpx.Response") -> AsyncGenerator[bytes]:
    return cast("AsyncGenerator[bytes]", response.aiter_raw())


def _there(response: "httpx.Response") -> bool:
    """False if the mirror does not have it."""
    status = response.status_code
    if status in (404, 410):
        return False
    if status in _RETRY:
        after = response.headers.get("retry-after", "")
        raise _Again(f"it answered {status}", min(float(after), LONGEST_PAUSE) if after.isdigit() else 0.0)
    if status not in (200, 206):
        raise ArchiveRefused(
            f"{shown(str(response.url))} answered {status}" + ("; does it want a password?" if status in (401, 403) else "")
        )
    return True


def _continues(response: "httpx.Response", have: int) -> bool:
    return bool(response.headers.get("content-range", "").startswith(f"bytes {have}-"))


def shown(url: str) -> str:
    """Without the user and password that it may have."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@asynccontextmanager
async def _held(partial: Path) -> AsyncIterator[tuple[Path, int]]:
    """`partial`, open, for nobody else. If another process has it, a file beside it that is gone afterwards."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    files.sweep(partial.parent)
    path = partial
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(fd), path.stat())  # else another process has just made it the finished file
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            os.close(fd)
            path = partial.parent / f"{files.TEMP_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        yield path, fd
    finally:
        os.close(fd)
        if path != partial:
            path.unlink(missing_ok=True)


def _hashed(fd: int, most: int) -> tuple["hashlib._Hash", int]:
    size = os.fstat(fd).st_size
    if size > most:
        os.ftruncate(fd, 0)
    digest, at = hashlib.sha256(), 0
    while chunk := os.pread(fd, 1 << 20, at):
        digest.update(chunk)
        at += len(chunk)
    return digest, at


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _finish(fd: int, path: Path, target: Path) -> None:
    os.fsync(fd)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    files.sync_folder(target.parent)
