"""Where events arrive: an HTTP server in this process, which no fault touches, and files that instances append to and sync.

Paths of the server: /fails answers 500 to marked events and records the others, /answers records replies, /dead dead letters,
/ordered all attempts in their order, of which it answers some with 503 and some by half.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cli.verifybus.verdict import Id, parse
from kfn.observe.web import serving

FAILS, ANSWERS, DEAD, ORDERED = "fails", "answers", "dead", "ordered"
FIRST_FAILS = 7  # of so many events of the ordered Trigger one is refused at its first attempt
FIRST_CUT = 11  # ... and of so many one gets half an answer, and is not recorded: who takes that for delivered loses it
MARK = "verifymark"
# `OUT` is the file; `REPLIES` set: answer with an event that has the id of the one that came.
HANDLER = f"""
import os

import kfn

OUT = os.open(os.environ["OUT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@kfn.cloudevent
def handle(event):
    os.write(OUT, f"{{event.id}} {{os.getpid()}}\\n".encode())
    os.fsync(OUT)
    if os.environ.get("REPLIES"):
        return kfn.Event("verify.answer", "/verify/answers", id=event.id, {MARK}=event.attributes.get("{MARK}"))
"""
FUNC = """specVersion: 0.36.0
name: {name}
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  annotations:
    autoscaling.knative.dev/window: 6s
  options:
    resources:
      limits:
        concurrency: 4
"""


class Sink:
    """What came to the server, by path and id."""

    def __init__(self) -> None:
        self.seen: dict[str, Counter[Id]] = {path: Counter() for path in (FAILS, ANSWERS, DEAD, ORDERED)}
        self.attempts: list[Id] = []  # of the ordered Trigger
        self._tried: set[Id] = set()
        self.strangers = 0
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    async def take(self, request: Request) -> Response:
        await request.body()
        path, id = request.path_params["path"], parse(request.headers.get("ce-id", ""))
        if id is None or path not in self.seen:
            self.strangers += 1
            return Response(status_code=400)
        if path == FAILS and request.headers.get(f"ce-{MARK}"):
            return Response(status_code=500)
        if path == ORDERED:
            again = id in self._tried
            self._tried.add(id)
            self.attempts.append(id)
            if id.number % FIRST_FAILS == 1 and not again:
                return Response(status_code=503)
            if id.number % FIRST_CUT == 2 and not again:
                return _Cut()
        self.seen[path][id] += 1
        return Response(status_code=204)


class _Cut(Response):
    """The head of an answer of 200, whose body the connection's end cuts off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})


@asynccontextmanager
async def listening() -> AsyncIterator[Sink]:
    sink = Sink()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it complains of every answer that is cut
    app = Starlette(routes=[Route("/{path}", sink.take, methods=["POST"])])
    async with serving(app) as sink.port:
        yield sink


class File:
    """What instances of one function appended; read on from where it was read to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: Counter[Id] = Counter()
        self.pids: dict[int, None] = {}  # of the instances, those that wrote last at the end
        self._read = 0

    def read(self) -> Counter[Id]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except FileNotFoundError:
            return self.seen
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            id, _, pid = line.partition(" ")
            if (one := parse(id)) is not None:
                self.seen[one] += 1
                self.pids.pop(int(pid), None)
                self.pids[int(pid)] = None
        return self.seen


def write_function(folder: Path, name: str) -> Path:
    """The source of a function that records what it gets."""
    folder.mkdir(parents=True)
    (folder / "func.py").write_text(HANDLER)
    (folder / "func.yaml").write_text(FUNC.format(name=name))
    return folder
