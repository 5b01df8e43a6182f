"""`flows.knative.dev/v1`: Sequence and Parallel. Fields and names are Knative's."""

from kfn.api.base import Base
from kfn.api.messaging import ChannelTemplate
from kfn.api.meta import Addressable, Condition, DeliverySpec, Destination, KReference, ObjectMeta

GROUP = "flows.knative.dev"
API_VERSION = "flows.knative.dev/v1"


class Step(Destination, frozen=True):
    """Who works on the events, and how they are delivered there."""

    delivery: DeliverySpec | None = None


class SequenceSpec(Base, frozen=True):
    steps: list[Step] = []
    channel_template: ChannelTemplate | None = None
    reply: Destination | None = None


class ChannelState(Base, frozen=True):
    channel: KReference = KReference()
    ready: Condition = Condition()


class SubscriptionState(Base, frozen=True):
    subscription: KReference = KReference()
    ready: Condition = Condition()


class SequenceStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    channel_statuses: list[ChannelState] = []
    subscription_statuses: list[SubscriptionState] = []
    address: Addressable | None = None


class Sequence(Base, frozen=True):
    """Functions one after the other: each gets what the one before it answers."""

    api_version: str = API_VERSION
    kind: str = "Sequence"
    metadata: ObjectMeta = ObjectMeta()
    spec: SequenceSpec = SequenceSpec()
    status: SequenceStatus = SequenceStatus()


class Branch(Base, frozen=True):
    """`subscriber` gets what `filter` answers, or every event where there is no filter; an empty answer of the filter drops the event."""

    filter: Destination | None = None
    subscriber: Destination = Destination()
    reply: Destination | None = None
    delivery: DeliverySpec | None = None


class ParallelSpec(Base, frozen=True):
    branches: list[Branch] = []
    channel_template: ChannelTemplate | None = None
    reply: Destination | None = None


class BranchState(Base, frozen=True):
    filter_subscription_status: SubscriptionState = SubscriptionState()
    filter_channel_status: ChannelState = ChannelState()
    subscription_status: SubscriptionState = SubscriptionState()


class ParallelStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    ingress_channel_status: ChannelState = ChannelState()
    branch_statuses: list[BranchState] = []
    address: Addressable | None = None


class Parallel(Base, frozen=True):
    """The same events to several branches, each with a filter of its own."""

    api_version: str = API_VERSION
    kind: str = "Parallel"
    metadata: ObjectMeta = ObjectMeta()
    spec: ParallelSpec = ParallelSpec()
    status: ParallelStatus = ParallelStatus()
