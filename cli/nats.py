"""kfn nats: credentials for programs that speak NATS themselves, and what a nats-server of the chart needs before it starts."""

from pathlib import Path

import click

from cli import complete, session
from cli.failures import CliError
from cli.process import options


@click.group("nats")
def command() -> None:
    """Credentials for NATS, where events are stored."""


@command.command("creds")
@click.argument("function", required=False, default="", shell_complete=complete.functions)
@click.option(
    "--publish", "broker", default="", metavar="BROKER", help="For a program outside: publish to this broker, or to channel:NAME."
)
@click.option("--for", "lasts", default="24h", show_default=True, help="With --publish: how long they hold, such as 10m or 30d.")
@session.options
def creds(session: session.Session, function: str, broker: str, lasts: str) -> None:
    """Print a .creds file: a function's, or one for a program outside that publishes to a broker.

    The inbox prefix that its client has to use, and where the server is, are in comments above it. A function's ends with the
    function; one for a program ends by itself. It takes the platform's token, or the right to read Secret kfn-nats.

    \b
    kfn nats creds my-function > my.creds
    kfn nats creds --publish default --for 7d > my.creds
    """
    if bool(function) == bool(broker):
        raise CliError("name a function, or give --publish BROKER", 2)
    found = _of_function(session, function) if function else _for_program(session, broker, lasts)
    for name in ("url", "inbox", "subject"):
        if found.get(name):
            click.echo(f"# {name}: {found[name]}")
    click.echo(found["credentials"], nl=False)
    if authority := found.get("authority"):
        click.echo(f"\n# what signs the server's certificate:\n{authority}", nl=False)


def _of_function(session: session.Session, name: str) -> dict[str, str]:
    import base64

    from cli.session import run
    from kfn.api import kinds, names
    from kfn.kube import errors

    async def work() -> dict[str, str]:
        async with session.client() as client:
            try:
                data = (await client.get(kinds.SECRET, names.NATS_CREDENTIALS, session.namespace)).data
            except errors.NotFound:
                data = {}
        if f"{name}.creds" not in data:
            fix = f"its template needs the annotation {names.NATS_PUBLISH} or {names.NATS_PULL}"
            raise CliError(f"function {name!r} has no credentials for NATS in namespace {session.namespace!r}: {fix}", 1)
        keys = {"url": "url", "inbox": f"{name}.inbox", "credentials": f"{name}.creds", "authority": "ca.crt"}
        return {what: base64.b64decode(data.get(key, "")).decode() for what, key in keys.items()}

    return run(work)


def _for_program(session: session.Session, broker: str, lasts: str) -> dict[str, str]:
    from cli.busdoor import open_door
    from cli.session import run

    seconds = _seconds(lasts)

    async def work() -> dict[str, str]:
        async with open_door(session, broker) as ask:
            found: dict[str, str] = await ask("POST", "nats-credentials", {"for": str(seconds)})
            return found

    return run(work)


def _seconds(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and len(number) < 9 and unit in units and int(number)):
        raise CliError(f"--for {text!r}: write 10m, 24h or 7d", 2)
    return int(number) * units[unit]


@command.command("prepare", hidden=True)
@click.option("--secret-file", type=options.FILE, required=True, help="What all keys are made from.")
@click.option(
    "--store", type=click.Path(path_type=Path), required=True, help="The server's store_dir: streams there become the platform's."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where accounts.conf and the certificate are written.")
@click.option("--name", "hosts", multiple=True, metavar="HOST", help="A name of the server in its certificate; may be repeated.")
def prepare(secret_file: str, store: Path, out: Path, hosts: tuple[str, ...]) -> None:
    """What the chart runs before a nats-server starts."""
    import time

    from embedded.datadir import write_private
    from kfn.busauth import server, trust
    from kfn.busauth.keys import Keys, SecretTooShort
    from kfn.clock import utcnow

    try:
        keys = Keys(Path(secret_file).read_bytes().strip())
        adopted = server.adopt(store, keys)
        certificate, key = trust.server(keys, list(hosts), utcnow())
        wanted = {
            "accounts.conf": server.configuration(keys, store / "accounts", int(time.time())),
            "ca.crt": trust.authority(keys).decode(),
            "tls.crt": certificate.decode(),
            "tls.key": key.decode(),
        }
        for name, content in wanted.items():
            write_private(out / name, content)
    except (SecretTooShort, server.ClusteredStore) as error:
        raise CliError(str(error), 1) from error
    except OSError as error:
        raise CliError(f"{error.filename or out}: {error.strerror or error}", 1) from error
    click.echo(f"nats-server can start: {len(adopted.moved)} streams moved to the platform's account, {len(adopted.left)} left")
