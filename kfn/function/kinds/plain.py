"""`handle(request)`, `handle(event)` or `handle(either)`: called with the whole body, its result made into a response."""

import inspect
import json
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

from kfn.function.errors import BadEvent, BadRequest
from kfn.function.event import Event
from kfn.function.event_http import BATCH, batch_from_http, from_http, to_json
from kfn.function.exchange import Exchange
from kfn.function.kinds.hooks import Hooks
from kfn.function.message import Request
from kfn.function.results import answer, piece
from kfn.function.threads import Threads

_END = object()


class Plain:
    """A function or a method of one argument. `takes` is `request`, `event`, `either` or `nothing`."""

    def __init__(self, call: Callable[..., Any], takes: str, threads: Threads, max_body: int, hooks: Hooks) -> None:
        self._call = call
        self._takes = takes
        self._threads = threads
        self._max_body = max_body
        self._hooks = hooks
        self._on_loop = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
        self.start = hooks.start
        self.stop = hooks.stop
        self.health = hooks.health

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.read(self._max_body)
        if self._takes in ("event", "either"):
            batch = batch_from_http(exchange.headers, body)
            if batch is not None:
                await self._each(exchange, batch)
                return
        result = await self._run(self._argument(exchange, body))
        await _write(exchange, result, self._threads)

    def _argument(self, exchange: Exchange, body: bytes) -> tuple[Any, ...]:
        if self._takes == "nothing":
            return ()
        if self._takes in ("event", "either"):
            event = from_http(exchange.headers, body)
            if event is not None:
                return (event,)
            if self._takes == "event":
                raise BadEvent(
                    "This function takes CloudEvents: attribute `specversion` is missing. Send the header ce-specversion and its "
                    "kin, or a body of type application/cloudevents+json."
                )
        try:
            target = exchange.target.decode("ascii")
        except UnicodeDecodeError:
            raise BadRequest("The request's target is not ASCII; percent-encode it.") from None
        return (Request(exchange.method.decode(), target, exchange.headers, body, exchange.trace),)

    async def _run(self, args: tuple[Any, ...]) -> Any:
        result = self._call(*args) if self._on_loop else await self._threads.run(self._call, *args)
        return await result if inspect.isawaitable(result) else result

    async def _each(self, exchange: Exchange, events: list[Event]) -> None:
        """A batch is its events, one after the other; the replies go back as a batch."""
        replies = [reply for event in events if isinstance(reply := await self._run((event,)), Event)]
        if replies:
            body = json.dumps([to_json(reply) for reply in replies], separators=(",", ":"), ensure_ascii=False).encode()
            exchange.respond(200, ((b"content-type", BATCH.encode()),), body)
        else:
            exchange.respond(204, (), b"")


async def _write(exchange: Exchange, result: Any, threads: Threads) -> None:
    made = answer(result)
    if made.stream is None:
        exchange.respond(made.status, made.headers, made.body)
        return
    exchange.start(made.status, made.headers)
    if isinstance(made.stream, AsyncIterable):
        async for item in made.stream:
            await exchange.send(piece(item), more=True)
    else:
        await send_each(exchange, made.stream, threads)
    await exchange.send(b"", more=False)


async def send_each(exchange: Exchange, items: Iterable[Any], threads: Threads) -> None:
    """Send what a blocking iterator gives, piece by piece, and close it however this ends."""
    iterator = iter(items)
    try:
        while (item := await threads.run(next, iterator, _END)) is not _END:
            data = piece(item)
            if data:
                await exchange.send(data, more=True)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            await threads.run(close)
