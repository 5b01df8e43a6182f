"""A tiny API server over real HTTP that misbehaves on command: it drops connections in the middle of a watch, forgets
history (410), repeats events and sends bookmarks. It knows one resource, ConfigMaps in one namespace."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kfn.kube.config import Config
from kfn.observe import web

Json = dict[str, Any]


@dataclass
class FaultyApi:
    """State, history and the faults that are armed. `lists` and `watches` count what clients asked for."""

    objects: dict[str, Json] = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)
    version: int = 0
    oldest: int = 0
    lists: int = 0
    watches: list[int] = field(default_factory=list)
    refuse: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _cut: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, name: str, value: str) -> None:
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        meta = {"name": name, "namespace": "default", "uid": f"u-{name}", "resourceVersion": str(self.version)}
        self.objects[name] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}
        self._note({"type": kind, "object": self.objects[name]})

    def remove(self, name: str) -> None:
        self.version += 1
        gone = self.objects.pop(name)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self._note({"type": "DELETED", "object": gone})

    def repeat_last(self, times: int) -> None:
        """Send the last events again, as a confused server or proxy would."""
        for event in self.history[-times:]:
            self._note(event)

    def bookmark(self) -> None:
        self._note({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": str(self.version)}}})

    def forget(self) -> None:
        """Expire all history: resuming answers 410, open watches get an ERROR event."""
        self.oldest = self.version
        self._note({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}})

    def cut(self) -> None:
        """Drop every open watch in the middle of a line."""
        self._cut.set()
        self._cut = asyncio.Event()

    def _note(self, event: Json) -> None:
        self.history.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = dict(part.split("=", 1) for part in scope["query_string"].decode().split("&") if "=" in part)
        if self.refuse:
            self.refuse -= 1
            await self._answer(send, 503, {"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "starting"})
        elif "watch" in query:
            await self._watch(send, int(query.get("resourceVersion") or 0))
        else:
            self.lists += 1
            items = list(self.objects.values())
            await self._answer(send, 200, {"kind": "ConfigMapList", "metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _watch(self, send: Any, since: int) -> None:
        self.watches.append(since)
        if since < self.oldest:
            await self._answer(send, 410, {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        at = next((i for i, e in enumerate(self.history) if _version(e) > since), len(self.history))
        while True:
            cut, changed = self._cut, self._changed
            while at < len(self.history):
                line = json.dumps(self.history[at]).encode() + b"\n"
                at += 1
                # in two pieces, so that lines do not come one a chunk
                await send({"type": "http.response.body", "body": line[:20], "more_body": True})
                await send({"type": "http.response.body", "body": line[20:], "more_body": True})
            waits = [asyncio.ensure_future(cut.wait()), asyncio.ensure_future(changed.wait())]
            try:
                await asyncio.wait(waits, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if cut.is_set():
                await send({"type": "http.response.body", "body": b'{"type": "MODI', "more_body": True})
                raise ConnectionAbortedError("cut by the test")

    async def _answer(self, send: Any, status: int, body: Json) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def _version(event: Json) -> int:
    return int(event["object"].get("metadata", {}).get("resourceVersion") or 0)


@asynccontextmanager
async def faulty_api() -> AsyncIterator[tuple[FaultyApi, Config]]:
    api = FaultyApi()
    async with web.serving(api, drain=0) as port:
        yield api, Config(server=f"http://127.0.0.1:{port}")
