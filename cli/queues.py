"""kfn source nats, kfn source kafka: sources that read from message systems."""

from typing import TYPE_CHECKING, Any

import click

from cli import output, session, sourced
from cli.attachments import destination

if TYPE_CHECKING:
    from kfn.api.secretvalue import SecretValue, TlsSpec

_COMMON = (
    sourced.sink,
    click.option("--dead-letter-sink", default="", help="Who gets what the sink refuses; as --sink. Without it, it is held."),
    click.option("--secret", "secret_name", default="", metavar="NAME", help="The Secret that keys are taken from (default: kfn-sources)."),
    click.option("--tls/--no-tls", default=False, help="Only over TLS."),
    click.option("--ca-key", default="", metavar="KEY", help="The key of the Secret with the servers' authority; means --tls."),
    click.option("--cert-key", default="", metavar="KEY", help="The key with the client's certificate; goes with --private-key."),
    click.option("--private-key", default="", metavar="KEY", help="The key with that certificate's private key."),
    sourced.override,
    click.option("--wait/--no-wait", default=True, help="Wait until it reads."),
)


def common(command: output.F) -> output.F:
    """The options of both kinds."""
    for option in reversed(_COMMON):
        command = option(command)
    return command


@click.group("nats")
def nats() -> None:
    """Messages of a NATS subject, or of a JetStream stream, as events."""


@nats.command("create")
@click.argument("name")
@click.option("--server", "servers", multiple=True, required=True, metavar="URL", help="nats://HOST:PORT; may be repeated.")
@click.option("--subject", required=True, help="What is read, such as orders.>.")
@click.option("--stream", default="", help="The JetStream stream to read it from; without it, what nobody hears is lost.")
@click.option("--durable", default="", help="The consumer's name (default: made of the source's).")
@click.option("--deliver", default="", metavar="POLICY", help="Where a new consumer begins: all (default), new, last, lastPerSubject.")
@click.option("--queue-group", default="", help="The group that shares what is not in a stream.")
@click.option("--user-key", default="", metavar="KEY", help="The key of the Secret with the user; goes with --password-key.")
@click.option("--password-key", default="", metavar="KEY", help="The key with the password.")
@click.option("--token-key", default="", metavar="KEY", help="The key with a token.")
@click.option("--credentials-key", default="", metavar="KEY", help="The key with a .creds file.")
@click.option("--nkey-key", default="", metavar="KEY", help="The key with an nkey's seed.")
@click.option("--type", "event_type", default="", help="The type of events made of messages that are none.")
@common
@session.options
def create_nats(session: session.Session, name: str, sink: str, wait: bool, **given: Any) -> None:
    """Create a NATS source.

    \b
    kubectl create secret generic kfn-sources --from-file creds=user.creds
    kfn source nats create orders --server nats://nats.example:4222 --subject 'orders.>' --stream ORDERS \\
        --credentials-key creds --sink broker:default
    """
    from kfn.api import kinds
    from kfn.api.meta import ObjectMeta
    from kfn.api.natssource import JetStreamSpec, NatsAuth, NatsSource, NatsSourceSpec

    secret = given["secret_name"]
    auth = NatsAuth(**{field: _value(secret, given[f"{field}_key"]) for field in ("user", "password", "token", "credentials", "nkey")})
    spec = NatsSourceSpec(
        servers=list(given["servers"]), subject=given["subject"], queue_group=given["queue_group"], event_type=given["event_type"],
        jetstream=JetStreamSpec(given["stream"], given["durable"], given["deliver"]) if given["stream"] else None,
        auth=auth if auth != NatsAuth() else None, tls=_tls(given), **_delivering(session, sink, given),
    )  # fmt: skip
    made = NatsSource(metadata=ObjectMeta(name=name, namespace=session.namespace), spec=spec)
    sourced.create(session, kinds.NATS_SOURCE, made, "nats source", wait=wait)


@click.group("kafka")
def kafka() -> None:
    """Records of Kafka topics as events."""


