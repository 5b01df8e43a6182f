"""The event bus's doors (dead letters, replay, tail): of an embedded platform the Broker's own address, on a cluster the admin port of a
pod of kfn-eventing, through the API server's proxy. There the user needs the right to that, and the token of events."""

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli import doors, objects
from cli.events import refusal
from cli.failures import CliError
from kfn.api.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from cli.session import Session
    from kfn.kube.client import Client

Ask = Callable[..., Awaitable[Any]]
"""(method, path below the Broker, query, body=None) to the answer, decoded. Raises CliError for any refusal."""

TOKEN, SECRET, KEY = "KFN_EVENTS_TOKEN", "kfn-tokens", "events"
SECONDS = 60.0  # a page of a replay waits for each event to be on disk


@asynccontextmanager
async def open_door(session: "Session", place: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Ask]:
    """`place` is a Broker's name, `channel:NAME` or `pipeline:NAME`; `headers` go with every question."""
    async with _behind(session, place, headers) as (transport, paths):

        async def ask(method: str, path: str, query: Mapping[str, str], body: Any = None) -> Any:
            return await _first(transport, method, [f"{at}/{path}".rstrip("/") for at in paths], query, body)

        yield ask


@asynccontextmanager
async def open_tail(session: "Session", place: str, query: str) -> AsyncIterator[AsyncIterator[str]]:
    """The events that pass through, a line each, from the first that can be reached."""
    async with AsyncExitStack() as stack:
        transport, paths = await stack.enter_async_context(_behind(session, place))
        yield _lines(await stack.enter_async_context(_first_text(transport, [f"{path}/events?{query}" for path in paths], place)))


@asynccontextmanager
async def _first_text(transport: Any, paths: list[str], place: str) -> AsyncIterator[AsyncIterator[bytes]]:
    from kfn.kube import errors

    async with AsyncExitStack() as stack:
        for number, path in enumerate(paths, start=1):
            try:
                chunks = await stack.enter_async_context(transport.text(path, query={"follow": "true"}))
                break
            except errors.ApiError as error:
                if error.code < 500 or number == len(paths):
                    raise CliError(f"cannot watch {place} ({error.code}): {error}", refusal(error.code)) from error
        yield chunks


async def publish(session: "Session", url: str, event: Mapping[str, Any]) -> None:
    """To a Broker's address in the cluster, through the API server. The user needs the right to `services/proxy` there."""
    from urllib.parse import urlsplit

    from kfn.api import kinds

    parts = urlsplit(url)
    service, namespace = (parts.hostname or "").split(".")[:2]
    path = f"{kinds.CORE_SERVICE.path(namespace, service)}:{parts.port or 80}/proxy{parts.path}"
    async with session.client() as client:
        answer = await client.transport.request("POST", path, body=dict(event), content_type="application/cloudevents+json")
    if answer.status >= 300:
        text = answer.body.get("message", "") if isinstance(answer.body, dict) else ""
        raise CliError(f"the broker refused the event ({answer.status}): {text.strip()}", refusal(answer.status))


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.decode("utf-8", "replace")


async def find(session: "Session", client: "Client", place: str) -> tuple[Any, str]:
    """What NAME, broker:NAME, channel:NAME, inmemorychannel:NAME or pipeline:NAME means, and its path below its namespace."""
    from kfn.api import kinds

    places: dict[str, tuple[kinds.Kind[Any], str]] = {
        "broker": (kinds.BROKER, ""),
        "channel": (kinds.CHANNEL, "channels/"),
        "inmemorychannel": (kinds.IN_MEMORY_CHANNEL, "inmemorychannels/"),
        "pipeline": (kinds.PIPELINE, "pipelines/"),
    }
    word, colon, name = place.partition(":")
    if not colon:
        word, name = "broker", place
    if word not in places or not name:
        raise CliError(f"{place!r}: write the broker's name, or channel:NAME", 2)
    kind, below = places[word]
    makes = {"inmemorychannel": "", "pipeline": "`kfn pipeline apply -f FILE` makes it"}
    otherwise = makes.get(word, f"`kfn {word} create {name}` makes it")
    found = await objects.get(client, kind, name, session.namespace, word, otherwise=otherwise)
    if found.status.address is None:
        raise CliError(f"{word} {name!r} has no address yet: {objects.reason(found.status.conditions) or 'it is being made'}", 75)
    return found, f"/{quote(session.namespace)}/{below}{quote(name)}"


@asynccontextmanager
async def _behind(session: "Session", place: str, given: Mapping[str, str] | None = None) -> AsyncIterator[tuple[Any, list[str]]]:
    """What carries requests, and the paths of the place at every door that there is."""
    async with session.client() as client:
        found, below = await find(session, client, place)
        if session.facts:
            server, paths, headers = _origin(found.status.address.url), [""], {}
        else:
            server, paths = session.config.server, await doors.pods(client, "eventing")
            headers = {"Kfn-Token": await _token(client)}
    if not paths:
        raise CliError(f"no pod of kfn-eventing runs in {SYSTEM_NAMESPACE}, or you may not see it", 5)
    async with _transport(session, server, {**headers, **(given or {})}) as transport:
        yield transport, [f"{at}{below}" for at in paths]


@asynccontextmanager
async def _transport(session: "Session", server: str, headers: dict[str, str]) -> AsyncIterator[Any]:
    import dataclasses

    from kfn.kube.config import Config
    from kfn.kube.http import HttpTransport

    config = Config(server, token=session.config.token) if session.facts else dataclasses.replace(session.config, server=server)
    transport = HttpTransport(config, timeout=SECONDS, headers=headers)
    try:
        yield transport
    finally:
        await transport.aclose()


async def _first(transport: Any, method: str, paths: list[str], query: Mapping[str, str], body: Any = None) -> Any:
    """What the first says that can be reached: any replica can do it, and a pod may just be ending."""
    for place, path in enumerate(paths, start=1):
        answer = await transport.request(method, path, query=query, body=body)
        if answer.status < 300:
            return answer.body
        if answer.status < 500 or place == len(paths):
            told = answer.body if isinstance(answer.body, dict) else {}
            text = told.get("error") or told.get("message") or json.dumps(answer.body)
            raise CliError(f"the event bus refused ({answer.status}): {text}", refusal(answer.status))
    raise AssertionError("there is at least one path")


async def _token(client: "Client") -> str:
    from kfn.api import kinds
    from kfn.kube import errors

    if token := os.environ.get(TOKEN):
        return token
    try:
        secret = await client.get(kinds.SECRET, SECRET, SYSTEM_NAMESPACE)
    except (errors.NotFound, errors.Forbidden) as error:
        raise CliError(f"the token of events is not to be had ({error}); put it into ${TOKEN}", 4) from error
    return base64.b64decode(secret.data.get(KEY, "")).decode()


def _origin(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
