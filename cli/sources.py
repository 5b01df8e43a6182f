"""kfn source: what makes events. `kn source` has Knative's kinds; this one has kfn's own, too."""

from typing import TYPE_CHECKING

import click

from cli import bindings, queues, session, sourced
from cli.source_apiserver import apiserver

if TYPE_CHECKING:
    from kfn.api.webhooksource import WebhookSource

WORD = "webhook source"


@click.group("source")
def command() -> None:
    """Create, list, describe or delete sources of events."""


command.add_command(queues.nats)
command.add_command(queues.kafka)
command.add_command(apiserver)
command.add_command(bindings.binding)
command.add_command(bindings.container)


@command.group("webhook")
def webhook() -> None:
    """Addresses that turn signed requests, such as GitHub's, into events."""


@webhook.command("create")
@click.argument("name")
@sourced.sink
@click.option(
    "--secret", default="", metavar="NAME[:KEY]", help="What requests are signed with (default: kfn-webhooks, the source's name)."
)
@click.option("--type", "event_type", default="", help="The events' type, before what the type header says.")
@click.option("--source", "event_source", default="", help="The events' source (default: the path of the object).")
@sourced.override
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
    from kfn.api import kinds
    from kfn.api.meta import ObjectMeta
    from kfn.api.webhooksource import SecretKey, WebhookSource, WebhookSourceSpec

    secret_name, _, key = secret.partition(":")
    made = WebhookSource(
        metadata=ObjectMeta(name=name, namespace=session.namespace),
        spec=WebhookSourceSpec(
            secret=SecretKey(secret_name, key),
            event_type=event_type,
            event_source=event_source,
            **sourced.spec(session, sink, overrides),
        ),
    )
    source = sourced.create(session, kinds.WEBHOOK_SOURCE, made, WORD, wait=wait)
    if source.status.address:
        click.echo(source.status.address.url)


def _fields(source: "WebhookSource") -> list[tuple[str, str]]:
    spec = source.spec
    return [
        ("Address", _cells(source, True)["URL"]),
        ("Secret", f"{spec.secret.name}, key {spec.secret.key}"),
        ("Signature", spec.signature_header),
        ("Type", f"{spec.event_type}, then {spec.type_header}"),
        ("Id", spec.id_header),
    ]


def _cells(source: "WebhookSource", wide: bool) -> dict[str, str]:
    return sourced.row(source, URL=source.status.address.url if source.status.address else "")


sourced.looking(webhook, "WEBHOOK_SOURCE", WORD, _cells, _fields, "Their Secret stays.")
