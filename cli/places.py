"""What `kfn broker` and `kfn channel` do alike: both are a place that takes events, has an address, and others are attached to."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from cli import objects
from cli.output import age
from cli.session import Session
from kfn.api import names
from kfn.api.kinds import Kind

auth = click.option("--auth", default="", metavar="SECRET", help="Ask publishers for a token: the values of this Secret are accepted.")


def guarded(secret: str) -> dict[str, str]:
    """The annotation that has publishers asked for a token."""
    return {names.AUTH: secret} if secret else {}


def create(session: Session, kind: Kind[Any], place: Any, word: str, *, wait: bool) -> None:
    """Make it, wait until it takes events if that is asked for, and print its address."""
    from cli.session import run
    from cli.waiting import until_ready

    name = place.metadata.name

    async def work() -> Any:
        async with session.client() as client:
            made = await objects.create(client, kind, place, session.namespace, word)
            return await until_ready(client, kind, name, session.namespace, timeout=60) if wait else made

    made = run(work)
    click.echo(f"{word} {name} created", err=True)
    if getattr(made.status, "address", None):
        click.echo(made.status.address.url)


def show_all(session: Session, kind: Kind[Any], output: str, cells: Callable[[Any, bool], dict[str, str]], empty: str) -> None:
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[Any]:
        async with session.client() as client:
            return await objects.listed(client, kind, session.namespace)

    show(output, run(work), cells, empty=empty)


def describe(place: Any, attached: str, table: Sequence[dict[str, str]]) -> None:
    """The place, its conditions, and under the title `attached` what is on it."""
    from cli import output as out

    meta, status = place.metadata, place.status
    address = status.address.url if status.address else ""
    out.fields([("Name", meta.name), ("Namespace", meta.namespace), ("Address", address), ("Dead letters", status.dead_letter_sink_uri)])
    out.conditions(status.conditions)
    if table:
        click.echo(f"\n{attached}:")
        out.table(list(table))


def delete(session: Session, kind: Kind[Any], names: tuple[str, ...], word: str) -> None:
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kind, names, session.namespace, word)

    run(work)


def row(place: Any) -> dict[str, str]:
    meta, status = place.metadata, place.status
    return {
        "NAME": meta.name,
        "URL": status.address.url if status.address else "",
        "AGE": age(meta.creation_timestamp),
        "READY": objects.ready(status.conditions),
        "REASON": objects.reason(status.conditions),
    }
