"""`kfn.dev/v1alpha1` NatsSource: messages of a NATS subject, or of a JetStream stream, as events."""

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.secretvalue import SecretValue, TlsSpec
from kfn.api.sourced import DeliveringSpec, SourceStatus

GROUP = "kfn.dev"
API_VERSION = "kfn.dev/v1alpha1"
TYPE = "dev.kfn.sources.nats"
POLICIES = {"all": "all", "new": "new", "last": "last", "lastPerSubject": "last_per_subject"}
"""What `deliverPolicy` says, and what NATS calls it."""


class NatsAuth(Base, frozen=True):
    """One of: user and password, token, credentials (a .creds file), nkey (a seed)."""

    user: SecretValue | None = None
    password: SecretValue | None = None
    token: SecretValue | None = None
    credentials: SecretValue | None = None
    nkey: SecretValue | None = None


class JetStreamSpec(Base, frozen=True):
    """The durable consumer of a stream; it is made if it is not there."""

    stream: str = ""
    durable: str = ""
    deliver_policy: str = "all"


class NatsSourceSpec(DeliveringSpec, frozen=True):
    servers: list[str] = []
    subject: str = ""
    queue_group: str = ""
    jetstream: JetStreamSpec | None = None
    auth: NatsAuth | None = None
    tls: TlsSpec | None = None
    event_type: str = TYPE


class NatsSource(Base, frozen=True):
    """Reads messages from NATS and sends each as an event."""

    api_version: str = API_VERSION
    kind: str = "NatsSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: NatsSourceSpec = NatsSourceSpec()
    status: SourceStatus = SourceStatus()


def durable(source: NatsSource) -> str:
    """The consumer's name: of this very object, unless it names one, so that two platforms never share one by chance."""
    given = source.spec.jetstream.durable if source.spec.jetstream is not None else ""
    return given or f"kfn_{source.metadata.uid}"
