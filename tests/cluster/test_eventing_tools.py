"""Events on a real cluster as a user handles them from outside: published, watched, given up, shown, delivered again, thrown away; and a
signed webhook that goes through a Sequence and a Parallel of functions, which needs every right that eventing has there."""

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster import installing
from tests.cluster.platform import Platform
from tests.cluster.shell import until
from tests.cluster.spaces import Space, space

ANSWERS = """
import os
import kfn

@kfn.cloudevent
def handle(event):
    return event.reply(event.type + "." + os.environ["NAME"], {"of": event.id})
"""
NOBODY = "http://127.0.0.1:9/"
KEY = b"It's a Secret to Everybody"


@pytest.fixture
def there(platform: Platform) -> Iterator[Space]:
    with space(platform) as made:
        yield made


def kfn(there: Space, *args: str) -> str:
    return there.platform.kfn(*args, "-n", there.name).stdout


def answering(there: Space, name: str) -> None:
    there.function(name, there.platform.image(ANSWERS, "answers"), env=[{"name": "NAME", "value": name}])
    there.platform.ready(name, there.name)


def letters(there: Space, place: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kfn(there, "dlq", "ls", place, "-o", "json"))
    return found


def dead(there: Space, place: str, count: int) -> list[dict[str, Any]]:
    until(lambda: len(letters(there, place)) == count, lambda: f"{place} has {letters(there, place)}, and {count} were to die", 90)
    return letters(there, place)


def tailed(there: Space, type: str, place: str = "default") -> dict[str, Any]:
    """The first event of that type, whenever it comes."""
    line = kfn(there, "events", "tail", "--broker", place, "--filter", f"type={type}", "--since", "10m", "--count", "1")
    found: dict[str, Any] = json.loads(line)
    return found


class TestOfABroker:
    def test_events_are_watched_and_what_was_given_up_is_shown_and_delivered_again(self, there: Space) -> None:
        answering(there, "a")
        kfn(there, "broker", "create", "default")
        kfn(there, "trigger", "create", "t", "--filter", "type=order", "--sink", NOBODY, "--retry", "0")
        id = kfn(there, "events", "publish", "--type", "order", "--data", '{"n": 1}').strip()
        assert tailed(there, "order")["data"] == {"n": 1}
        [letter] = dead(there, "default", 1)
        assert (letter["id"], letter["trigger"]) == (id, "t")
        assert '"n": 1' in kfn(there, "dlq", "show", "--id", id)
        sink = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "a"}, "uri": None}
        there.kubectl("patch", "trigger", "t", "--type=merge", "-p", json.dumps({"spec": {"subscriber": sink}}))
        there.platform.ready("t", there.name, kind="trigger")
        assert "1 replayed" in kfn(there, "dlq", "replay", "--all")
        assert tailed(there, "order.a")["data"] == {"of": id}
        assert letters(there, "default") == []
        assert "1 event from sequence" in kfn(there, "trigger", "replay", "t", "--since", "1h")


@pytest.mark.parametrize("kind", ["Channel", "InMemoryChannel"])
class TestOfAChannel:
    def test_events_are_watched_and_what_was_given_up_is_shown_delivered_again_and_thrown_away(self, there: Space, kind: str) -> None:
        api = {"apiVersion": "messaging.knative.dev/v1"}
        place = f"{kind.lower()}:pipe"
        there.apply({**api, "kind": kind, "metadata": {"name": "pipe"}})
        spec = {"channel": {**api, "kind": kind, "name": "pipe"}, "subscriber": {"uri": NOBODY}, "delivery": {"retry": 0}}
        there.apply({**api, "kind": "Subscription", "metadata": {"name": "s"}, "spec": spec})
        there.platform.ready("s", there.name, kind="subscriptions.messaging.knative.dev")
        ids = [kfn(there, "events", "publish", "--broker", place, "--type", "order", "--data", "{}").strip() for _ in range(2)]
        assert tailed(there, "order", place)["id"] in ids
        assert {(one["id"], one["trigger"]) for one in dead(there, place, 2)} == {(id, "s") for id in ids}
        assert "ce-id" in kfn(there, "dlq", "show", place, "--id", ids[0])
        before = {one["sequence"] for one in letters(there, place)}
        assert "1 replayed" in kfn(there, "dlq", "replay", place, "--id", ids[0])
        until(lambda: len({one["sequence"] for one in letters(there, place)} - before) == 1, lambda: "it did not die once more", 60)
        assert "2 purged" in kfn(there, "dlq", "purge", place, "--all", "--yes")
        assert letters(there, place) == []


class TestASignedWebhook:
    def test_goes_through_a_sequence_and_a_parallel_into_a_broker(self, there: Space) -> None:
        for name in ("a", "b"):
            answering(there, name)
        kfn(there, "broker", "create", "default")
        steps = [{"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name}} for name in ("a", "b")]
        broker = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}}
        flows = {"apiVersion": "flows.knative.dev/v1"}
        branch = {"filter": steps[0], "subscriber": steps[1]}
        there.apply({**flows, "kind": "Parallel", "metadata": {"name": "p"}, "spec": {"branches": [branch], "reply": broker}})
        parallel = {"ref": {**flows, "kind": "Parallel", "name": "p"}}
        there.apply({**flows, "kind": "Sequence", "metadata": {"name": "s"}, "spec": {"steps": steps, "reply": parallel}})
        data = {"hook": base64.b64encode(KEY).decode()}
        there.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kfn-webhooks"}, "data": data})
        sink = {"ref": {**flows, "kind": "Sequence", "name": "s"}}
        there.apply({"apiVersion": "kfn.dev/v1alpha1", "kind": "WebhookSource", "metadata": {"name": "hook"}, "spec": {"sink": sink}})
        for kind, name in (("parallel", "p"), ("sequence", "s"), ("webhooksource", "hook")):
            there.platform.ready(name, there.name, kind=kind)
        path = urlsplit(there.get("webhooksource", "hook")["status"]["address"]["url"]).path
        assert posted(there.platform, path, b"{}", "sha256=00") == 401
        sign = "sha256=" + hmac.new(KEY, b"{}", hashlib.sha256).hexdigest()
        assert posted(there.platform, path, b"{}", sign) == 202
        last = tailed(there, "dev.kfn.sources.webhook.push.a.b.a.b")
        assert last["source"].endswith("/b"), last
        there.kubectl("delete", "sequence,parallel", "--all", "--timeout=60s")
        until(lambda: not there.items("channels.messaging.knative.dev"), lambda: "the flows' channels stay", 60)


def posted(platform: Platform, path: str, body: bytes, sign: str) -> int:
    connection = http.client.HTTPConnection(*installing.address(platform, "kfn-broker-ingress", 80), timeout=60)
    try:
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "Content-Type": "application/json", "X-Hub-Signature-256": sign}
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
