"""Where the events of a source that reads from a message system go: its sink, its delivery, its dead-letter sink, with their conditions."""

from typing import Protocol

from eventing.conditions import is_true
from eventing.delivery import DEFAULT, policy
from eventing.resolve import Resolver
from eventing.sources.carrier import Route
from eventing.sources.report import sink
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.sourced import DeliveringSpec, SourceStatus

AGE = 30.0  # seconds; a Secret that was changed counts after so long


class Source(Protocol):
    """One that has `delivery`."""

    @property
    def metadata(self) -> ObjectMeta: ...
    @property
    def spec(self) -> DeliveringSpec: ...
    @property
    def status(self) -> SourceStatus: ...


async def route(resolver: Resolver, source: Source, kind: str) -> tuple[Route | None, list[Condition]]:
    """None: there is nowhere to go, now. `delivery` was checked when the object was admitted."""
    meta, how = source.metadata, source.spec.delivery or DEFAULT
    url, provided = await sink(resolver, source)
    dead, resolved = await resolver.dead_letters(how.dead_letter_sink, meta.namespace)
    if not url or not is_true([resolved], "DeadLetterSinkResolved"):
        return None, [provided, resolved]
    return Route(kind, f"{meta.namespace}/{meta.name}", url, policy(how), dead), [provided, resolved]
