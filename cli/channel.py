"""kfn channel: what keeps events and gives each to all of its subscriptions."""

import click

from cli import complete, objects, output, places, session
from kfn.api import kinds, messaging
from kfn.api.meta import ObjectMeta


@click.group("channel")
def command() -> None:
    """Create, list, describe or delete channels."""


@command.command("create")
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help="Wait until it accepts events.")
@places.auth
@session.options
def create(session: session.Session, name: str, wait: bool, auth: str) -> None:
    """Create a channel and print its address."""
    channel = messaging.Channel(metadata=ObjectMeta(name=name, namespace=session.namespace, annotations=places.guarded(auth)))
    places.create(session, kinds.CHANNEL, channel, "channel", wait=wait)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List channels."""
    empty = f"No channels in namespace {session.namespace}. `kfn channel create NAME` makes one."
    places.show_all(session, kinds.CHANNEL, output, row, empty)


@command.command("describe")
@click.argument("name", shell_complete=complete.channels)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a channel and the subscriptions on it."""
    from cli import output as out
    from cli.session import run

    async def work() -> tuple[messaging.Channel, list[messaging.Subscription]]:
        async with session.client() as client:
            channel = await objects.get(client, kinds.CHANNEL, name, session.namespace, "channel")
            found, _ = await client.list(kinds.SUBSCRIPTION, session.namespace)
            return channel, [one for one in found if one.spec.channel.name == name]

    channel, subscriptions = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [channel], row, empty="", single=True)
        return
    lines = [
        {
            "  NAME": f"  {one.metadata.name}",
            "SUBSCRIBER": one.status.physical_subscription.subscriber_uri,
            "REPLY": one.status.physical_subscription.reply_uri,
            "READY": objects.ready(one.status.conditions),
        }
        for one in subscriptions
    ]
    places.describe(channel, "Subscriptions", lines)


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.channels)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete channels, with the events still in them."""
    places.delete(session, kinds.CHANNEL, names, "channel")


def row(channel: messaging.Channel, wide: bool) -> dict[str, str]:
    return places.row(channel)