@kafka.command("create")
@click.argument("name")
@click.option("--server", "servers", multiple=True, required=True, metavar="HOST:PORT", help="A broker; may be repeated.")
@click.option("--topic", "topics", multiple=True, required=True, help="May be repeated.")
@click.option("--group", default="", help="The consumer group (default: one of this source's own).")
@click.option("--from", "initial", type=click.Choice(["latest", "earliest"]), default="latest", help="Where a new group begins.")
@click.option("--unordered", is_flag=True, help="Many records of a partition at once.")
@click.option("--user-key", default="", metavar="KEY", help="The key of the Secret with the user; goes with --password-key.")
@click.option("--password-key", default="", metavar="KEY", help="The key with the password.")
@click.option("--mechanism-key", default="", metavar="KEY", help="The key with PLAIN (the default), SCRAM-SHA-256 or SCRAM-SHA-512.")
@common
@session.options
def create_kafka(session: session.Session, name: str, sink: str, wait: bool, **given: Any) -> None:
    """Create a Kafka source.

    \b
    kubectl create secret generic kfn-sources --from-literal user=me --from-literal password=...
    kfn source kafka create orders --server kafka.example:9092 --topic orders --user-key user --password-key password \\
        --tls --sink broker:default
    """
    from kfn.api import kinds
    from kfn.api.kafkasource import KafkaSource, KafkaSourceSpec, NetSpec, SaslSpec
    from kfn.api.meta import ObjectMeta

    keys = [_value(given["secret_name"], given[f"{field}_key"]) for field in ("user", "password", "mechanism")]
    net = NetSpec(sasl=SaslSpec(True, *keys) if any(keys) else None, tls=_tls(given))
    spec = KafkaSourceSpec(
        bootstrap_servers=list(given["servers"]), topics=list(given["topics"]), consumer_group=given["group"],
        initial_offset=given["initial"], ordering="unordered" if given["unordered"] else "ordered",
        net=net if net != NetSpec() else None, **_delivering(session, sink, given),
    )  # fmt: skip
    made = KafkaSource(metadata=ObjectMeta(name=name, namespace=session.namespace), spec=spec)
    sourced.create(session, kinds.KAFKA_SOURCE, made, "kafka source", wait=wait)


def _kafka_cells(source: Any, wide: bool) -> dict[str, str]:
    return sourced.row(source, TOPICS=", ".join(source.spec.topics))


def _kafka_fields(source: Any) -> list[tuple[str, str]]:
    from kfn.api.kafkasource import group_of

    spec = source.spec
    told = [("Brokers", ", ".join(spec.bootstrap_servers)), ("Topics", ", ".join(spec.topics)), ("Group", group_of(source))]
    return [*told, ("Begins at", spec.initial_offset), ("Ordering", spec.ordering)]


def _nats_cells(source: Any, wide: bool) -> dict[str, str]:
    return sourced.row(source, SUBJECT=source.spec.subject)


def _nats_fields(source: Any) -> list[tuple[str, str]]:
    from kfn.api.natssource import durable

    spec, stream = source.spec, source.spec.jetstream
    where = f"{stream.stream}, consumer {durable(source)}" if stream else "none: what nobody hears is lost"
    return [("Servers", ", ".join(spec.servers)), ("Subject", spec.subject), ("Stream", where), ("Queue group", spec.queue_group)]


def _value(secret: str, key: str) -> "SecretValue | None":
    from kfn.api.secretvalue import SecretKeySelector, SecretValue

    return SecretValue(SecretKeySelector(secret, key)) if key else None


def _tls(given: dict[str, Any]) -> "TlsSpec | None":
    from kfn.api.secretvalue import TlsSpec

    secret, keys = given["secret_name"], (given["cert_key"], given["private_key"], given["ca_key"])
    if not given["tls"] and not any(keys):
        return None
    return TlsSpec(True, *(_value(secret, key) for key in keys))


def _delivering(session: session.Session, sink: str, given: dict[str, Any]) -> dict[str, Any]:
    """The fields that say where events go."""
    from kfn.api.meta import DeliverySpec
    from kfn.api.sourced import CloudEventOverrides

    dead, extensions, delivery = given["dead_letter_sink"], sourced.pairs(given["overrides"]), None
    if dead:
        to = destination(dead, session.namespace, "--dead-letter-sink")
        delivery = DeliverySpec(dead_letter_sink=to, retry=10, backoff_policy="exponential", backoff_delay="PT0.2S")
    return {
        "sink": destination(sink, session.namespace, "--sink"),
        "ce_overrides": CloudEventOverrides(extensions) if extensions else None,
        "delivery": delivery,
    }


_STAY = "What they are at stays where it is, and so do their Secrets."
sourced.looking(kafka, "KAFKA_SOURCE", "kafka source", _kafka_cells, _kafka_fields, _STAY)
sourced.looking(nats, "NATS_SOURCE", "nats source", _nats_cells, _nats_fields, _STAY)
