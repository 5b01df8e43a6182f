"""The API server over HTTP: token, bodies, tables and streams around the same core that the in-process transport calls."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from embedded.api import decode, openapi, paths, status, table
from embedded.api.request import Answer, Request
from embedded.api.server import ApiServer
from embedded.api.virtual import HEALTH
from kfn.api.base import Json
from kfn.clock import utcnow
from kfn.observe import bearer

log = logging.getLogger(__name__)
_WARNINGS, _WARNING_LENGTH = 100, 300  # of them, and characters of each, so that clients accept the head
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


def http_app(server: ApiServer, token: str, *, user: str = "kfn:admin") -> Starlette:
    """An ASGI app. Whoever presents `token` is `user` and may do everything; without it only the health paths answer."""

    async def endpoint(http: HttpRequest) -> Response:
        path = http.scope["path"]
        if path in HEALTH:
            return PlainTextResponse("ok")
        try:
            if not bearer.allows(http.headers.get("authorization", ""), token):
                raise status.unauthorized()
            request = await _request(http, user, server.settings.body_bytes)
            return await _answer(server, request)
        except status.UnknownPath as error:
            return PlainTextResponse(error.text, error.code)
        except status.StatusError as error:
            return _json(Answer(error.code, error.body()))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            log.exception("%s %s failed", http.method, path)
            return _json(Answer(500, status.internal("this is a fault in kfn; its log has the traceback").body()))

    return Starlette(routes=[Route("/{path:path}", endpoint, methods=_METHODS)])


async def _request(http: HttpRequest, user: str, limit: int) -> Request:
    content = bytearray()
    async for chunk in http.stream():
        content += chunk
        if len(content) > limit:
            raise status.too_large(limit)
    content_type = http.headers.get("content-type", "application/json")
    body = decode.body(bytes(content), content_type)
    query = dict(http.query_params)
    return Request(http.method, http.scope["path"], query, body, content_type, user, http.headers.get("accept", ""))


async def _answer(server: ApiServer, request: Request) -> Response:
    if request.path == openapi.V2 and request.method == "GET":
        return Response(openapi.v2(), media_type=openapi.V2_MEDIA)
    target = paths.parse(request.path)
    if request.method == "GET" and target is not None:
        if target.subresource == "log":
            return await _Stream.opened(_log(server, request), "text/plain")
        if request.flag("watch"):
            return await _Stream.opened(_watch(server, request), "application/json")
    answer = await server.handle(request)
    if answer.text:
        return PlainTextResponse(answer.text, answer.status)
    if answer.table and target is not None and answer.status < 300 and table.wanted(request.accept):
        items, meta = (
            (answer.body["items"], answer.body["metadata"]) if answer.table == "list" else ([answer.body], answer.body["metadata"])
        )
        meta = {k: v for k, v in meta.items() if k in ("resourceVersion", "continue", "remainingItemCount")}
        body = table.of(target.kind, items, meta, request.query.get("includeObject", ""), utcnow())
        answer = Answer(answer.status, body, answer.warnings)
    return _json(answer)


def _json(answer: Answer) -> Response:
    response = Response(msgspec.json.encode(answer.body), answer.status, media_type="application/json")
    for text in answer.warnings[:_WARNINGS]:
        # It quotes what the client wrote: line ends and signs that no header can carry are written as escapes.
        plain = text[:_WARNING_LENGTH].encode("unicode_escape").decode("ascii")
        quoted = plain.replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{quoted}"')
    return response


@asynccontextmanager
async def _watch(server: ApiServer, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
    with server.watch(request) as events:
        as_table = table.wanted(request.accept)

        async def lines() -> AsyncIterator[bytes]:
            async for event in events:
                shown = _table_event(events.kind, event, request) if as_table and event["type"] != "ERROR" else event
                yield msgspec.json.encode(shown) + b"\n"

        yield lines()


def _table_event(kind: Any, event: Json, request: Request) -> Json:
    obj = event["object"]
    items = [] if event["type"] == "BOOKMARK" else [obj]
    meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    return {"type": event["type"], "object": table.of(kind, items, meta, request.query.get("includeObject", ""), utcnow())}


@asynccontextmanager
async def _log(server: ApiServer, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
    async with server.log(request) as chunks:
        if request.flag("follow"):
            yield chunks
            return
        # A log that is not there is found out at its first chunk: wait for it, so that the refusal can still be a Status.
        first = await anext(chunks, b"")

        async def all_chunks() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        yield all_chunks()


class _Stream(Response):
    """A response that lasts until its source ends or the client goes; opened before the headers, so that it can be refused."""

    def __init__(self, source: AbstractAsyncContextManager[AsyncIterator[bytes]], chunks: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._source = source
        self._chunks = chunks

    @classmethod
    async def opened(cls, source: AbstractAsyncContextManager[AsyncIterator[bytes]], media_type: str) -> "_Stream":
        return cls(source, await source.__aenter__(), media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_gone, receive, tasks.cancel_scope)
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b"", "more_body": True})  # the headers now, not at the first event
                async for chunk in self._chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                tasks.cancel_scope.cancel()
        finally:
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                await close()
            await self._source.__aexit__(None, None, None)

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
