"""What `kfn trigger` and `kfn subscription` do alike: both attach a subscriber to a place of events, with a way to deliver them."""

from collections.abc import Callable
from typing import Any

import click

from cli import objects
from cli.failures import CliError
from cli.session import Session
from kfn.api import kinds, names
from kfn.api.kinds import Kind
from kfn.api.meta import DeliverySpec, Destination, KReference

SINKS: dict[str, Kind[Any]] = {
    "ksvc": kinds.SERVICE, "service": kinds.SERVICE, "broker": kinds.BROKER, "channel": kinds.CHANNEL, "svc": kinds.CORE_SERVICE,
}  # fmt: skip
BACKOFF = {"backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}
IN_ORDER = "partitionkey"

ordered = click.option("--ordered", is_flag=True, help="The events of one `partitionkey` one after the other, different keys at once.")


def create(session: Session, kind: Kind[Any], made: Any, *, wait: bool) -> None:
    """Make it, and wait until events are delivered if that is asked for."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.create(client, kind, made, session.namespace, kind.kind.lower())
            if wait:
                await until_delivering(session, client, kind, made.metadata.name)

    run(work)
    click.echo(f"{kind.kind.lower()} {made.metadata.name} created", err=True)


async def until_delivering(session: Session, client: Any, kind: Kind[Any], name: str) -> None:
    from cli.waiting import until_ready

    await until_ready(client, kind, name, session.namespace, timeout=60, say=lambda why: click.echo(f"  {why}", err=True))


def describe(
    session: Session, kind: Kind[Any], name: str, output: str, row: Callable[[Any, bool], dict[str, str]],
    fields: Callable[[Any], list[tuple[str, str]]],
) -> None:  # fmt: skip
    from cli import output as out
    from cli.session import run

    async def work() -> Any:
        async with session.client() as client:
            return await objects.get(client, kind, name, session.namespace, kind.kind.lower())

    found = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [found], row, empty="", single=True)
        return
    order = [("Order", "by partitionkey")] if found.metadata.annotations.get(names.ORDERING) == IN_ORDER else []
    out.fields([("Name", name), ("Namespace", session.namespace), *fields(found), *order])
    out.conditions(found.status.conditions)


def annotations(ordered: bool) -> dict[str, str]:
    return {names.ORDERING: IN_ORDER} if ordered else {}


def delivery(retry: int | None, dead_letter: str | None, namespace: str, flag: str) -> DeliverySpec | None:
    """As the flags say; None where they say nothing, so that the place's own holds."""
    if retry is None and not dead_letter:
        return None
    dead = destination(dead_letter, namespace, flag) if dead_letter else None
    return DeliverySpec(
        retry=retry, dead_letter_sink=dead, backoff_policy=BACKOFF["backoffPolicy"], backoff_delay=BACKOFF["backoffDelay"]
    )  # fmt: skip


def destination(text: str, namespace: str, flag: str) -> Destination:
    """`ksvc:NAME[:NAMESPACE]`, `broker:NAME`, `channel:NAME`, `svc:NAME` or an absolute URL."""
    if text.startswith(("http://", "https://")):
        return Destination(uri=text)
    prefix, colon, rest = text.partition(":")
    if not colon:
        prefix, rest = "ksvc", text
    kind = SINKS.get(prefix)
    if kind is None or not rest:
        raise CliError(f"{flag} {text!r}: write ksvc:NAME, broker:NAME, channel:NAME, svc:NAME or a URL", 2)
    name, _, where = rest.partition(":")
    return Destination(ref=KReference(api_version=kind.api_version, kind=kind.kind, name=name, namespace=where or namespace))
