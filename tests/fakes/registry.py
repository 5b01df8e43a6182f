"""A registry in memory that misbehaves when a test says so: `fake.when("PATCH", act)` runs `act` at the next PATCH, before or instead of
what a registry does.

For what no real registry does on demand. How a real one behaves is tested against docker-registry (tests/peers/registry.py).
"""

import hashlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.raw_http import Hangup, Request, Response, serve

Act = Callable[[Request], Awaitable[Response | None]]
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>blobs/uploads|blobs|manifests|referrers|tags)/(?P<rest>.*)")


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def error(status: int, code: str, message: str = "", detail: object = None, **headers: str) -> Response:
    return Response.json({"errors": [{"code": code, "message": message, "detail": detail}]}, status, **headers)


@dataclass
class _When:
    method: str
    contains: str
    times: int
    act: Act


@dataclass
class FakeRegistry:
    host: str = ""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)  # repository, digest
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)  # repository, tag or digest
    sessions: dict[str, bytearray] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)  # METHOD target
    seen: list[Request] = field(default_factory=list)
    has_referrers: bool = False
    has_ranges: bool = True
    relative: bool = False  # Location without scheme and host
    _whens: list[_When] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def when(self, method: str, act: Act | Response, contains: str = "", times: int = 1) -> None:
        """At the next `times` requests of this method whose target contains this text."""

        async def answers(request: Request) -> Response | None:
            return act if isinstance(act, Response) else await act(request)

        self._whens.append(_When(method, contains, times, answers))

    def count(self, start: str) -> int:
        return sum(line.startswith(start) for line in self.log)

    async def __call__(self, request: Request) -> Response:
        self.log.append(f"{request.method} {request.target}")
        self.seen.append(request)
        for one in self._whens:
            if one.times and one.method == request.method and one.contains in request.target:
                one.times -= 1
                told = await one.act(request)
                if told is not None:
                    return told
        found = _PATH.fullmatch(request.path)
        if not found:
            return error(404, "NAME_INVALID")
        name, rest = found["name"], found["rest"]
        if found["kind"] == "blobs/uploads":
            return await self._upload(request, name, rest)
        if found["kind"] == "blobs":
            return self._blob(request, name, rest)
        if found["kind"] == "manifests":
            return await self._manifest(request, name, rest)
        return self._referrers(name, rest) if found["kind"] == "referrers" else self._tags(name)

    async def _upload(self, request: Request, name: str, rest: str) -> Response:
        if request.method == "POST":
            digest, origin = request.parameter("mount"), request.parameter("from")
            if digest and (origin, digest) in self.blobs:
                self.blobs[name, digest] = self.blobs[origin, digest]
                return Response(201, headers={"Location": f"/v2/{name}/blobs/{digest}"})
            return self.begin(name)
        session = self.sessions.get(rest)
        if session is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        if request.method == "DELETE":
            del self.sessions[rest]
            return Response(204)
        if request.method == "GET":
            return self.state(name, rest, 204)
        session += await request.body()
        if request.method == "PATCH":
            return self.state(name, rest, 202)
        del self.sessions[rest]
        digest = request.parameter("digest")
        if sha256(bytes(session)) != digest:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[name, digest] = bytes(session)
        return Response(201)

    def begin(self, name: str, **headers: str) -> Response:
        number = f"s{next(self._numbers)}"
        self.sessions[number] = bytearray()
        answer = self.state(name, number, 202)
        answer.headers |= headers
        return answer

    def state(self, name: str, number: str, status: int) -> Response:
        end = max(0, len(self.sessions[number]) - 1)
        place = f"/v2/{name}/blobs/uploads/{number}?_state=a%3Db"
        return Response(status, headers={"Location": place if self.relative else f"http://{self.host}{place}", "Range": f"0-{end}"})

    def _blob(self, request: Request, name: str, digest: str) -> Response:
        data = self.blobs.get((name, digest))
        if data is None:
            return error(404, "BLOB_UNKNOWN")
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if span and self.has_ranges:
            start, end = int(span[1]), int(span[2] or len(data) - 1)
            return Response(206, data[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(data)}"})
        return Response(200, data, {"Docker-Content-Digest": digest})

    async def _manifest(self, request: Request, name: str, reference: str) -> Response:
        if request.method == "PUT":
            data = await request.body()
            body = json.loads(data)
            for one in [body.get("config"), *body.get("layers", ())]:
                if one and (name, one["digest"]) not in self.blobs:
                    return error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", one["digest"])
            kept = (request.headers["content-type"], data)
            self.manifests[name, reference] = self.manifests[name, sha256(data)] = kept
            about = body.get("subject") or {}
            return Response(201, headers={"OCI-Subject": about["digest"]} if about and self.has_referrers else {})
        if request.method == "DELETE":
            return Response(202 if self.manifests.pop((name, reference), None) else 404)
        found = self.manifests.get((name, reference))
        if not found:
            return error(404, "MANIFEST_UNKNOWN")
        return Response(200, found[1], {"Content-Type": found[0], "Docker-Content-Digest": sha256(found[1])})

    def _referrers(self, name: str, digest: str) -> Response:
        if not self.has_referrers:
            return error(404, "UNSUPPORTED")
        found = {}
        for (repository, _), (kind, data) in self.manifests.items():
            body = json.loads(data)
            if repository == name and (body.get("subject") or {}).get("digest") == digest:
                found[sha256(data)] = {
                    "mediaType": kind,
                    "digest": sha256(data),
                    "size": len(data),
                    "artifactType": body.get("artifactType", ""),
                }
        return Response.json({"schemaVersion": 2, "manifests": list(found.values())})

    def _tags(self, name: str) -> Response:
        return Response.json({"name": name, "tags": sorted(ref for repo, ref in self.manifests if repo == name and ":" not in ref)})


@asynccontextmanager
async def fake_registry(**options: bool) -> AsyncIterator[FakeRegistry]:
    fake = FakeRegistry(**options)  # type: ignore[arg-type]
    async with serve(fake) as host:
        fake.host = host
        yield fake


async def hangs_up(request: Request) -> Response | None:
    """Read nothing, answer nothing, close."""
    raise Hangup
