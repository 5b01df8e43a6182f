"""kfn channel: what keeps events and gives each to all of its subscriptions."""

import click

from cli import complete, objects, output, session
from kfn.api import kinds, messaging
from kfn.api.meta import ObjectMeta


@click.group("channel")
def command() -> None:
    """Create, list, describe or delete channels."""


@command.command("create")
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help="Wait until it accepts events.")
@session.options
def create(session: session.Session, name: str, wait: bool) -> None:
    """Create a channel and print its address."""
    from cli.session import run
    from cli.waiting import until_ready

    async def work() -> messaging.Channel:
        async with session.client() as client:
            channel = messaging.Channel(metadata=ObjectMeta(name=name, namespace=session.namespace))
            made = await objects.create(client, kinds.CHANNEL, channel, session.namespace, "channel")
            return await until_ready(client, kinds.CHANNEL, name, session.namespace, timeout=60) if wait else made

    channel = run(work)
    click.echo(f"channel {name} created", err=True)
    if channel.status.address:
        click.echo(channel.status.address.url)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List channels."""
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[messaging.Channel]:
        async with session.client() as client:
            return await objects.listed(client, kinds.CHANNEL, session.namespace)

    show(output, run(work), row, empty=f"No channels in namespace {session.namespace}. `kfn channel create NAME` makes one.")


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
    address = channel.status.address.url if channel.status.address else ""
    out.fields(
        [("Name", name), ("Namespace", session.namespace), ("Address", address), ("Dead letters", channel.status.dead_letter_sink_uri)]
    )
    out.conditions(channel.status.conditions)
    if subscriptions:
        click.echo("\nSubscriptions:")
        shown = [(one, one.status.physical_subscription) for one in subscriptions]
        out.table(
            [
                {
                    "  NAME": f"  {one.metadata.name}",
                    "SUBSCRIBER": where.subscriber_uri,
                    "REPLY": where.reply_uri,
                    "READY": objects.ready(one.status.conditions),
                }
                for one, where in shown
            ]
        )


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.channels)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete channels, with the events still in them."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.CHANNEL, names, session.namespace, "channel")

    run(work)


def row(channel: messaging.Channel, wide: bool) -> dict[str, str]:
    return {
        "NAME": channel.metadata.name,
        "URL": channel.status.address.url if channel.status.address else "",
        "AGE": output.age(channel.metadata.creation_timestamp),
        "READY": objects.ready(channel.status.conditions),
        "REASON": objects.reason(channel.status.conditions),
    }
