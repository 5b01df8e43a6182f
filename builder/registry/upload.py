"""A blob into a repository: found there, linked from a neighbour, or sent, in one request or in chunks that survive a broken connection.

What registries do (docker-registry 2.8.2, measured): after a connection cut inside a chunk the session is dead and answers 404; a chunk
with a wrong Content-Range is accepted and appended. So the Range of each answer is compared, on any doubt the session is asked for its
state, a dead one is begun again, and the digest at the end is the proof.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import anyio
import anyio.to_thread

from builder import files
from builder.errors import BlobCorrupt, BuildError, DigestMismatch, RegistryError, RegistryRefused, RegistryUnreachable
from builder.oci import Blob
from builder.registry import answers, retry
from builder.registry.answers import Answer
from builder.registry.bodies import body
from builder.registry.challenge import scope
from builder.registry.reference import ImageRef, parse_repository
from builder.registry.transport import Body, Call, GivenUp, Transport

PUSHING = "push to"
_OCTETS = "application/octet-stream"
CHUNKED_TRIES = 3  # then in one request, for registries that do not take chunks


class _Lost(Exception):
    """The upload session is gone; begin again."""


@dataclass(slots=True)
class _Session:
    location: str
    least: int = 0  # OCI-Chunk-Min-Length


@dataclass(slots=True)
class Upload:
    """Of one blob to one repository."""

    transport: Transport
    ref: ImageRef
    blob: Blob
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.scopes = (scope(self.ref.repository, "pull,push"),)

    async def exists(self) -> bool:
        """HEAD. An odd answer counts as no: uploading what is there does no harm."""
        try:
            return await has(self.transport, self.ref, self.blob.digest, self.scopes, PUSHING)
        except RegistryRefused:
            return False  # the upload will say what is not allowed

    async def mount(self) -> "tuple[bool, _Session | None]":
        """Whether the registry linked the blob from `origin`; if not, perhaps the session that it began instead."""
        origin = parse_repository(self.blob.origin)
        query = urlencode({"mount": self.blob.digest, "from": origin.repository})
        scopes = (*self.scopes, scope(origin.repository, "pull"))
        try:
            answer = await self._call("POST", self._uploads(f"?{query}"), scopes=scopes)
        except RegistryRefused:
            return False, None  # no right there; sending it may still be allowed
        if answer.status == 201:
            return True, None
        return False, self._session(answer) if answer.status == 202 else None

    async def send(self, session: "_Session | None") -> None:
        """Try until it is there, at most as often as the settings say without progress."""
        failures, tries = 0, 0
        while True:
            tries += 1
            try:
                session = session or await self.begin()
                if self.blob.size < self.transport.settings.monolithic or tries > CHUNKED_TRIES:
                    await self._finish(session, body(self.transport, self.blob, 0, self.blob.size))
                else:
                    await self._chunks(session)
                return
            except (_Lost, RegistryUnreachable) as error:
                session = None
                failures += 1
                wait = retry.pause(self.transport.settings, failures, random.random(), None)  # noqa: S311
                if isinstance(error, GivenUp) or (wait is None and isinstance(error, BuildError)):
                    raise
                if wait is None:
                    raise RegistryUnreachable(f"{self.ref.registry} lost the upload of {self.blob.digest[:19]} {failures} times") from error
                await anyio.sleep(wait)
            if await self.exists():
                return  # the answer was lost, not the upload

    async def begin(self) -> "_Session":
        """A session with nothing in it."""
        answer = await self._call("POST", self._uploads())
        if answer.status != 202:
            raise answers.unexpected(self.ref, PUSHING, answer)
        return self._session(answer)

    async def abandon(self, session: "_Session") -> None:
        """Give a session up. Some registries do not let one; it ends by itself."""
        try:
            await self._call("DELETE", session.location, replay=False)
        except BuildError:
            pass

    async def _chunks(self, session: "_Session") -> None:
        size, offset, doubts = self.blob.size, 0, 0
        chunk = max(self.transport.settings.chunk, session.least)
        while offset < size:
            end = min(offset + chunk, size)
            headers = {"Content-Range": f"{offset}-{end - 1}", "Content-Type": _OCTETS}
            piece = body(self.transport, self.blob, offset, end - offset)
            try:
                answer = await self._call("PATCH", session.location, headers, piece, replay=False)
            except GivenUp:
                raise
            except RegistryUnreachable:
                answer = Answer(0, {})  # it may have arrived, in part or whole
            if answer.status in (405, 501):
                raise _Lost
            if answer.status == 202:
                session.location = self._location(answer) or session.location
                if _received(answer) == end:
                    offset, doubts = end, 0
                    continue
            elif answer.status not in (0, 404, 408, 416, 500):
                raise answers.unexpected(self.ref, PUSHING, answer)
            doubts += 1
            if doubts > self.transport.settings.retries:
                raise _Lost
            offset = await self._state(session, end)
        await self._finish(session, None)

    async def _state(self, session: "_Session", most: int) -> int:
        """How much of the blob the session has, by its own words. More than was sent means that something was appended twice."""
        await anyio.sleep(random.random() * self.transport.settings.backoff)  # noqa: S311
        answer = await self._call("GET", session.location)
        received = _received(answer)
        if answer.status not in (200, 202, 204) or received is None or received > most:
            raise _Lost
        session.location = self._location(answer) or session.location
        return received

    async def _finish(self, session: "_Session", data: Body | None) -> None:
        parts = urlsplit(session.location)
        query = "&".join(filter(None, (parts.query, urlencode({"digest": self.blob.digest}))))
        url = parts._replace(query=query).geturl()
        answer = await self._call("PUT", url, {"Content-Type": _OCTETS}, data, replay=False)
        if answer.status in (201, 204):
            return
        if answer.status in (404, 408, 416) or "BLOB_UPLOAD_INVALID" in answer.codes or "BLOB_UPLOAD_UNKNOWN" in answer.codes:
            raise _Lost
        if "DIGEST_INVALID" in answer.codes:
            await self._blame(answer, whole=data is not None)
        raise answers.unexpected(self.ref, PUSHING, answer)

    async def _blame(self, answer: Answer, *, whole: bool) -> None:
        """The registry got other bytes than promised: whose fault is it?"""
        path = self.blob.path
        if self.blob.data is None and path and (found := await anyio.to_thread.run_sync(_hash, path)) != self.blob.digest:
            if path.name == self.blob.digest.removeprefix("sha256:"):
                path.unlink(missing_ok=True)  # a store by digest with a wrong entry; it is made anew
            raise BlobCorrupt(f"{path} holds {found or 'nothing'} and not {self.blob.digest}; build again")
        if not whole:
            raise _Lost  # a chunk was taken twice or lost; in one piece it will fit
        if self.blob.data is None and not path:
            raise DigestMismatch(f"{self.blob.origin} sent other bytes than {self.blob.digest} promises ({answer.words})")

    async def _call(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        data: Body | None = None,
        *,
        replay: bool = True,
        scopes: tuple[str, ...] = (),
    ) -> Answer:
        return await self.transport.send(
            Call(method, self.ref, url, scopes or self.scopes, PUSHING, headers or {}, data if data and data.length else None, replay)
        )

    def _uploads(self, query: str = "") -> str:
        return self.transport.url(self.ref, f"blobs/uploads/{query}")

    def _session(self, answer: Answer) -> "_Session":
        location = self._location(answer)
        if not location:
            raise RegistryError(f"{self.ref.registry} began an upload and did not say where (no Location)")
        least = answer.header("oci-chunk-min-length")
        return _Session(location, int(least[:15]) if least.isascii() and least.isdigit() else 0)

    def _location(self, answer: Answer) -> str:
        """Where the session is now: the answer may say it absolutely or not, and with the wrong scheme behind a TLS proxy."""
        given = answer.header("location")
        if not given:
            return ""
        own = self._uploads()
        url = urljoin(own, given)
        parts, ours = urlsplit(url), urlsplit(own)
        if parts.netloc == ours.netloc:
            return parts._replace(scheme=ours.scheme).geturl()
        if not self.transport.settings.allows(parts, self.ref.registry):
            raise RegistryError(f"{self.ref.registry} wants the upload at {answers.shown(url.partition('?')[0])}, which is not https")
        return url


async def has(transport: Transport, ref: ImageRef, digest: str, scopes: tuple[str, ...], doing: str) -> bool:
    """Whether a blob is in a repository."""
    answer = await transport.send(Call("HEAD", ref, transport.url(ref, f"blobs/{digest}"), scopes, doing))
    return answer.status == 200


def _received(answer: Answer) -> int | None:
    """`Range: 0-999` means 1000 bytes. `0-0` is what registries say of an empty session, and one of a single byte is not made."""
    first, dash, last = answer.header("range").removeprefix("bytes=").partition("-")
    if not dash or first != "0" or not (last.isascii() and last.isdigit()):
        return None
    return int(last[:18]) + 1 if int(last[:18]) else 0


def _hash(path: Path) -> str:
    try:
        return files.sha256(path)
    except FileNotFoundError:
        return ""
