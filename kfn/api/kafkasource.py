"""`sources.knative.dev/v1` KafkaSource: records of Kafka topics as events. Fields and names are Knative's."""

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.secretvalue import SecretValue, TlsSpec
from kfn.api.sourced import DeliveringSpec, SourceStatus

GROUP = "sources.knative.dev"
API_VERSION = "sources.knative.dev/v1"
TYPE = "dev.knative.kafka.event"
KEY_TYPE = "kafkasources.sources.knative.dev/key-type"
KEY_TYPES = ("string", "int", "float", "byte-array")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class SaslSpec(Base, frozen=True):
    """`type` is the mechanism: PLAIN, which is the default, SCRAM-SHA-256 or SCRAM-SHA-512."""

    enable: bool = False
    user: SecretValue | None = None
    password: SecretValue | None = None
    type: SecretValue | None = None


class NetSpec(Base, frozen=True):
    """How the brokers are talked to."""

    sasl: SaslSpec | None = None
    tls: TlsSpec | None = None


class KafkaSourceSpec(DeliveringSpec, frozen=True):
    consumers: int | None = None
    bootstrap_servers: list[str] = []
    net: NetSpec | None = None
    topics: list[str] = []
    consumer_group: str = ""
    initial_offset: str = ""
    ordering: str = ""


class KafkaSourceStatus(SourceStatus, frozen=True):
    consumers: int = 0


class KafkaSource(Base, frozen=True):
    """Reads records from Kafka and sends each as an event."""

    api_version: str = API_VERSION
    kind: str = "KafkaSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: KafkaSourceSpec = KafkaSourceSpec()
    status: KafkaSourceStatus = KafkaSourceStatus()


def group_of(source: KafkaSource) -> str:
    """The consumer group: of this very object, unless it names one."""
    return source.spec.consumer_group or f"knative-kafka-source-{source.metadata.uid}"


def source_of(namespace: str, name: str, topic: str) -> str:
    """The `source` attribute of events, as Knative writes it."""
    return f"/apis/v1/namespaces/{namespace}/kafkasources/{name}#{topic}"
