"""Rules for the sources that read from message systems: NatsSource and KafkaSource."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from kfn.api import kafkasource, naming, natssource
from kfn.api.errors import FieldError
from kfn.api.secretvalue import SecretValue, TlsSpec
from kfn.api.validate_eventing import delivery, destination
from kfn.api.validate_sources import overrides

_WORD = re.compile(r"[\x21-\x7e]{0,200}")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_TOKEN = re.compile(r"[^\s.*>\x00-\x1f\x7f]+")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NAME = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]{1,200}")


def nats(obj: natssource.NatsSource, old: natssource.NatsSource | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    errors += destination(spec.sink, "spec.sink", required=True)
    errors += _servers(spec.servers)
    if not spec.subject:
        errors.append(FieldError("spec.subject", "missing; name the subject, such as orders.>"))
    elif not subject(spec.subject):
        errors.append(
            FieldError("spec.subject", f"{spec.subject!r} is no subject; use words with '.' between them, '*' for one and '>' for the rest")
        )
    if spec.queue_group and not _TOKEN.fullmatch(spec.queue_group):
        errors.append(FieldError("spec.queueGroup", "has a space, a dot, '*' or '>'"))
    if not _WORD.fullmatch(spec.event_type):
        errors.append(FieldError("spec.eventType", "has more than 200 characters, a space, or others than printable ASCII"))
    if spec.jetstream is not None:
        errors += _jetstream(spec.jetstream)
        if spec.queue_group:
            errors.append(FieldError("spec.queueGroup", "is set beside jetstream, whose durable consumer is shared anyway; remove it"))
    if spec.auth is not None:
        errors += _auth(spec.auth)
    errors += tls(spec.tls, "spec.tls")
    errors += delivery(spec.delivery, "spec.delivery")
    return errors + overrides(spec.ce_overrides)


def kafka(obj: kafkasource.KafkaSource, old: kafkasource.KafkaSource | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    errors += destination(spec.sink, "spec.sink", required=True)
    if not spec.bootstrap_servers:
        errors.append(FieldError("spec.bootstrapServers", "missing; give at least one, such as kafka.example:9092"))
    for i, server in enumerate(spec.bootstrap_servers):
        if not all(_ADDRESS.fullmatch(part.strip()) for part in server.split(",")):
            errors.append(FieldError(f"spec.bootstrapServers[{i}]", "is not host:port, such as kafka.example:9092"))
    if not spec.topics:
        errors.append(FieldError("spec.topics", "missing; name at least one topic"))
    for i, topic in enumerate(spec.topics):
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            errors.append(FieldError(f"spec.topics[{i}]", f"{topic!r} is no topic; use letters, digits, '.', '_' and '-'"))
    if spec.initial_offset not in ("earliest", "latest"):
        errors.append(FieldError("spec.initialOffset", f"{spec.initial_offset!r} is neither earliest nor latest"))
    if spec.ordering not in ("ordered", "unordered"):
        errors.append(FieldError("spec.ordering", f"{spec.ordering!r} is neither ordered nor unordered"))
    if spec.consumers is not None and spec.consumers < 0:
        errors.append(FieldError("spec.consumers", f"{spec.consumers} is negative; use 0 to pause, or more"))
    if old is not None and old.spec.consumer_group != spec.consumer_group:
        errors.append(FieldError("spec.consumerGroup", "immutable; delete the KafkaSource and create it anew"))
    if (key_type := obj.metadata.labels.get(kafkasource.KEY_TYPE, "string")) not in kafkasource.KEY_TYPES:
        known = ", ".join(kafkasource.KEY_TYPES)
        errors.append(FieldError(f"metadata.labels[{kafkasource.KEY_TYPE}]", f"{key_type!r} is not one of {known}"))
    errors += _net(spec.net or kafkasource.NetSpec()) + delivery(spec.delivery, "spec.delivery")
    return errors + overrides(spec.ce_overrides)


def _net(net: kafkasource.NetSpec) -> list[FieldError]:
    errors = tls(net.tls, "spec.net.tls")
    if sasl := net.sasl:
        for name in ("user", "password", "type"):
            given = getattr(sasl, name)
            if given is None and sasl.enable and name != "type":
                errors.append(FieldError(f"spec.net.sasl.{name}", "missing; say in which Secret it is"))
            errors += value(given, f"spec.net.sasl.{name}")
    return errors


def subject(text: str) -> bool:
    """Whether this is a subject that one can subscribe to."""
    *words, last = text.split(".")
    return all(word == "*" or _TOKEN.fullmatch(word) for word in words) and (last in ("*", ">") or bool(_TOKEN.fullmatch(last)))


def _servers(servers: list[str]) -> list[FieldError]:
    if not servers:
        return [FieldError("spec.servers", "missing; give at least one, such as nats://nats.example:4222")]
    errors = []
    for i, server in enumerate(servers):
        at = f"spec.servers[{i}]"
        try:
            parts = urlsplit(server)
            known = parts.scheme in ("nats", "tls") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            known = False
            parts = urlsplit("")
        if "@" in server:  # not shown: it may be a password
            errors.append(FieldError(at, "has credentials; put them into a Secret and name that in spec.auth"))
        elif not known or parts.path.strip("/") or parts.query:
            errors.append(FieldError(at, f"{server!r} is no server's URL; write nats://host:4222, or tls://host:4222"))
    return errors


def _jetstream(spec: natssource.JetStreamSpec) -> list[FieldError]:
    errors = []
    if not _NAME.fullmatch(spec.stream):
        errors.append(FieldError("spec.jetstream.stream", "missing, or no stream's name; `nats stream ls` shows them"))
    if spec.durable and not _NAME.fullmatch(spec.durable):
        errors.append(FieldError("spec.jetstream.durable", f"{spec.durable!r} is no consumer's name; leave out spaces, '.', '*', '>', '/'"))
    if spec.deliver_policy not in natssource.POLICIES:
        errors.append(FieldError("spec.jetstream.deliverPolicy", f"{spec.deliver_policy!r} is not one of {', '.join(natssource.POLICIES)}"))
    return errors


def _auth(auth: natssource.NatsAuth) -> list[FieldError]:
    errors = []
    given = [name for name in ("user", "password", "token", "credentials", "nkey") if getattr(auth, name) is not None]
    if given not in (["user", "password"], ["token"], ["credentials"], ["nkey"]):
        what = " and ".join(given) or "nothing"
        errors.append(FieldError("spec.auth", f"has {what}; give one of: user and password, token, credentials, nkey"))
    for name in given:
        errors += value(getattr(auth, name), f"spec.auth.{name}")
    return errors


def tls(spec: TlsSpec | None, at: str) -> list[FieldError]:
    if spec is None:
        return []
    errors = value(spec.cert, f"{at}.cert") + value(spec.key, f"{at}.key") + value(spec.ca_cert, f"{at}.caCert")
    if (spec.cert is None) != (spec.key is None):
        errors.append(FieldError(f"{at}.key" if spec.key is None else f"{at}.cert", "missing; a client certificate takes both"))
    if not spec.enable and (spec.cert or spec.ca_cert):
        errors.append(FieldError(f"{at}.enable", "is not true, so what stands beside it would count for nothing; set it"))
    return errors


def value(given: SecretValue | None, at: str) -> list[FieldError]:
    """A reference to a key of a Secret."""
    if given is None:
        return []
    ref, errors = given.secret_key_ref, []
    if not _KEY.fullmatch(ref.key):
        errors.append(FieldError(f"{at}.secretKeyRef.key", "missing, or no key of a Secret; use letters, digits, '-', '_' and '.'"))
    if ref.name and (wrong := naming.dns_name(ref.name)):
        errors.append(FieldError(f"{at}.secretKeyRef.name", wrong))
    return errors


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {
    "natssources.kfn.dev": nats,
    "kafkasources.sources.knative.dev": kafka,
}
