"""kfn subscription: who gets the events of a channel, and where the answers go."""

import click

from cli import complete, objects, output, session
from cli.failures import CliError
from cli.trigger import destination
from kfn.api import kinds, messaging
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta

SINK = "ksvc:NAME, broker:NAME, channel:NAME, svc:NAME or a URL"


@click.group("subscription")
def command() -> None:
    """Create, list, describe or delete subscriptions."""


@command.command("create")
@click.argument("name")
@click.option("--channel", required=True, help="The channel whose events are wanted.", shell_complete=complete.channels)
@click.option("-s", "--sink", help=f"Who gets them: {SINK}.", shell_complete=complete.functions)
@click.option("--sink-reply", help="Where the sink's answers go; without it they are dropped.")
@click.option("--sink-dead-letter", help="Where events go that cannot be delivered.")
@click.option("--retry", type=click.IntRange(min=0), help="Deliveries after the first (default: the channel's, 10).")
@click.option("--wait/--no-wait", default=True, help="Wait until events are delivered.")
@session.options
def create(
    session: session.Session,
    name: str,
    channel: str,
    sink: str | None,
    sink_reply: str | None,
    sink_dead_letter: str | None,
    retry: int | None,
    wait: bool,
) -> None:
    """Send the events of a channel to a function, a broker, a channel or a URL.

    \b
    kfn subscription create resize --channel images --sink ksvc:resize --sink-reply channel:small
    """
    from cli.session import run
    from cli.waiting import until_ready

    if not sink and not sink_reply:
        raise CliError("--sink is missing; name it, or --sink-reply to hand the events on as they are", 2)

    def to(text: str | None, flag: str) -> Destination | None:
        return destination(text, session.namespace, flag) if text else None

    delivery = None
    if retry is not None or sink_dead_letter:
        dead = to(sink_dead_letter, "--sink-dead-letter")
        delivery = DeliverySpec(retry=retry, dead_letter_sink=dead, backoff_policy="exponential", backoff_delay="PT0.2S")
    spec = messaging.SubscriptionSpec(
        channel=KReference(api_version=messaging.API_VERSION, kind="Channel", name=channel),
        subscriber=to(sink, "--sink"),
        reply=to(sink_reply, "--sink-reply"),
        delivery=delivery,
    )
    made = messaging.Subscription(metadata=ObjectMeta(name=name, namespace=session.namespace), spec=spec)

    async def work() -> None:
        async with session.client() as client:
            await objects.create(client, kinds.SUBSCRIPTION, made, session.namespace, "subscription")
            if wait:
                await until_ready(
                    client, kinds.SUBSCRIPTION, name, session.namespace, timeout=60, say=lambda why: click.echo(f"  {why}", err=True)
                )

    run(work)
    click.echo(f"subscription {name} created", err=True)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List subscriptions."""
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[messaging.Subscription]:
        async with session.client() as client:
            return await objects.listed(client, kinds.SUBSCRIPTION, session.namespace)

    show(output, run(work), row, empty=f"No subscriptions in namespace {session.namespace}.")


@command.command("describe")
@click.argument("name", shell_complete=complete.subscriptions)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a subscription."""
    from cli import output as out
    from cli.session import run

    async def work() -> messaging.Subscription:
        async with session.client() as client:
            return await objects.get(client, kinds.SUBSCRIPTION, name, session.namespace, "subscription")

    found = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [found], row, empty="", single=True)
        return
    where = found.status.physical_subscription
    out.fields(
        [
            ("Name", name),
            ("Namespace", session.namespace),
            ("Channel", found.spec.channel.name),
            ("Subscriber", where.subscriber_uri),
            ("Reply", where.reply_uri),
            ("Dead letters", where.dead_letter_sink_uri),
        ]
    )
    out.conditions(found.status.conditions)


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.subscriptions)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete subscriptions. Events not yet delivered to their subscribers are not delivered any more."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.SUBSCRIPTION, names, session.namespace, "subscription")

    run(work)


def row(one: messaging.Subscription, wide: bool) -> dict[str, str]:
    where = one.status.physical_subscription
    return {
        "NAME": one.metadata.name,
        "CHANNEL": one.spec.channel.name,
        "SUBSCRIBER": where.subscriber_uri,
        "REPLY": where.reply_uri,
        "DEAD LETTERS": where.dead_letter_sink_uri,
        "READY": objects.ready(one.status.conditions),
        "REASON": objects.reason(one.status.conditions),
    }
