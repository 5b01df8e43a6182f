"""kfn trigger: which events of a broker go where."""

import click

from cli import attachments, complete, objects, output, places, session, triggerflow
from cli.failures import CliError
from kfn.api import eventing, kinds
from kfn.api.meta import ObjectMeta


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
@attachments.ordered
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
    ordered: bool,
    wait: bool,
) -> None:
    """Send the events of a broker to a function, a broker or a URL.

    \b
    kfn trigger create price --filter type=com.example.order --sink ksvc:price
    kfn trigger create audit --sink https://audit.example.com/events --retry 3 --dead-letter ksvc:lost
    """
    trigger = eventing.Trigger(
        metadata=ObjectMeta(name=name, namespace=session.namespace, annotations=attachments.annotations(ordered)),
        spec=eventing.TriggerSpec(
            broker=broker,
            filter=eventing.TriggerFilter(attributes=attributes(filters)),
            subscriber=attachments.destination(sink, session.namespace, "--sink"),
            delivery=attachments.delivery(retry, dead_letter, session.namespace, "--dead-letter"),
        ),
    )
    attachments.create(session, kinds.TRIGGER, trigger, wait=wait)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List triggers."""
    places.show_all(session, kinds.TRIGGER, output, row, f"No triggers in namespace {session.namespace}.")


@command.command("describe")
@click.argument("name", shell_complete=complete.triggers)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a trigger."""
    attachments.describe(session, kinds.TRIGGER, name, output, row, _fields)


def _fields(trigger: eventing.Trigger) -> list[tuple[str, str]]:
    shown = row(trigger, True)
    return [
        ("Broker", shown["BROKER"]),
        ("Filter", shown["FILTER"]),
        ("Subscriber", trigger.status.subscriber_uri),
        ("Dead letters", trigger.status.dead_letter_sink_uri),
        ("Age", shown["AGE"]),
    ]


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.triggers)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete triggers. Events not yet delivered to their subscribers are not delivered any more."""
    places.delete(session, kinds.TRIGGER, names, "trigger")


def attributes(given: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CliError(f"--filter {item!r} is not ATTRIBUTE=VALUE, for example type=com.example.order.created", 2)
        parsed[name] = value
    return parsed


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
