"""Where gateways in other processes report: `POST /load` (see `kfn/load_wire.py`), one request as long as the gateway lives. On its
answer they are told, and asked, what concerns them.

It is an ASGI endpoint, so that whoever runs an autoscaler mounts it where it listens. When a gateway's connection ends, the
autoscaler is told at once that nothing is in that gateway any more; one that ends without a word is found out by its silence.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import anyio
from anyio import CancelScope
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import json
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from autoscaler.settings import Settings
from kfn import load_wire
from kfn.load import RevisionKey, Sample
from kfn.load_wire import BadMessage
from kfn.observe import bearer

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What is told: the `Autoscaler`."""

    def poke(self, revision: RevisionKey, waiting: int, gateway: str) -> None: ...

    def report(self, samples: Sequence[Sample], gateway: str, age: float) -> None: ...

    def arrived(self, gateway: str) -> None: ...

    def gone(self, gateway: str) -> None: ...


class Refused(Exception):
    """The message is the reason, `status` the answer's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(eq=False)
class _Connection:
    scope: CancelScope
    lines: MemoryObjectSendStream[bytes]


@dataclass(eq=False)
class _Question:
    """What is asked of several gateways at once."""

    pods: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)  # who have not answered
    done: anyio.Event = field(default_factory=anyio.Event)


class Receiver:
    """Takes reports of every gateway that shows `token`."""

    def __init__(self, listener: Listener, token: str, settings: Settings | None = None) -> None:
        self._listener = listener
        self._token = token
        self._settings = settings or Settings()
        self._connections: dict[str, _Connection] = {}
        self._questions: dict[int, _Question] = {}
        self._numbers = count(1)
        self._ended = False

    @property
    def route(self) -> Route:
        return Route(load_wire.PATH, self, methods=["POST"])

    @property
    def gateways(self) -> list[str]:
        """Those that are connected."""
        return sorted(self._connections)

    def end(self) -> None:
        """End every connection, and take no more: the process stops. Gateways go on trying until another one listens."""
        self._ended = True
        for connection in self._connections.values():
            connection.scope.cancel()

    def tell(self, gateway: str, message: load_wire.Downward) -> bool:
        """Say it to one gateway, if it is there and listens. Returns at once."""
        connection = self._connections.get(gateway)
        if connection is None:
            return False
        try:
            connection.lines.send_nowait(load_wire.line(message))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return False
        return True

    async def busy(self, revision: RevisionKey, within: float) -> Mapping[str, int]:
        """The requests under way on each pod of a revision, in all gateways that answer within so many seconds."""
        number, question = next(self._numbers) % 10_000_000, _Question()
        self._questions[number] = question
        try:
            ask = load_wire.Ask(number, revision.namespace, revision.name)
            question.asked |= {gateway for gateway in self.gateways if self.tell(gateway, ask)}
            if question.asked:
                with anyio.move_on_after(within):
                    await question.done.wait()
            return question.pods
        finally:
            del self._questions[number]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            gateway = self._check(Headers(scope=scope))
        except Refused as why:
            await PlainTextResponse(f"{why}\n", why.status, {"Connection": "close"})(scope, receive, send)
            return
        headers = [(b"content-type", b"application/x-ndjson"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        reason = await self._serve(gateway, receive, send)
        body = json.encode({"error": reason}) + b"\n" if reason else b""
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _check(self, headers: Headers) -> str:
        if not bearer.allows(headers.get("authorization", ""), self._token):
            raise Refused(401, "the autoscaler's bearer token is needed")
        gateway = headers.get(load_wire.GATEWAY, "")
        if not load_wire.is_identity(gateway):
            raise Refused(
                400, f"{load_wire.GATEWAY}: expected the gateway's identity, 1 to 128 letters, digits, dots, dashes and underscores"
            )
        if self._ended:
            raise Refused(503, "the autoscaler is stopping")
        if gateway not in self._connections and len(self._connections) >= self._settings.gateways:
            raise Refused(503, f"{len(self._connections)} gateways are connected already")
        return gateway

    async def _serve(self, gateway: str, receive: Receive, send: Send) -> str:
        """Listen to one gateway until either side ends. Returns why we do not listen any longer, empty if it has gone."""
        before = self._connections.get(gateway)
        if before is not None:
            before.scope.cancel()  # the same gateway again: its old connection is dead, or will be
        reason = ""
        lines, said = anyio.create_memory_object_stream[bytes](self._settings.gateway_backlog)
        with lines, said, CancelScope() as scope:
            connection = self._connections[gateway] = _Connection(scope, lines)
            self._listener.arrived(gateway)
            log.info("gateway %s reports here", gateway)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_speak, send, said)
                    reason = await self._listen(gateway, receive)
                    tasks.cancel_scope.cancel()
            finally:
                if self._connections.get(gateway) is connection:
                    del self._connections[gateway]
                    self._answered(gateway)
                    self._listener.gone(gateway)
                    log.info("gateway %s is gone%s", gateway, f": {reason}" if reason else "")
        return reason

    async def _listen(self, gateway: str, receive: Receive) -> str:
        lines = load_wire.Lines()
        try:
            while True:
                with anyio.fail_after(self._settings.gateway_silence):
                    event = await receive()
                if event["type"] != "http.request":
                    return ""
                for line in lines.feed(event.get("body", b"")):
                    self._tell(gateway, load_wire.message(line))
                if not event.get("more_body", False):
                    return ""
        except BadMessage as error:
            return str(error)
        except TimeoutError:
            return f"nothing came for {self._settings.gateway_silence:g} s"

    def _tell(self, gateway: str, message: load_wire.Upward) -> None:
        if isinstance(message, load_wire.Poke):
            self._listener.poke(RevisionKey(message.namespace, message.revision), message.waiting, gateway)
        elif isinstance(message, load_wire.Busy):
            if (question := self._questions.get(message.number)) is not None and gateway in question.asked:
                question.pods.update(message.pods)
                self._answered(gateway, message.number)
        elif message.samples:
            self._listener.report(message.as_samples(), gateway, message.age)

    def _answered(self, gateway: str, number: int = 0) -> None:
        """One question, or all of them, because the gateway has gone."""
        for one in [number] if number else list(self._questions):
            question = self._questions[one]
            question.asked.discard(gateway)
            if not question.asked:
                question.done.set()


async def _speak(send: Send, lines: MemoryObjectReceiveStream[bytes]) -> None:
    """Say what there is to say, and now and then that we live: a gateway whose autoscaler's machine has gone looks for another one."""
    while True:
        line = b"\n"
        with anyio.move_on_after(load_wire.BEAT):
            line = await lines.receive()
        await send({"type": "http.response.body", "body": line, "more_body": True})
