"""kfn delete: functions and everything that was made for them."""

import click

from cli import complete, objects, session
from kfn.api import kinds


@click.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.functions)
@session.options
def command(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete functions. Their revisions, routes and instances go with them."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.SERVICE, names, session.namespace, "function")

    run(work)
