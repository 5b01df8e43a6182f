"""What is admitted of Channels, Subscriptions, Sequences and Parallels."""

from typing import Any

import pytest

from eventing import delivery
from kfn.api import admission, kinds
from kfn.api.base import Json, decode
from kfn.api.errors import Invalid
from kfn.api.kinds import Kind
from kfn.api.meta import DeliverySpec
from kfn.api.warnings import warnings

SINK: Json = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "f"}}
CHANNEL: Json = {"apiVersion": "messaging.knative.dev/v1", "kind": "Channel", "name": "pipe"}


def obj(kind: Kind[Any], **spec: Any) -> Json:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x", "namespace": "default"}, "spec": spec}


def admitted(kind: Kind[Any], old: Json | None = None, **spec: Any) -> Json:
    return admission.admit(kind, "UPDATE" if old else "CREATE", obj(kind, **spec), old, "me")


def refused(kind: Kind[Any], old: Json | None = None, **spec: Any) -> str:
    with pytest.raises(Invalid) as error:
        admitted(kind, old, **spec)
    return str(error.value)


class TestAChannel:
    def test_is_told_which_implementation_it_has_and_may_not_change_it(self) -> None:
        made = admitted(kinds.CHANNEL)
        assert made["spec"]["channelTemplate"] == {"apiVersion": "messaging.knative.dev/v1", "kind": "Channel"}
        assert warnings(kinds.CHANNEL, made) == []
        other = {"apiVersion": "messaging.knative.dev/v1", "kind": "InMemoryChannel"}
        assert "spec.channelTemplate" in refused(kinds.CHANNEL, made, channelTemplate=other)

    def test_of_another_implementation_is_accepted_with_a_warning(self) -> None:
        made = admitted(kinds.CHANNEL, channelTemplate={"apiVersion": "messaging.knative.dev/v1", "kind": "InMemoryChannel"})
        [warning] = warnings(kinds.CHANNEL, made)
        assert "spec.channelTemplate: has no effect" in warning and "InMemoryChannel" in warning


def test_an_address_that_nobody_can_deliver_to_is_taken_with_a_warning() -> None:
    [warning] = warnings(kinds.SUBSCRIPTION, admitted(kinds.SUBSCRIPTION, channel=CHANNEL, subscriber={"uri": "bad://uri"}))
    assert warning.startswith("spec.subscriber.uri: events are delivered over http and https only")


class TestAnInMemoryChannel:
    def test_says_by_an_annotation_how_it_is_subscribed_to(self) -> None:
        made = admitted(kinds.IN_MEMORY_CHANNEL)
        assert made["metadata"]["annotations"] == {"messaging.knative.dev/subscribable": "v1"}
        assert admitted(kinds.IN_MEMORY_CHANNEL, made) == made | {"spec": {}}

    @pytest.mark.parametrize(
        ("entered", "said"),
        [
            ([{"subscriberUri": "http://a"}], "spec.subscribers[0].uid: needs 1 to"),
            ([{"uid": "u"}], "spec.subscribers[0].subscriberUri: missing"),
            ([{"uid": "u", "replyUri": "there"}], "spec.subscribers[0].replyUri: 'there' is not an absolute URL"),
            ([{"uid": "u", "replyUri": "http://a"}, {"uid": "u", "subscriberUri": "http://a"}], "spec.subscribers[1].uid: 'u' is there"),
            ([{"uid": "u", "replyUri": "http://a", "delivery": {"retry": -1}}], "spec.subscribers[0].delivery.retry"),
        ],
    )
    def test_refuses_subscribers_that_could_not_be_told_apart_or_reached(self, entered: list[Json], said: str) -> None:
        assert said in refused(kinds.IN_MEMORY_CHANNEL, subscribers=entered)


class TestASubscription:
    def test_gets_its_references_namespaces(self) -> None:
        made = admitted(kinds.SUBSCRIPTION, channel=CHANNEL, subscriber=SINK, reply={"ref": CHANNEL}, delivery={"deadLetterSink": SINK})
        spec = made["spec"]
        found = [spec[name]["ref"]["namespace"] for name in ("subscriber", "reply")]
        assert [*found, spec["delivery"]["deadLetterSink"]["ref"]["namespace"]] == ["default"] * 3

    def test_needs_a_channel_and_a_subscriber_or_a_reply(self) -> None:
        said = refused(kinds.SUBSCRIPTION, channel={"name": "pipe"})
        for field in ("spec.channel.kind", "spec.channel.apiVersion", "spec.subscriber: missing"):
            assert field in said
        assert admitted(kinds.SUBSCRIPTION, channel=CHANNEL, reply=SINK)

    def test_keeps_its_channel_and_may_change_the_rest(self) -> None:
        made = admitted(kinds.SUBSCRIPTION, channel=CHANNEL, subscriber=SINK)
        assert "spec.channel: immutable" in refused(kinds.SUBSCRIPTION, made, channel={**CHANNEL, "name": "other"}, subscriber=SINK)
        assert admitted(kinds.SUBSCRIPTION, made, channel=CHANNEL, reply={"uri": "http://x/y"}, delivery={"retry": 1})

    def test_cannot_be_on_a_channel_elsewhere(self) -> None:
        assert "spec.channel.namespace" in refused(kinds.SUBSCRIPTION, channel={**CHANNEL, "namespace": "other"}, subscriber=SINK)


class TestAFlow:
    def test_names_the_step_that_is_wrong(self) -> None:
        said = refused(kinds.SEQUENCE, steps=[SINK, {}, {**SINK, "delivery": {"retry": -1}}])
        assert "spec.steps[1]" in said and "spec.steps[2].delivery.retry" in said
        assert "spec.steps: missing" in refused(kinds.SEQUENCE)

    def test_names_the_branch_that_is_wrong(self) -> None:
        said = refused(kinds.PARALLEL, branches=[{"subscriber": SINK, "filter": {"uri": "x"}}, {"filter": SINK}])
        assert "spec.branches[0].filter.uri" in said and "spec.branches[1].subscriber" in said

    def test_fills_in_the_namespaces_of_steps_and_branches(self) -> None:
        steps = admitted(kinds.SEQUENCE, steps=[SINK])["spec"]["steps"]
        [branch] = admitted(kinds.PARALLEL, branches=[{"subscriber": SINK, "filter": SINK, "reply": SINK}])["spec"]["branches"]
        assert steps[0]["ref"]["namespace"] == "default"
        assert {branch[name]["ref"]["namespace"] for name in ("subscriber", "filter", "reply")} == {"default"}


class TestABroker:
    def test_says_what_its_triggers_get_unless_somebody_said_so(self) -> None:
        assert decode(DeliverySpec, admitted(kinds.BROKER)["spec"]["delivery"]) == delivery.DEFAULT
        assert admitted(kinds.BROKER, delivery={})["spec"]["delivery"] == {}
