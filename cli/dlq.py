"""kfn dlq: the dead letters of a broker or a channel: what could not be delivered and no dead-letter sink took."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import complete, output, session
from cli.failures import CliError

if TYPE_CHECKING:
    from cli.busdoor import Ask

F = TypeVar("F", bound=Callable[..., Any])
PAGE = 100
SHOWN = 200  # of a table
AT_ONCE = 20  # that `show` prints


@click.group("dlq")
def command() -> None:
    """List, show, replay or purge dead letters of a broker, or of channel:NAME."""


def chosen(command: F) -> F:
    """Add what selects dead letters; the command receives `broker` and `query`."""
    import functools

    @click.argument("broker", default="default", shell_complete=complete.brokers)
    @click.option(
        "--trigger",
        metavar="T",
        default="",
        help="Those of this trigger, or of this subscription of a channel.",
        shell_complete=complete.triggers,
    )
    @click.option("--id", "id_", metavar="ID", default="", help="The event with this id.")
    @click.option("--sequence", type=click.IntRange(min=1), help="This one, by its number in the list.")
    @click.option("--since", metavar="AGO", default="", help="Not older than that (10m, 2h, or a time).")
    @functools.wraps(command)
    def wrapped(*args: Any, trigger: str, id_: str, sequence: int | None, since: str, **kwargs: Any) -> Any:
        given = {"trigger": trigger, "id": id_, "sequence": str(sequence or ""), "since": since}
        return command(*args, query={name: value for name, value in given.items() if value}, **kwargs)

    return wrapped  # type: ignore[return-value]


ALL = click.option("--all", "all_", is_flag=True, help="Every one, or every one of --since.")


@command.command("ls")
@chosen
@click.option("--limit", type=click.IntRange(1, 100_000), default=SHOWN, show_default=True, help="At most so many.")
@output.option
@session.options
def list_(session: session.Session, broker: str, query: dict[str, str], limit: int, output: str) -> None:
    """List dead letters, the oldest first.

    \b
    kfn dlq ls
    kfn dlq ls orders --trigger price --since 1h -o json
    kfn dlq ls channel:pipe
    """
    from cli import output as out
    from cli.session import run

    found, more = run(_some, session, broker, query, limit)
    if output in ("json", "yaml"):
        out.data(output, found)
    elif found:
        out.table([row(one, output == "wide") for one in found])
    else:
        click.echo(f"No dead letters in {broker}.", err=True)
    if more:
        click.echo(f"There are more than {limit}; --limit shows more.", err=True)


@command.command("show")
@chosen
@output.option
@session.options
def show(session: session.Session, broker: str, query: dict[str, str], output: str) -> None:
    """Show dead letters whole: what is in the list, the headers, the data.

    \b
    kfn dlq show --sequence 7
    kfn dlq show orders --id 4f1c -o json
    """
    from cli import output as out
    from cli.session import run

    if not query:
        raise CliError("say which: --sequence, --id, --trigger or --since", 2)
    found, more = run(_whole, session, broker, query)
    if not found:
        raise CliError(f"{broker} has no such dead letter", 1)
    if output in ("json", "yaml"):
        out.data(output, found if len(found) > 1 else found[0])
    else:
        for place, one in enumerate(found):
            click.echo(nl=place > 0)
            _print(one)
    if more:
        click.echo(f"There are more than {AT_ONCE}; only these are shown.", err=True)


@command.command("replay")
@chosen
@ALL
@output.option
@session.options
def replay(session: session.Session, broker: str, query: dict[str, str], all_: bool, output: str) -> None:
    """Deliver dead letters once more, each to its trigger and to no other, with all the retries of a new event.

    One is taken out of the dead letters when it is stored for its trigger. One that dies again is a dead letter again, and one whose
    trigger is gone stays.

    \b
    kfn dlq replay --id 4f1c
    kfn dlq replay orders --trigger price --since 1h
    """
    from cli import output as out
    from cli.session import run

    done, failed = run(_act, session, "POST", "dead-letters/replay", broker, _named(query, all_))
    if output in ("json", "yaml"):
        out.data(output, {"replayed": done, "failed": failed})
    else:
        click.echo(f"{len(done)} replayed")
    for one in failed:
        click.echo(f"  {one['sequence']} ({one['id']}): {one['error']}", err=True)
    if failed:
        raise CliError(f"{len(failed)} could not be replayed, and are dead letters still", 1)
    if not done:
        raise CliError(f"{broker} has no such dead letter", 1)


@command.command("purge")
@chosen
@ALL
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@session.options
def purge(session: session.Session, broker: str, query: dict[str, str], all_: bool, yes: bool) -> None:
    """Throw dead letters away, for good.

    \b
    kfn dlq purge --sequence 7
    kfn dlq purge orders --all --yes
    """
    from cli.session import run

    wanted = _named(query, all_)
    if not yes:
        found, more = run(_some, session, broker, query, SHOWN)
        if not found:
            raise CliError(f"{broker} has no such dead letter", 1)
        count = f"more than {SHOWN} dead letters" if more else f"{len(found)} dead letter{'s' * (len(found) > 1)}"
        click.confirm(f"Throw away {count} of {broker}? They cannot be had back.", abort=True, err=True)
    done, _ = run(_act, session, "DELETE", "dead-letters", broker, wanted)
    click.echo(f"{len(done)} purged")


def _named(query: dict[str, str], all_: bool) -> dict[str, str]:
    if not all_ and not any(query.get(name) for name in ("trigger", "id", "sequence")):
        raise CliError("say which: --trigger, --id, --sequence or --all", 2)
    return query | ({"all": "true"} if all_ else {})


async def _some(session: session.Session, broker: str, query: dict[str, str], limit: int) -> tuple[list[Any], bool]:
    """At most so many, and whether there are more."""
    from cli.busdoor import open_door

    found: list[Any] = []
    async with open_door(session, broker) as ask, aclosing(_pages(ask, "GET", "dead-letters", query)) as pages:
        async for page in pages:
            found += page["items"]
            if len(found) > limit:
                break
    return found[:limit], len(found) > limit


async def _whole(session: session.Session, broker: str, query: dict[str, str]) -> tuple[list[Any], bool]:
    from cli.busdoor import open_door

    found, more = await _some(session, broker, query, AT_ONCE)
    async with open_door(session, broker) as ask:
        return [await ask("GET", f"dead-letters/{one['sequence']}", {}) for one in found], more


async def _act(session: session.Session, method: str, path: str, broker: str, query: dict[str, str]) -> tuple[list[Any], list[Any]]:
    from cli.busdoor import open_door

    done: list[Any] = []
    failed: list[Any] = []
    async with open_door(session, broker) as ask, aclosing(_pages(ask, method, path, query)) as pages:
        async for page in pages:
            done += page["items"]
            failed += page["failed"]
    return done, failed


async def _pages(ask: "Ask", method: str, path: str, query: dict[str, str]) -> AsyncGenerator[Any, None]:
    """Page after page, up to what was the last when the first was asked for."""
    place = {"limit": str(PAGE)}
    while True:
        page = await ask(method, path, query | place)
        yield page
        if not page["after"]:
            return
        place |= {"after": str(page["after"]), "until": str(page["until"])}


def row(one: dict[str, Any], wide: bool) -> dict[str, str]:
    reason = output.printable(one["reason"]).replace("\n", " ")
    cells = {
        "SEQUENCE": str(one["sequence"]),
        "AGE": output.age(_seconds(one["time"])),
        "TRIGGER": one["trigger"],
        "TYPE": output.printable(one["type"]),
        "ID": output.printable(one["id"]),
        "SOURCE": output.printable(one["source"]),
        "ATTEMPTS": str(one["attempts"]),
        "REASON": reason if wide or len(reason) <= 60 else f"{reason[:59]}…",
    }
    return cells | ({"TIME": one["time"], "BYTES": str(one["bytes"])} if wide else {})


def _print(one: dict[str, Any]) -> None:
    names = (("Sequence", "sequence"), ("Time", "time"), ("Trigger", "trigger"), ("Attempts", "attempts"), ("Reason", "reason"))
    output.fields([(name, output.printable(str(one[key]))) for name, key in names])
    click.echo("\nHeaders:")
    output.fields([(name, output.printable(value)) for name, value in sorted(one["headers"].items())], indent=2)
    click.echo("\nData:")
    event = one.get("event", {})
    data = event.get("data", event.get("data_base64", one.get("data", "")))
    click.echo(output.printable(data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False)))


def _seconds(time: str) -> str:
    """Python reads six digits of a second; a server writes nine."""
    return f"{time.partition('.')[0].rstrip('Z')}+00:00"
