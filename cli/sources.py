"""kfn source: what makes events. `kn source` has more of Knative's kinds; this one has kfn's own."""

from typing import TYPE_CHECKING

import click

from cli import complete, objects, output, queues, session
from cli.source_apiserver import apiserver
from cli.trigger import destination

if TYPE_CHECKING:
    from kfn.api.webhooksource import WebhookSource


@click.group("source")
def command() -> None:
    """Create, list, describe or delete sources of events."""


command.add_command(queues.nats)
command.add_command(apiserver)


@command.group("webhook")
def webhook() -> None:
    """Addresses that turn signed requests, such as GitHub's, into events."""


@webhook.command("create")
@click.argument("name")
@click.option("-s", "--sink", required=True, help="broker:NAME, ksvc:NAME, svc:NAME or a URL.", shell_complete=complete.brokers)
@click.option(
    "--secret", default="", metavar="NAME[:KEY]", help="What requests are signed with (default: kfn-webhooks, the source's name)."
)
@click.option("--type", "event_type", default="", help="The events' type, before what the type header says.")
@click.option("--source", "event_source", default="", help="The events' source (default: the path of the object).")
@click.option("--ce-override", "overrides", multiple=True, metavar="NAME=VALUE", help="An attribute for every event; may be repeated.")
@click.option("--wait/--no-wait", default=True, help="Wait until requests are taken.")
@session.options
def create(
    session: session.Session,
    name: str,
    sink: str,
    secret: str,
    event_type: str,
    event_source: str,
    overrides: tuple[str, ...],
    wait: bool,
) -> None:
    """Create a webhook source and print its address.

    \b
    kubectl create secret generic kfn-webhooks --from-literal github=SECRET
    kfn source webhook create github --sink broker:default
    """
    from cli.session import run
    from cli.waiting import until_ready
    from kfn.api import kinds
    from kfn.api.meta import ObjectMeta
    from kfn.api.sourced import CloudEventOverrides
    from kfn.api.webhooksource import SecretKey, WebhookSource, WebhookSourceSpec

    secret_name, _, key = secret.partition(":")
    extensions = pairs(overrides)
    made = WebhookSource(
        metadata=ObjectMeta(name=name, namespace=session.namespace),
        spec=WebhookSourceSpec(
            sink=destination(sink, session.namespace, "--sink"),
            secret=SecretKey(secret_name, key),
            ce_overrides=CloudEventOverrides(extensions) if extensions else None,
            event_type=event_type,
            event_source=event_source,
        ),
    )

    async def work() -> "WebhookSource":
        async with session.client() as client:
            created = await objects.create(client, kinds.WEBHOOK_SOURCE, made, session.namespace, "webhook source")
            if not wait:
                return created
            return await until_ready(
                client, kinds.WEBHOOK_SOURCE, name, session.namespace, timeout=60, say=lambda why: click.echo(f"  {why}", err=True)
            )

    source = run(work)
    click.echo(f"webhook source {name} created", err=True)
    if source.status.address:
        click.echo(source.status.address.url)


@webhook.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List webhook sources."""
    from cli.output import objects as show
    from cli.session import run
    from kfn.api import kinds

    async def work() -> "list[WebhookSource]":
        async with session.client() as client:
            return await objects.listed(client, kinds.WEBHOOK_SOURCE, session.namespace)

    show(output, run(work), row, empty=f"No webhook sources in namespace {session.namespace}.")


@webhook.command("describe")
@click.argument("name", shell_complete=complete.webhooks)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a webhook source."""
    from cli import output as out
    from cli.session import run
    from kfn.api import kinds

    async def work() -> "WebhookSource":
        async with session.client() as client:
            return await objects.get(client, kinds.WEBHOOK_SOURCE, name, session.namespace, "webhook source")

    source = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [source], row, empty="", single=True)
        return
    shown, spec = row(source, True), source.spec
    out.fields(
        [
            ("Name", name),
            ("Namespace", session.namespace),
            ("Address", shown["URL"]),
            ("Sink", shown["SINK"]),
            ("Secret", f"{spec.secret.name}, key {spec.secret.key}"),
            ("Signature", spec.signature_header),
            ("Type", f"{spec.event_type}, then {spec.type_header}"),
            ("Id", spec.id_header),
            ("Age", shown["AGE"]),
        ]
    )
    out.conditions(source.status.conditions)


@webhook.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.webhooks)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete webhook sources. Their Secret stays."""
    from cli.session import run
    from kfn.api import kinds

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.WEBHOOK_SOURCE, names, session.namespace, "webhook source")

    run(work)


def pairs(given: tuple[str, ...]) -> dict[str, str]:
    from cli.failures import CliError

    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CliError(f"--ce-override {item!r} is not NAME=VALUE, for example team=shop", 2)
        found[name] = value
    return found


def row(source: "WebhookSource", wide: bool) -> dict[str, str]:
    return {
        "NAME": source.metadata.name,
        "URL": source.status.address.url if source.status.address else "",
        "SINK": source.status.sink_uri,
        "AGE": output.age(source.metadata.creation_timestamp),
        "READY": objects.ready(source.status.conditions),
        "REASON": objects.reason(source.status.conditions),
    }
