"""`messaging.knative.dev/v1`: Channel, InMemoryChannel and Subscription. Fields and names are Knative's."""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import Addressable, Condition, DeliverySpec, Destination, KReference, ObjectMeta

GROUP = "messaging.knative.dev"
API_VERSION = "messaging.knative.dev/v1"


class ChannelTemplate(Base, frozen=True):
    """Which implementation to use: kfn has one, so this has no effect."""

    api_version: str = ""
    kind: str = ""
    spec: dict[str, Any] = {}


class Subscriber(Base, frozen=True):
    """A subscription as the channel sees it; `ready` is True once events are kept for it."""

    uid: str = ""
    observed_generation: int = 0
    ready: str = ""
    message: str = ""


class ChannelSpec(Base, frozen=True):
    channel_template: ChannelTemplate | None = None
    delivery: DeliverySpec | None = None


class ChannelStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    address: Addressable | None = None
    addresses: list[Addressable] = []
    subscribers: list[Subscriber] = []
    dead_letter_sink_uri: str = ""


class Channel(Base, frozen=True):
    """Takes events at one address, keeps them, and gives each to all of its Subscriptions."""

    api_version: str = API_VERSION
    kind: str = "Channel"
    metadata: ObjectMeta = ObjectMeta()
    spec: ChannelSpec = ChannelSpec()
    status: ChannelStatus = ChannelStatus()


class SubscriberSpec(Base, frozen=True):
    """Who gets a channel's events, with addresses that are resolved: what a Subscription is to its channel."""

    uid: str = ""
    generation: int = 0
    name: str = ""
    subscriber_uri: str = ""
    reply_uri: str = ""
    delivery: DeliverySpec | None = None


class InMemoryChannelSpec(Base, frozen=True):
    subscribers: list[SubscriberSpec] = []
    delivery: DeliverySpec | None = None


class InMemoryChannel(Base, frozen=True):
    """A channel that tells its subscribers in its spec, and takes others there. As durable as a Channel, whatever its name says."""

    api_version: str = API_VERSION
    kind: str = "InMemoryChannel"
    metadata: ObjectMeta = ObjectMeta()
    spec: InMemoryChannelSpec = InMemoryChannelSpec()
    status: ChannelStatus = ChannelStatus()


class SubscriptionSpec(Base, frozen=True):
    """Without a `subscriber` the event itself goes to `reply`; without a `reply` what the subscriber answers is dropped."""

    channel: KReference = KReference()
    subscriber: Destination | None = None
    reply: Destination | None = None
    delivery: DeliverySpec | None = None


class PhysicalSubscription(Base, frozen=True):
    """Where everything goes, resolved."""

    subscriber_uri: str = ""
    reply_uri: str = ""
    dead_letter_sink_uri: str = ""


class SubscriptionStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    physical_subscription: PhysicalSubscription = PhysicalSubscription()


class Subscription(Base, frozen=True):
    """Who gets the events of a channel, and where the answers go."""

    api_version: str = API_VERSION
    kind: str = "Subscription"
    metadata: ObjectMeta = ObjectMeta()
    spec: SubscriptionSpec = SubscriptionSpec()
    status: SubscriptionStatus = SubscriptionStatus()
