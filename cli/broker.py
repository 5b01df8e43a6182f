"""kfn broker: the event buses of a namespace."""

import click

from cli import complete, objects, output, session
from kfn.api import eventing, kinds, names
from kfn.api.meta import ObjectMeta


@click.group("broker")
def command() -> None:
    """Create, list, describe or delete brokers."""


@command.command("create")
@click.argument("name")
@click.option("--wait/--no-wait", default=True, help="Wait until it accepts events.")
@session.options
def create(session: session.Session, name: str, wait: bool) -> None:
    """Create a broker and print its address."""
    from cli.session import run
    from cli.waiting import until_ready

    async def work() -> eventing.Broker:
        async with session.client() as client:
            meta = ObjectMeta(name=name, namespace=session.namespace, annotations={names.BROKER_CLASS: eventing.BROKER_CLASS})
            made = await objects.create(client, kinds.BROKER, eventing.Broker(metadata=meta), session.namespace, "broker")
            return await until_ready(client, kinds.BROKER, name, session.namespace, timeout=60) if wait else made

    broker = run(work)
    click.echo(f"broker {name} created", err=True)
    if broker.status.address:
        click.echo(broker.status.address.url)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List brokers."""
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[eventing.Broker]:
        async with session.client() as client:
            return await objects.listed(client, kinds.BROKER, session.namespace)

    show(output, run(work), row, empty=f"No brokers in namespace {session.namespace}. `kfn broker create default` makes one.")


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
    address = broker.status.address.url if broker.status.address else ""
    out.fields(
        [("Name", name), ("Namespace", session.namespace), ("Address", address), ("Dead letters", broker.status.dead_letter_sink_uri)]
    )
    out.conditions(broker.status.conditions)
    if triggers:
        click.echo("\nTriggers:")
        out.table(
            [
                {"  NAME": f"  {t.metadata.name}", "SUBSCRIBER": t.status.subscriber_uri, "READY": objects.ready(t.status.conditions)}
                for t in triggers
            ]
        )


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.brokers)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete brokers, with the events still in them."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.BROKER, names, session.namespace, "broker")

    run(work)


def row(broker: eventing.Broker, wide: bool) -> dict[str, str]:
    cells = {
        "NAME": broker.metadata.name,
        "URL": broker.status.address.url if broker.status.address else "",
        "AGE": output.age(broker.metadata.creation_timestamp),
        "READY": objects.ready(broker.status.conditions),
        "REASON": objects.reason(broker.status.conditions),
    }
    return cells | ({"CLASS": broker.metadata.annotations.get(names.BROKER_CLASS, "")} if wide else {})
