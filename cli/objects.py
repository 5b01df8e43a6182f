"""What the listing commands share: conditions in one word, names that are nearly right, deletion of several objects."""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

import click

from cli.failures import CliError
from kfn.api.kinds import Kind
from kfn.api.meta import Condition
from kfn.kube import errors
from kfn.kube.client import Client

T = TypeVar("T")


def ready(conditions: Sequence[Condition]) -> str:
    found = condition(conditions, "Ready")
    return found.status if found else "Unknown"


def reason(conditions: Sequence[Condition]) -> str:
    """Why it is not ready: `Reason: first line of the message`."""
    found = condition(conditions, "Ready")
    if found is None or found.status == "True":
        return ""
    message = found.message.strip().splitlines()
    return ": ".join(part for part in (found.reason, message[0] if message else "") if part)


def condition(conditions: Sequence[Condition], type_: str) -> Condition | None:
    return next((c for c in conditions if c.type == type_), None)


async def get(client: Client, kind: Kind[T], name: str, namespace: str, what: str) -> T:
    """The object, or an error that names the nearest one that exists."""
    try:
        return await client.get(kind, name, namespace)
    except errors.NotFound:
        items, _ = await client.list(kind, namespace)
        names = [item.metadata.name for item in items]  # type: ignore[attr-defined]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise CliError(f"no {what} {name!r} in namespace {namespace}{hint}") from None


async def delete(client: Client, kind: Kind[T], names: Sequence[str], namespace: str, what: str) -> None:
    """Delete each; say so; fail at the end if one was not there."""
    missing = []
    for name in names:
        try:
            await client.delete(kind, name, namespace)
        except errors.NotFound:
            missing.append(name)
        else:
            click.echo(f"{what} {name} deleted", err=True)
    if missing:
        raise CliError(f"no {what} {', '.join(map(repr, missing))} in namespace {namespace}")


def encoded(obj: Any) -> Any:
    """The JSON form of part of an object."""
    from kfn.api.base import encode

    return encode(obj)
