"""What a Sequence or a Parallel says of itself, from its Channels and Subscriptions. Pure."""

from collections.abc import Callable, Iterable

import msgspec

from eventing import conditions
from eventing.conditions import false, is_true, true, unknown
from eventing.flows.plan import Flow, Plan, branch_name, entry_name, filter_name, step_name
from kfn.api import flows, messaging
from kfn.api.meta import Addressable, Condition, KReference, ObjectMeta

FindChannel = Callable[[str], messaging.Channel | None]
FindSubscription = Callable[[str], messaging.Subscription | None]


def added(subscription: messaging.Subscription | None) -> bool:
    """Whether events of its channel are kept for it, as it is now."""
    if subscription is None or subscription.metadata.deletion_timestamp:
        return False
    status = subscription.status
    return status.observed_generation == subscription.metadata.generation and is_true(status.conditions, "AddedToChannel")


def report(flow: Flow, plan: Plan, channel: FindChannel, subscription: FindSubscription, problem: Condition | None, now: str) -> Flow:
    """The flow with its status of now. `problem` is what kept a Channel or a Subscription from being made."""
    channels = _summed("ChannelsReady", "Channel", ((c.metadata.name, _ready(channel(c.metadata.name))) for c in plan.channels))
    links = reversed(plan.links)  # as a reader counts them
    subscriptions = _summed("SubscriptionsReady", "Subscription", ((link.name, _ready(subscription(link.name))) for link in links))
    if problem is not None and problem.type == channels.type:
        channels = problem
    elif problem is not None:
        subscriptions = problem
    address = _address(flow, plan, channel, subscription)
    there = true("Addressable") if address else unknown("Addressable", "NotConnected", "Its first channel has no subscription yet.")
    found = conditions.merged(flow.status.conditions, [channels, subscriptions, there], now)
    generation = flow.metadata.generation
    if isinstance(flow, flows.Sequence):
        names = [step_name(flow.metadata.name, i) for i in range(len(flow.spec.steps))]
        status = msgspec.structs.replace(
            flow.status,
            observed_generation=generation,
            conditions=found,
            address=address,
            channel_statuses=[_channel_state(flow, name, channel) for name in names],
            subscription_statuses=[_subscription_state(flow, name, subscription) for name in names],
        )
        return msgspec.structs.replace(flow, status=status)
    name = flow.metadata.name
    branches = [
        flows.BranchState(
            _subscription_state(flow, filter_name(name, i), subscription),
            _channel_state(flow, branch_name(name, i), channel),
            _subscription_state(flow, branch_name(name, i), subscription),
        )
        for i in range(len(flow.spec.branches))
    ]
    whole = msgspec.structs.replace(
        flow.status,
        observed_generation=generation,
        conditions=found,
        address=address,
        ingress_channel_status=_channel_state(flow, entry_name(name), channel),
        branch_statuses=branches,
    )
    return msgspec.structs.replace(flow, status=whole)


def _address(flow: Flow, plan: Plan, channel: FindChannel, subscription: FindSubscription) -> Addressable | None:
    """Where the first channel is; told once every link is there, so that no event comes before them. It stays, whatever changes."""
    first = channel(plan.channels[0].metadata.name)
    if first is None or first.metadata.deletion_timestamp:
        return None
    complete = flow.status.address is not None or all(added(subscription(link.name)) for link in plan.links)
    return first.status.address if complete else None


def _ready(child: messaging.Channel | messaging.Subscription | None) -> Condition:
    if child is None or child.status.observed_generation != child.metadata.generation:
        return Condition(type="Ready", status="Unknown")
    return next((c for c in child.status.conditions if c.type == "Ready"), Condition(type="Ready", status="Unknown"))


def _summed(type_: str, what: str, children: Iterable[tuple[str, Condition]]) -> Condition:
    for name, ready in children:
        said = f"{what} {name}: {ready.message or 'is not ready yet'}"
        if ready.status == "False":
            return false(type_, ready.reason or f"{what}NotReady", said)
        if ready.status != "True":
            return unknown(type_, ready.reason or f"{what}NotReady", said)
    return true(type_)


def _ref(flow: Flow, kind: str, name: str) -> KReference:
    return KReference(api_version=messaging.API_VERSION, kind=kind, name=name, namespace=flow.metadata.namespace)


def _channel_state(flow: Flow, name: str, find: FindChannel) -> flows.ChannelState:
    return flows.ChannelState(_ref(flow, "Channel", name), _ready(find(name)))


def _subscription_state(flow: Flow, name: str, find: FindSubscription) -> flows.SubscriptionState:
    return flows.SubscriptionState(_ref(flow, "Subscription", name), _ready(find(name)))


def is_of(meta: ObjectMeta, flow: Flow) -> bool:
    """Whether that object is one of the flow's."""
    return any(ref.controller and ref.uid == flow.metadata.uid for ref in meta.owner_references)
