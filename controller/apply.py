"""Perform what a plan says, and write nothing that is so already. What to write is decided in `difference` and in the plans."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from controller import difference, owner, told
from controller.owner import Ownership
from kfn.api.base import Json
from kfn.api.kinds import Kind
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.recorder import Recorder

T = TypeVar("T")

AGAIN = 60.0  # seconds until what was refused is tried again: a quota may have room by then


class Refused(Exception):
    """The API server does not take what a plan asks for. It belongs into a status: retrying in silence helps nobody."""


class Taken(Exception):
    """The name of a child is somebody else's. `there` is what has it; the local copies may lack it, for they hold only what kfn made."""

    def __init__(self, there: Any) -> None:
        super().__init__(f'{there.kind} "{there.metadata.name}"')
        self.there = there


async def create(client: Client, kind: Kind[T], wanted: Any) -> None:
    """Create a child. One that appeared meanwhile is a Conflict: the next try sees it, and whose it is."""
    try:
        with _told(kind, wanted):
            await client.create(kind, wanted, wanted.metadata.namespace)
    except errors.AlreadyExists as error:
        raise errors.Conflict(409, "Conflict", error.message) from error


async def whole(client: Client, kind: Kind[T], wanted: Any, current: T | None) -> None:
    """Have a child whose spec is ours alone."""
    if current is None:
        await create(client, kind, wanted)
    elif (changed := difference.owned_whole(current, wanted)) is not None:
        with _told(kind, wanted):
            await client.update(kind, changed)


async def part(client: Client, kind: Kind[T], wanted: Any, current: Any, *, leave: tuple[str, ...] = ()) -> None:
    """Have a child that the cluster, too, writes to. Raises Taken."""
    if current is None:
        try:
            await create(client, kind, wanted)
        except errors.Conflict:
            current = await client.get(kind, wanted.metadata.name, wanted.metadata.namespace)
            whose = owner.compare(current.metadata, wanted.metadata.owner_references[0])
            if whose is Ownership.FOREIGN:
                raise Taken(current) from None
            if whose is Ownership.LEFTOVER:
                raise
        else:
            return
    if (patch := difference.owned_in_part(current, wanted, leave=leave)) is not None:
        patch.setdefault("metadata", {})["resourceVersion"] = current.metadata.resource_version
        with _told(kind, wanted):
            await client.patch(kind, wanted.metadata.name, wanted.metadata.namespace, patch)


async def annotate(client: Client, kind: Kind[T], current: Any, patch: Json) -> None:
    """Change labels and annotations of an object whose spec is somebody else's."""
    patch = {"metadata": {**patch["metadata"], "resourceVersion": current.metadata.resource_version}}
    await client.patch(kind, current.metadata.name, current.metadata.namespace, patch)


async def remove(client: Client, kind: Kind[T], current: Any) -> None:
    """Delete exactly this object, and not one that has taken its name since."""
    try:
        await client.delete(kind, current.metadata.name, current.metadata.namespace, uid=current.metadata.uid)
    except errors.NotFound:
        return


async def show(client: Client, kind: Kind[T], current: Any, status: Any, recorder: Recorder | None = None) -> None:
    """Write the status, whole and once, if it is not what it was. It fails with Conflict if the object has changed since it was read.
    What is news in it becomes an Event, too."""
    if current.status != status:
        try:
            await client.update(kind, replace(current, status=status), subresource="status")
        except errors.NotFound:
            return  # deleted meanwhile; nobody reads its status
        news = told.news(kind.kind, current.metadata.name, current.status.conditions, status.conditions)
        if recorder is not None and news is not None:
            recorder.say(current, news.type, news.reason, news.message)


@contextmanager
def _told(kind: Kind[T], wanted: Any) -> Iterator[None]:
    try:
        yield
    except errors.ApiError as error:
        # A webhook of somebody else that does not answer is a 500, and lasts until somebody looks at it.
        if isinstance(error, errors.Invalid | errors.Forbidden) or "failed calling webhook" in error.message:
            raise Refused(f'{kind.kind} "{wanted.metadata.name}" was refused: {error.message}') from error
        raise
