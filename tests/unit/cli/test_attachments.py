"""What `kfn subscription update` changes and what it leaves, and what `kfn describe` says of a flow."""

import pytest

from cli import flowshown, subscription
from cli.attachments import BACKOFF
from cli.failures import CliError
from kfn.api import flows, messaging, names
from kfn.api.meta import Condition, DeliverySpec, Destination, KReference, ObjectMeta

BARE = messaging.Subscription()
WITH = messaging.Subscription(spec=messaging.SubscriptionSpec(delivery=DeliverySpec(retry=5)))


class TestWhatAnUpdateChanges:
    def test_only_what_is_named(self) -> None:
        assert subscription.changes(BARE, {"--sink": {"uri": "http://a"}}, None, None) == {"spec": {"subscriber": {"uri": "http://a"}}}
        assert subscription.changes(BARE, {"--sink-reply": None}, None, None) == {"spec": {"reply": None}}

    def test_the_first_delivery_gets_pauses_and_a_later_one_keeps_its_own(self) -> None:
        assert subscription.changes(BARE, {}, 3, None) == {"spec": {"delivery": {**BACKOFF, "retry": 3}}}
        assert subscription.changes(WITH, {"--sink-dead-letter": None}, None, None) == {"spec": {"delivery": {"deadLetterSink": None}}}

    def test_order_comes_and_goes_by_the_annotation(self) -> None:
        assert subscription.changes(BARE, {}, None, True) == {"metadata": {"annotations": {names.ORDERING: "partitionkey"}}}
        assert subscription.changes(BARE, {}, None, False) == {"metadata": {"annotations": {names.ORDERING: None}}}

    def test_a_destination_replaces_the_one_before_whole(self) -> None:
        made = subscription._destination("channel:small", "ns", "--sink-reply")
        assert made is not None and made["uri"] is None and made["ref"]["name"] == "small"
        assert subscription._destination("http://a", "ns", "--sink") == {"ref": None, "uri": "http://a"}
        with pytest.raises(CliError, match="--sink must not be empty"):
            subscription._destination("", "ns", "--sink")


def service(name: str) -> Destination:
    return Destination(ref=KReference(api_version="serving.knative.dev/v1", kind="Service", name=name))


def subscribed(name: str, status: str, reason: str = "") -> messaging.Subscription:
    conditions = [Condition(type="Ready", status=status, reason=reason, message="no such thing" if reason else "")]
    return messaging.Subscription(metadata=ObjectMeta(name=name), status=messaging.SubscriptionStatus(conditions=conditions))


def state(name: str) -> flows.SubscriptionState:
    return flows.SubscriptionState(subscription=KReference(name=name))


class TestAFlow:
    def test_shows_each_step_with_why_it_is_not_ready(self) -> None:
        spec = flows.SequenceSpec(steps=[flows.Step(ref=service("a").ref), flows.Step(uri="http://b"), flows.Step(uri="http://c")])
        status = flows.SequenceStatus(subscription_statuses=[state("s-0"), state("s-1")])
        rows = flowshown.steps(
            flows.Sequence(spec=spec, status=status), {"s-0": subscribed("s-0", "True"), "s-1": subscribed("s-1", "False", "NotFound")}
        )
        assert [(row["SUBSCRIBER"], row["READY"]) for row in rows] == [("ksvc:a", "True"), ("http://b", "False"), ("http://c", "Unknown")]
        assert rows[1]["REASON"].startswith("NotFound")

    def test_shows_a_branch_as_ready_only_when_its_filter_is(self) -> None:
        spec = flows.ParallelSpec(
            branches=[flows.Branch(subscriber=service("a")), flows.Branch(filter=service("f"), subscriber=service("b"))]
        )
        states = [
            flows.BranchState(subscription_status=state("p-0")),
            flows.BranchState(subscription_status=state("p-1"), filter_subscription_status=state("p-filter-1")),
        ]
        flow = flows.Parallel(spec=spec, status=flows.ParallelStatus(branch_statuses=states))
        known = {name: subscribed(name, "True") for name in ("p-0", "p-1")} | {"p-filter-1": subscribed("p-filter-1", "False", "Gone")}
        first, second = flowshown.branches(flow, known)
        assert (first["FILTER"], first["READY"]) == ("every event", "True")
        assert (second["FILTER"], second["SUBSCRIBER"], second["READY"]) == ("ksvc:f", "ksvc:b", "False")
