"""kfn trigger: which events of a broker go where."""

from typing import Any

import click

from cli import complete, objects, output, session, triggerflow
from cli.failures import CliError
from kfn.api import eventing, kinds
from kfn.api.kinds import Kind
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta

SINKS: dict[str, Kind[Any]] = {
    "ksvc": kinds.SERVICE, "service": kinds.SERVICE, "broker": kinds.BROKER, "channel": kinds.CHANNEL, "svc": kinds.CORE_SERVICE,
}  # fmt: skip


@click.group("trigger")
def command() -> None:
    """Create, list, describe, pause, resume, replay or delete triggers."""


for one in (triggerflow.pause, triggerflow.resume, triggerflow.replay):
    command.add_command(one)


@command.command("create")
@click.argument("name")
@click.option("--broker", default="default", show_default=True, help="The broker whose events are wanted.", shell_complete=complete.brokers)
@click.option("--filter", "filters", multiple=True, metavar="ATTRIBUTE=VALUE", help="Only events with this attribute; may be repeated.")
@click.option("-s", "--sink", required=True, help="ksvc:, broker:, channel: or svc:NAME, or a URL.", shell_complete=complete.functions)
@click.option("--retry", type=click.IntRange(min=0), help="Deliveries after the first (default: the broker's, 10).")
@click.option("--dead-letter", help="Where events go that cannot be delivered: ksvc:NAME or a URL.")
@click.option("--wait/--no-wait", default=True, help="Wait until events are delivered.")
@session.options
def create(
    session: session.Session,
    name: str,
    broker: str,
    filters: tuple[str, ...],
    sink: str,
    retry: int | None,
    dead_letter: str | None,
    wait: bool,
) -> None:
    """Send the events of a broker to a function, a broker or a URL.

    \b
    kfn trigger create price --filter type=com.example.order --sink ksvc:price
    kfn trigger create audit --sink https://audit.example.com/events --retry 3 --dead-letter ksvc:lost
    """
    from cli.session import run
    from cli.waiting import until_ready

    delivery = None
    if retry is not None or dead_letter:
        dead = destination(dead_letter, session.namespace, "--dead-letter") if dead_letter else None
        delivery = DeliverySpec(retry=retry, dead_letter_sink=dead, backoff_policy="exponential", backoff_delay="PT0.2S")
    trigger = eventing.Trigger(
        metadata=ObjectMeta(name=name, namespace=session.namespace),
        spec=eventing.TriggerSpec(
            broker=broker,
            filter=eventing.TriggerFilter(attributes=attributes(filters)),
            subscriber=destination(sink, session.namespace, "--sink"),
            delivery=delivery,
        ),
    )

    async def work() -> None:
        async with session.client() as client:
            await objects.create(client, kinds.TRIGGER, trigger, session.namespace, "trigger")
            if wait:
                await until_ready(
                    client, kinds.TRIGGER, name, session.namespace, timeout=60, say=lambda why: click.echo(f"  {why}", err=True)
                )

    run(work)
    click.echo(f"trigger {name} created", err=True)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List triggers."""
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[eventing.Trigger]:
        async with session.client() as client:
            return await objects.listed(client, kinds.TRIGGER, session.namespace)

    show(output, run(work), row, empty=f"No triggers in namespace {session.namespace}.")


@command.command("describe")
@click.argument("name", shell_complete=complete.triggers)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a trigger."""
    from cli import output as out
    from cli.session import run

    async def work() -> eventing.Trigger:
        async with session.client() as client:
            return await objects.get(client, kinds.TRIGGER, name, session.namespace, "trigger")

    trigger = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [trigger], row, empty="", single=True)
        return
    shown = row(trigger, True)
    out.fields(
        [
            ("Name", name),
            ("Namespace", session.namespace),
            ("Broker", shown["BROKER"]),
            ("Filter", shown["FILTER"]),
            ("Subscriber", trigger.status.subscriber_uri),
            ("Dead letters", trigger.status.dead_letter_sink_uri),
            ("Age", shown["AGE"]),
        ]
    )
    out.conditions(trigger.status.conditions)


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.triggers)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete triggers. Events not yet delivered to their subscribers are not delivered any more."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.TRIGGER, names, session.namespace, "trigger")

    run(work)


def attributes(given: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CliError(f"--filter {item!r} is not ATTRIBUTE=VALUE, for example type=com.example.order.created", 2)
        parsed[name] = value
    return parsed


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


def row(trigger: eventing.Trigger, wide: bool) -> dict[str, str]:
    attributes = trigger.spec.filter.attributes if trigger.spec.filter else {}
    shown = ", ".join(f"{k}={v}" for k, v in attributes.items())
    return {
        "NAME": trigger.metadata.name,
        "BROKER": trigger.spec.broker,
        "FILTER": f"{len(trigger.spec.filters)} filters" if trigger.spec.filters else shown or "every event",
        "SUBSCRIBER": trigger.status.subscriber_uri,
        "AGE": output.age(trigger.metadata.creation_timestamp),
        "READY": objects.ready(trigger.status.conditions),
        "REASON": objects.reason(trigger.status.conditions) or ("Paused" if objects.condition(trigger.status.conditions, "Paused") else ""),
    }
