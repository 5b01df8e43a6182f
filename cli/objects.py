"""What the commands share about objects: conditions in one word, names that are nearly right, namespaces, deletion of several."""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

import click

from cli import reasons
from cli.failures import CliError, no_namespace
from kfn.api import kinds
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
    return reasons.one_line(found.reason, found.message)


def condition(conditions: Sequence[Condition], type_: str) -> Condition | None:
    return next((c for c in conditions if c.type == type_), None)


async def get(client: Client, kind: Kind[T], name: str, namespace: str, what: str, *, otherwise: str = "") -> T:
    """The object, or an error that names the nearest one that exists; with none near, `otherwise` says what to do."""
    if not name or "/" in name:
        raise CliError(f"{name!r} is not the name of a {what}", 2)
    try:
        return await client.get(kind, name, namespace)
    except errors.NotFound:
        items, _ = await client.list(kind, namespace)
        if not items:
            await require_namespace(client, namespace)
        near = nearest(name, [item.metadata.name for item in items])  # type: ignore[attr-defined]
        hint = f". Did you mean {near!r}?" if near else f". {otherwise}" if otherwise else ""
        raise CliError(f"no {what} {name!r} in namespace {namespace}{hint}") from None


def nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return near[0] if near else ""


async def require_namespace(client: Client, namespace: str) -> None:
    """Raises CliError when there is no such namespace; who may not look is believed."""
    try:
        await client.get(kinds.NAMESPACE, namespace)
    except errors.NotFound:
        raise no_namespace(namespace) from None
    except errors.Forbidden:
        return


async def listed(client: Client, kind: Kind[T], namespace: str | None, *, labels: str = "") -> list[T]:
    """The objects of a namespace, or of all; an error rather than an empty list when the namespace is not there."""
    items, _ = await client.list(kind, namespace, labels=labels)
    if not items and namespace:
        await require_namespace(client, namespace)
    return items


async def create(client: Client, kind: Kind[T], obj: T, namespace: str, what: str, group: str = "") -> T:
    """`group` is the command whose `delete` removes it, where that is not `kfn WHAT`."""
    try:
        return await client.create(kind, obj, namespace)
    except errors.AlreadyExists:
        name = obj.metadata.name  # type: ignore[attr-defined]
        raise CliError(
            f"{what} {name!r} already exists in namespace {namespace}; `{group or f'kfn {what}'} delete {name}` removes it"
        ) from None


async def delete(client: Client, kind: Kind[Any], names: Sequence[str], namespace: str, what: str) -> None:
    """Delete each; say so; fail at the end if one was not there."""
    missing = []
    for name in dict.fromkeys(names):
        if not name or "/" in name:
            raise CliError(f"{name!r} is not the name of a {what}", 2)
        try:
            await client.delete(kind, name, namespace)
        except errors.NotFound:
            missing.append(name)
        else:
            click.echo(f"{what} {name} deleted", err=True)
    if missing:
        items = await listed(client, kind, namespace)
        near = nearest(missing[0], [item.metadata.name for item in items])
        hint = f". Did you mean {near!r}?" if near else ""
        raise CliError(f"no {what} {', '.join(map(repr, missing))} in namespace {namespace}{hint}")


def encoded(obj: Any) -> Any:
    """The JSON form of part of an object."""
    from kfn.api.base import encode

    return encode(obj)
