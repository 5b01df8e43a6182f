"""The event bus's doors (dead letters, replay): of an embedded platform the Broker's own address, on a cluster the admin port of a pod of
kfn-eventing, through the API server's proxy. There the user needs the right to that, and the token of events."""

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli import doors, objects
from cli.events import refusal
from cli.failures import CliError
from kfn.api.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from cli.session import Session
    from kfn.kube.client import Client

Ask = Callable[[str, str, Mapping[str, str]], Awaitable[Any]]
"""(method, path below the Broker, query) to the answer, decoded. Raises CliError for any refusal."""

TOKEN, SECRET, KEY = "KFN_EVENTS_TOKEN", "kfn-tokens", "events"
SECONDS = 60.0  # a page of a replay waits for each event to be on disk


@asynccontextmanager
async def open_door(session: "Session", broker: str) -> AsyncIterator[Ask]:
    from kfn.api import kinds

    async with session.client() as client:
        found = await objects.get(
            client, kinds.BROKER, broker, session.namespace, "broker", otherwise=f"`kfn broker create {broker}` makes it"
        )
        if session.facts:
            if found.status.address is None:
                raise CliError(f"broker {broker!r} has no address yet: {objects.reason(found.status.conditions) or 'it is being made'}", 75)
            server, paths, headers = _origin(found.status.address.url), [""], {}
        else:
            server, paths = session.config.server, await doors.pods(client, "eventing")
            headers = {"Kfn-Token": await _token(client)}
    if not paths:
        raise CliError(f"no pod of kfn-eventing runs in {SYSTEM_NAMESPACE}, or you may not see it", 5)
    async with _transport(session, server, headers) as transport:

        async def ask(method: str, path: str, query: Mapping[str, str]) -> Any:
            below = f"/{quote(session.namespace)}/{quote(broker)}/{path}"
            return await _first(transport, method, [f"{at}{below}" for at in paths], query)

        yield ask


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


async def _first(transport: Any, method: str, paths: list[str], query: Mapping[str, str]) -> Any:
    """What the first says that can be reached: any replica can do it, and a pod may just be ending."""
    for place, path in enumerate(paths, start=1):
        answer = await transport.request(method, path, query=query)
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
