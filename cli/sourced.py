"""What `kfn source` does alike for every kind: the options that all have, and create, list, describe and delete."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli import complete, objects, output, places, session
from cli.failures import CliError
from cli.session import Session
from kfn.api.kinds import Kind

T = TypeVar("T")
Cells = Callable[[Any, bool], dict[str, str]]
Fields = Callable[[Any], list[tuple[str, str]]]

sink = click.option("-s", "--sink", required=True, help="broker:NAME, ksvc:NAME, svc:NAME or a URL.", shell_complete=complete.brokers)
override = click.option(
    "--ce-override", "overrides", multiple=True, metavar="NAME=VALUE", help="An attribute for every event; may be repeated."
)


def spec(session: Session, sink: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a source's spec that these options give."""
    from cli.attachments import destination
    from kfn.api.sourced import CloudEventOverrides

    extensions = pairs(overrides)
    return {
        "sink": destination(sink, session.namespace, "--sink"),
        "ce_overrides": CloudEventOverrides(extensions) if extensions else None,
    }


def pairs(given: tuple[str, ...], flag: str = "--ce-override", example: str = "team=shop") -> dict[str, str]:
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CliError(f"{flag} {item!r} is not NAME=VALUE, for example {example}", 2)
        found[name] = value
    return found


def create(session: Session, kind: Kind[T], source: T, word: str, *, wait: bool) -> T:
    """Make it and, if that is asked for, wait until it is ready, saying what it waits for."""
    from cli.session import run
    from cli.waiting import until_ready

    name = source.metadata.name  # type: ignore[attr-defined]
    here = click.get_current_context().parent
    group = here.command_path if here is not None else ""  # `kfn source webhook`

    async def work() -> T:
        async with session.client() as client:
            made = await objects.create(client, kind, source, session.namespace, word, group)
            if not wait:
                return made
            return await until_ready(client, kind, name, session.namespace, timeout=60, say=lambda why: click.echo(f"  {why}", err=True))

    made = run(work)
    click.echo(f"{word} {name} created", err=True)
    return made


def looking(group: click.Group, kind: str, word: str, cells: Cells, fields: Fields, also: str = "") -> None:
    """list, describe and delete, alike for every kind. `kind` is its name in `kfn.api.kinds`; `also` says what a deletion does."""

    @group.command("list", help=f"List {word}s.")
    @output.option
    @session.options
    def list_(session: session.Session, output: str) -> None:
        from kfn.api import kinds

        places.show_all(session, getattr(kinds, kind), output, cells, f"No {word}s in namespace {session.namespace}.")

    @group.command("describe", help=f"Show a {word}.")
    @click.argument("name", shell_complete=complete.of(kind))
    @output.option
    @session.options
    def describe(session: session.Session, name: str, output: str) -> None:
        from cli import output as out
        from cli.session import run
        from kfn.api import kinds

        async def work() -> Any:
            async with session.client() as client:
                return await objects.get(client, getattr(kinds, kind), name, session.namespace, word)

        source = run(work)
        if output in ("json", "yaml"):
            out.objects(output, [source], cells, empty="", single=True)
            return
        told = [("Name", name), ("Namespace", session.namespace), *fields(source), ("Sink", source.status.sink_uri)]
        out.fields([*told, ("Age", cells(source, True)["AGE"])])
        out.conditions(source.status.conditions)

    @group.command("delete", help=f"Delete {word}s. {also}".strip())
    @click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.of(kind))
    @session.options
    def delete(session: session.Session, names: tuple[str, ...]) -> None:
        from kfn.api import kinds

        places.delete(session, getattr(kinds, kind), names, word)


def row(source: Any, **more: str) -> dict[str, str]:
    """A line of the list, with `more` after the name."""
    meta, status = source.metadata, source.status
    return {
        "NAME": meta.name,
        **more,
        "SINK": status.sink_uri,
        "AGE": output.age(meta.creation_timestamp),
        "READY": objects.ready(status.conditions),
        "REASON": objects.reason(status.conditions),
    }
