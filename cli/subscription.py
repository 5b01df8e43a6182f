"""kfn subscription: who gets the events of a channel, and where the answers go."""

from typing import Any

import click

from cli import attachments, complete, objects, output, places, session
from cli.failures import CliError
from kfn.api import kinds, messaging, names
from kfn.api.base import encode
from kfn.api.meta import KReference, ObjectMeta

SINK = "ksvc:NAME, broker:NAME, channel:NAME, svc:NAME or a URL"


@click.group("subscription")
def command() -> None:
    """Create, update, list, describe or delete subscriptions."""


@command.command("create")
@click.argument("name")
@click.option("--channel", required=True, help="The channel whose events are wanted.", shell_complete=complete.channels)
@click.option("-s", "--sink", help=f"Who gets them: {SINK}.", shell_complete=complete.functions)
@click.option("--sink-reply", help="Where the sink's answers go; without it they are dropped.")
@click.option("--sink-dead-letter", help="Where events go that cannot be delivered.")
@click.option("--retry", type=click.IntRange(min=0), help="Deliveries after the first (default: the channel's, 10).")
@attachments.ordered
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
    ordered: bool,
    wait: bool,
) -> None:
    """Send the events of a channel to a function, a broker, a channel or a URL.

    \b
    kfn subscription create resize --channel images --sink ksvc:resize --sink-reply channel:small
    """
    if not sink and not sink_reply:
        raise CliError("--sink is missing; name it, or --sink-reply to hand the events on as they are", 2)
    spec = messaging.SubscriptionSpec(
        channel=KReference(api_version=messaging.API_VERSION, kind="Channel", name=channel),
        subscriber=attachments.destination(sink, session.namespace, "--sink") if sink else None,
        reply=attachments.destination(sink_reply, session.namespace, "--sink-reply") if sink_reply else None,
        delivery=attachments.delivery(retry, sink_dead_letter, session.namespace, "--sink-dead-letter"),
    )
    meta = ObjectMeta(name=name, namespace=session.namespace, annotations=attachments.annotations(ordered))
    attachments.create(session, kinds.SUBSCRIPTION, messaging.Subscription(metadata=meta, spec=spec), wait=wait)


@command.command("update")
@click.argument("name", shell_complete=complete.subscriptions)
@click.option("-s", "--sink", help=f"Who gets the events from now on: {SINK}.", shell_complete=complete.functions)
@click.option("--sink-reply", help='Where the sink\'s answers go; "" drops them.')
@click.option("--sink-dead-letter", help='Where events go that cannot be delivered; "" leaves that to the channel.')
@click.option("--retry", type=click.IntRange(min=0), help="Deliveries after the first.")
@click.option("--ordered/--no-ordered", default=None, help="The events of one `partitionkey` one after the other, or as they come.")
@click.option("--wait/--no-wait", default=True, help="Wait until events are delivered so.")
@session.options
def update(
    session: session.Session,
    name: str,
    sink: str | None,
    sink_reply: str | None,
    sink_dead_letter: str | None,
    retry: int | None,
    ordered: bool | None,
    wait: bool,
) -> None:
    """Change a subscription. What is not named stays as it is, and so do the events that wait.

    \b
    kfn subscription update resize --sink ksvc:resize-v2 --retry 3
    """
    from cli.session import run

    given = {"--sink": sink, "--sink-reply": sink_reply, "--sink-dead-letter": sink_dead_letter}
    to = {flag: _destination(text, session.namespace, flag) for flag, text in given.items() if text is not None}
    if not to and retry is None and ordered is None:
        raise CliError("nothing to change: name --sink, --sink-reply, --sink-dead-letter, --retry, --ordered or --no-ordered", 2)

    async def work() -> None:
        async with session.client() as client:
            found = await objects.get(client, kinds.SUBSCRIPTION, name, session.namespace, "subscription")
            await client.patch(kinds.SUBSCRIPTION, name, session.namespace, changes(found, to, retry, ordered))
            if wait:
                await attachments.until_delivering(session, client, kinds.SUBSCRIPTION, name)

    run(work)
    click.echo(f"subscription {name} updated", err=True)


def changes(found: messaging.Subscription, to: dict[str, dict[str, Any] | None], retry: int | None, ordered: bool | None) -> dict[str, Any]:
    """The merge patch. A Subscription that named no delivery had its channel's; one that names some has the usual pauses too."""
    fields = {"--sink": "subscriber", "--sink-reply": "reply"}
    spec: dict[str, Any] = {fields[flag]: where for flag, where in to.items() if flag in fields}
    delivery: dict[str, Any] = {}
    if "--sink-dead-letter" in to:
        delivery["deadLetterSink"] = to["--sink-dead-letter"]
    if retry is not None:
        delivery["retry"] = retry
    if delivery:
        spec["delivery"] = {**(attachments.BACKOFF if found.spec.delivery is None else {}), **delivery}
    patch: dict[str, Any] = {"spec": spec} if spec else {}
    if ordered is not None:
        patch["metadata"] = {"annotations": attachments.annotations(ordered) or {names.ORDERING: None}}
    return patch


def _destination(text: str, namespace: str, flag: str) -> dict[str, Any] | None:
    """Whole, so that nothing of what was there stays in it. None takes it away."""
    if not text:
        if flag == "--sink":
            raise CliError("--sink must not be empty; delete the subscription instead", 2)
        return None
    made = attachments.destination(text, namespace, flag)
    return {"ref": encode(made.ref) if made.ref else None, "uri": made.uri or None}


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List subscriptions."""
    places.show_all(session, kinds.SUBSCRIPTION, output, row, f"No subscriptions in namespace {session.namespace}.")


@command.command("describe")
@click.argument("name", shell_complete=complete.subscriptions)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a subscription."""
    attachments.describe(session, kinds.SUBSCRIPTION, name, output, row, _fields)


def _fields(found: messaging.Subscription) -> list[tuple[str, str]]:
    where = found.status.physical_subscription
    return [
        ("Channel", found.spec.channel.name),
        ("Subscriber", where.subscriber_uri),
        ("Reply", where.reply_uri),
        ("Dead letters", where.dead_letter_sink_uri),
    ]


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.subscriptions)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete subscriptions. Events not yet delivered to their subscribers are not delivered any more."""
    places.delete(session, kinds.SUBSCRIPTION, names, "subscription")


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
