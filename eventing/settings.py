"""What eventing is told at its start. Sizes are bytes, times are seconds."""

from dataclasses import dataclass, field

from eventing.apiserver.manifest import Pods

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Every limit of the event bus.

    `ingress_url` is what Brokers are addressed by, without a slash at its end; empty means `http://host:port` of the ingress itself.
    `gateway` is where hosts under `.svc.cluster.local` are reached; None means that the name is resolved. `token` opens the
    tail of a Broker's events; empty keeps it shut.
    """

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: str = field(default="", repr=False)
    nats_credentials: str = ""  # path of a .creds file
    nats_keys: bytes = field(default=b"", repr=False)  # what all keys of a server with the platform's accounts are made from
    nats_credential_life: float = 86400.0  # how long a function's credentials hold; they are renewed when half of it is over
    nats_ca: str = ""  # path of the authorities that sign NATS's certificate, where they are not those of the machine
    nats_certificate: str = ""  # path of a certificate that NATS asks for, and of its key
    nats_key: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    ingress_url: str = ""
    gateway: tuple[str, int] | None = None
    token: str = ""
    api_server: str = "https://kubernetes.default.svc"  # the source of ApiServerSources' events
    adapters: Pods | None = None  # what pods of ApiServerSources run; None: they run here, with our own rights

    max_event: int = MIB
    max_attributes: int = 32 * 1024  # they travel as headers, which servers limit
    max_attribute_count: int = 100  # as above: the gateway takes 200 header fields
    max_batch: int = 8 * MIB
    batch_at_once: int = 256  # events of one batch that wait for JetStream's acknowledgement together
    publish_timeout: float = 5.0  # how long a publisher is held while NATS is away
    retention: float = 24 * 3600.0
    max_bytes: int = 256 * MIB  # a Broker's events
    dead_retention: float = 7 * 24 * 3600.0
    dead_max_bytes: int = 64 * MIB  # its dead letters
    channel_max_bytes: int = 64 * MIB  # as above for a Channel, of which a Sequence has one a step
    channel_dead_max_bytes: int = 16 * MIB
    pipeline_max_bytes: int = 256 * MIB  # a Pipeline's runs with all their data
    pipeline_retention: float = 7 * 24 * 3600.0  # how long a run is kept after its end
    pipeline_look: float = 15.0  # a run that does not move is looked at so often, and what it waits for is put under way again
    replicas: int = 1
    duplicate_window: float = 120.0

    in_flight: int = 64  # deliveries at once, per Trigger
    max_ack_pending: int = 100_000  # deliveries plus events that wait for their next attempt: 35 MiB of the server's, and 0.15 of a core
    ack_wait: float = 30.0  # an event is delivered again so long after its dispatcher went silent
    delivery_timeout: float = 600.0  # where `delivery.timeout` is not set; longer than a function's own limit plus its cold start
    max_backoff: float = 3600.0
    dead_letter_patience: float = 300.0  # how long a dead-letter sink that does not answer is tried before the event is kept in the stream
    reply_patience: float = 300.0  # how long a reply is held that another Broker or Channel cannot store, until its event is delivered anew
    max_reply: int = MIB
