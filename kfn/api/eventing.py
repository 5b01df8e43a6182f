"""`eventing.knative.dev/v1`: Broker and Trigger. Fields and names are Knative's."""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import Addressable, Condition, DeliverySpec, Destination, KReference, ObjectMeta

GROUP = "eventing.knative.dev"
API_VERSION = "eventing.knative.dev/v1"
BROKER_CLASS = "kfn"


class BrokerSpec(Base, frozen=True):
    config: KReference | None = None
    delivery: DeliverySpec | None = None


class BrokerStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    address: Addressable | None = None
    addresses: list[Addressable] = []
    dead_letter_sink_uri: str = ""


class Broker(Base, frozen=True):
    """Takes events at one address, keeps them, and gives them to its Triggers' subscribers."""

    api_version: str = API_VERSION
    kind: str = "Broker"
    metadata: ObjectMeta = ObjectMeta()
    spec: BrokerSpec = BrokerSpec()
    status: BrokerStatus = BrokerStatus()


class TriggerFilter(Base, frozen=True):
    attributes: dict[str, str] = {}


class TriggerSpec(Base, frozen=True):
    """`filters` (each one dialect: exact, prefix, suffix, all, any, not, cesql; joined by AND) overrides `filter`."""

    broker: str = ""
    broker_ref: KReference | None = None
    filter: TriggerFilter | None = None
    filters: list[dict[str, Any]] = []
    subscriber: Destination = Destination()
    delivery: DeliverySpec | None = None


class TriggerStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    subscriber_uri: str = ""
    dead_letter_sink_uri: str = ""


class Trigger(Base, frozen=True):
    """Events of a Broker that match a filter, and who gets them."""

    api_version: str = API_VERSION
    kind: str = "Trigger"
    metadata: ObjectMeta = ObjectMeta()
    spec: TriggerSpec = TriggerSpec()
    status: TriggerStatus = TriggerStatus()
