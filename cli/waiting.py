"""Wait for an object to be ready, showing why it is not yet. A False that stays for a moment is a failure; Knative's clients
wait the same way."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio

from cli import reasons
from cli.failures import CliError
from cli.objects import condition
from kfn.api.kinds import Kind
from kfn.kube import errors
from kfn.kube.client import Client

T = TypeVar("T")
WORDS = {"Service": "function"}
LOOK_AGAIN = 2.0  # seconds
ERROR_WINDOW = 2.0  # seconds a False must last: controllers pass through it on their way


class NotReady(CliError):
    """The object says that it will not become ready, and why."""


async def until_ready(
    client: Client,
    kind: Kind[T],
    name: str,
    namespace: str,
    *,
    timeout: float,
    generation: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> T:
    """Watch the object until its Ready is True for at least `generation`. Raises NotReady (False for 2 s), CliError 124 (timeout)."""
    latest: list[T] = []
    what = WORDS.get(kind.kind, kind.kind.lower())
    try:
        with anyio.fail_after(timeout):
            return await _watch(client, kind, name, namespace, generation, say, latest)
    except TimeoutError:
        why = _why(latest[-1]) if latest else ""
        raise CliError(
            f"{what} {name!r} is not ready after {timeout:g} s{': ' + why if why else ''}. It is still being worked on", 124
        ) from None


async def _watch(
    client: Client, kind: Kind[T], name: str, namespace: str, generation: int, say: Callable[[str], None], latest: list[T]
) -> T:
    failing_since: float | None = None
    while True:
        try:
            obj: Any = await client.get(kind, name, namespace)
        except errors.Unreachable:
            await anyio.sleep(0.2)
            continue
        latest[:] = [obj]
        version = obj.metadata.resource_version
        state = _state(obj, generation)
        if state == "True":
            return obj  # type: ignore[no-any-return]
        if state == "False":
            failing_since = failing_since or anyio.current_time()
            if anyio.current_time() - failing_since >= ERROR_WINDOW:
                raise NotReady(f"{WORDS.get(kind.kind, kind.kind.lower())} {name!r} is not ready: {_why(obj)}")
        else:
            failing_since = None
        say(_why(obj).splitlines()[0] if _why(obj) else "waiting for the platform")
        left = ERROR_WINDOW - (anyio.current_time() - failing_since) if failing_since else LOOK_AGAIN
        await _change(client, kind, name, namespace, version, max(0.05, left))


async def _change(client: Client, kind: Kind[T], name: str, namespace: str, version: str, at_most: float) -> None:
    """Return at the next change after `version`, or after `at_most` seconds."""
    with anyio.move_on_after(at_most):
        try:
            async with client.watch(kind, namespace, resource_version=version, fields=f"metadata.name={name}") as events:
                async for event in events:
                    if event.type == "DELETED":
                        raise CliError(f"{WORDS.get(kind.kind, kind.kind.lower())} {name!r} was deleted while waiting for it")
                    if event.type != "BOOKMARK":
                        return
        except errors.KubeError:
            await anyio.sleep(0.2)


def _state(obj: Any, generation: int) -> str:
    seen = obj.status.observed_generation
    if seen < generation or seen != obj.metadata.generation:
        return "Unknown"
    found = condition(obj.status.conditions, "Ready")
    return found.status if found else "Unknown"


def _why(obj: Any) -> str:
    """What Ready says, in short. Before the controllers have seen the change it says nothing that concerns it."""
    found = condition(obj.status.conditions, "Ready")
    if found is None or (found.status == "Unknown" and found.reason == "OutOfDate"):
        return ""
    message = reasons.brief(found.message)
    return ": ".join(p for p in (found.reason if found.status == "False" else "", message or found.reason) if p)
