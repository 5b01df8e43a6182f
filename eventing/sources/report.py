"""What the reconcilers of all sources do alike: find the sink's address, and say in the status, by one patch, what was found."""

import logging
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from eventing import conditions
from eventing.conditions import false, true
from eventing.resolve import Resolver, Unresolved
from kfn.api.base import encode
from kfn.api.kinds import Kind
from kfn.api.meta import Addressable, Condition, ObjectMeta
from kfn.api.sourced import SourceSpec, SourceStatus
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client

log = logging.getLogger(__name__)


class Source(Protocol):
    """An object of any kind of source."""

    @property
    def metadata(self) -> ObjectMeta: ...
    @property
    def spec(self) -> SourceSpec: ...
    @property
    def status(self) -> SourceStatus: ...


S = TypeVar("S", bound=Source)


async def sink(resolver: Resolver, source: Source) -> tuple[str, Condition]:
    """The sink's address, "" while there is none, and the condition `SinkProvided`."""
    found, provided = await trusted_sink(resolver, source)
    return found.url, provided


async def trusted_sink(resolver: Resolver, source: Source) -> tuple[Addressable, Condition]:
    """As above, with the certificates that it is trusted by."""
    try:
        return await resolver.address(source.spec.sink, source.metadata.namespace, "spec.sink"), true("SinkProvided")
    except Unresolved as error:
        return Addressable(), false("SinkProvided", error.reason, str(error))


async def report(client: Client, kind: Kind[S], source: S, found: Sequence[Condition], **status: Any) -> None:
    """Write the conditions with Ready, and these fields of the status, if anything of it is new."""
    meta = source.metadata
    wanted = msgspec.structs.replace(
        source.status,
        observed_generation=meta.generation,
        conditions=conditions.merged(source.status.conditions, found, timestamp()),
        **status,
    )
    if wanted == source.status:
        return
    # What is empty is not encoded, and has to be taken out.
    patch = {"status": {**dict.fromkeys(wanted.__struct_encode_fields__), **encode(wanted)}}
    try:
        await client.patch(kind, meta.name, meta.namespace, patch, subresource="status")
    except kube.NotFound:
        log.debug("%s %s/%s went away", kind.kind, meta.namespace, meta.name)
