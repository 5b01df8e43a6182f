"""kfn broker: the event buses of a namespace."""

import click

from cli import complete, objects, output, places, session
from kfn.api import eventing, kinds, names
from kfn.api.meta import ObjectMeta


@click.group("broker")
def command() -> None:
    """Create, list, describe or delete brokers."""


@command.command("create")
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help="Wait until it accepts events.")
@places.auth
@session.options
def create(session: session.Session, name: str, wait: bool, auth: str) -> None:
    """Create a broker and print its address."""
    annotations = {names.BROKER_CLASS: eventing.BROKER_CLASS} | places.guarded(auth)
    meta = ObjectMeta(name=name, namespace=session.namespace, annotations=annotations)
    places.create(session, kinds.BROKER, eventing.Broker(metadata=meta), "broker", wait=wait)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List brokers."""
    empty = f"No brokers in namespace {session.namespace}. `kfn broker create default` makes one."
    places.show_all(session, kinds.BROKER, output, row, empty)


@command.command("describe")
@click.argument("name", shell_complete=complete.brokers)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a broker and the triggers on it."""
    from cli import output as out
    from cli.session import run

    async def work() -> tuple[eventing.Broker, list[eventing.Trigger]]:
        async with session.client() as client:
            broker = await objects.get(client, kinds.BROKER, name, session.namespace, "broker")
            triggers, _ = await client.list(kinds.TRIGGER, session.namespace)
            return broker, [t for t in triggers if t.spec.broker == name]

    broker, triggers = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [broker], row, empty="", single=True)
        return
    lines = [
        {"  NAME": f"  {t.metadata.name}", "SUBSCRIBER": t.status.subscriber_uri, "READY": objects.ready(t.status.conditions)}
        for t in triggers
    ]
    places.describe(broker, "Triggers", lines)


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.brokers)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete brokers, with the events still in them."""
    places.delete(session, kinds.BROKER, names, "broker")


def row(broker: eventing.Broker, wide: bool) -> dict[str, str]:
    return places.row(broker) | ({"CLASS": broker.metadata.annotations.get(names.BROKER_CLASS, "")} if wide else {})
