"""Which Channels and Subscriptions a Sequence or a Parallel is made of. Names are Knative's. Pure.

A link may only send into a channel whose own Subscription is there already, or events would pass it: that is what `after` says.
"""

from dataclasses import dataclass

from kfn.api import flows, messaging
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta, OwnerReference

Flow = flows.Sequence | flows.Parallel


@dataclass(frozen=True, slots=True)
class Link:
    """A wanted Subscription; `after` is the name of the one that must be added to its channel before."""

    subscription: messaging.Subscription
    after: str = ""

    @property
    def name(self) -> str:
        return self.subscription.metadata.name


@dataclass(frozen=True, slots=True)
class Plan:
    """The first channel is where the flow is addressed. Links are in the order in which they are made: from the end to the beginning."""

    channels: tuple[messaging.Channel, ...]
    links: tuple[Link, ...]


def plan(flow: Flow) -> Plan:
    return _sequence(flow) if isinstance(flow, flows.Sequence) else _parallel(flow)


def owner(flow: Flow) -> OwnerReference:
    meta = flow.metadata
    return OwnerReference(flow.api_version, flow.kind, meta.name, meta.uid, controller=True, block_owner_deletion=True)


def step_name(flow: str, index: int) -> str:
    """Of a step's channel, and of its subscription."""
    return f"{flow}-kn-sequence-{index}"


def entry_name(flow: str) -> str:
    return f"{flow}-kn-parallel"


def branch_name(flow: str, index: int) -> str:
    """Of a branch's channel, and of its subscription."""
    return f"{flow}-kn-parallel-{index}"


def filter_name(flow: str, index: int) -> str:
    return f"{flow}-kn-parallel-filter-{index}"


def _sequence(flow: flows.Sequence) -> Plan:
    name, steps = flow.metadata.name, flow.spec.steps
    links = []
    for i, step in reversed(list(enumerate(steps))):
        last = i == len(steps) - 1
        reply = flow.spec.reply if last else _channel_ref(flow, step_name(name, i + 1))
        subscriber = Destination(ref=step.ref, uri=step.uri, ca_certs=step.ca_certs, audience=step.audience)
        made = _subscription(flow, step_name(name, i), step_name(name, i), subscriber, reply, step.delivery)
        links.append(Link(made, "" if last else step_name(name, i + 1)))
    return Plan(tuple(_channel(flow, step_name(name, i)) for i in range(len(steps))), tuple(links))


def _parallel(flow: flows.Parallel) -> Plan:
    name = flow.metadata.name
    channels, links = [_channel(flow, entry_name(name))], []
    for i, branch in enumerate(flow.spec.branches):
        inner = branch_name(name, i)
        channels.append(_channel(flow, inner))
        links.append(Link(_subscription(flow, inner, inner, branch.subscriber, branch.reply or flow.spec.reply, branch.delivery)))
        sieve = _subscription(flow, filter_name(name, i), entry_name(name), branch.filter, _channel_ref(flow, inner), branch.delivery)
        links.append(Link(sieve, inner))
    return Plan(tuple(channels), tuple(links))


def _channel(flow: Flow, name: str) -> messaging.Channel:
    return messaging.Channel(metadata=_meta(flow, name), spec=messaging.ChannelSpec(channel_template=flow.spec.channel_template))


def _subscription(
    flow: Flow, name: str, channel: str, subscriber: Destination | None, reply: Destination | None, delivery: DeliverySpec | None
) -> messaging.Subscription:
    ref = KReference(api_version=messaging.API_VERSION, kind="Channel", name=channel)
    return messaging.Subscription(
        metadata=_meta(flow, name), spec=messaging.SubscriptionSpec(channel=ref, subscriber=subscriber, reply=reply, delivery=delivery)
    )


def _channel_ref(flow: Flow, name: str) -> Destination:
    return Destination(ref=KReference(api_version=messaging.API_VERSION, kind="Channel", name=name, namespace=flow.metadata.namespace))


def _meta(flow: Flow, name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=flow.metadata.namespace, owner_references=[owner(flow)])
