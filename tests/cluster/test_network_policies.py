"""The chart's NetworkPolicies where they are enforced: everything that kfn does still works, and nothing else gets through."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import installing, shell
from tests.cluster.enforce import Enforcing
from tests.cluster.layout import cluster_name
from tests.cluster.platform import Platform, a_service

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

CALLER = """
import json
import socket
import urllib.request

EVENT = {"ce-specversion": "1.0", "ce-type": "tested", "ce-source": "tests", "ce-id": "the-one", "content-type": "text/plain"}


def handle(request):
    asked = json.loads(request.body)
    if "publish" in asked:
        with urllib.request.urlopen(urllib.request.Request(asked["publish"], b"x", EVENT), timeout=20) as answer:
            return {"status": answer.status}
    return {name: tried(*where) for name, where in asked.items()}


def tried(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return "in"
    except OSError as error:
        return "out" if isinstance(error, TimeoutError) else str(error)
"""


@pytest.fixture(scope="module")
def enforced(platform: Platform) -> Iterator[Platform]:
    name = cluster_name()
    netns = f"kfn-{name}-1"  # the network namespace of its only node
    ours = f"/clusters/{name}/" in os.environ["KUBECONFIG"] and Path(f"/run/netns/{netns}").exists()
    nodes = json.loads(platform.kubectl("get", "nodes", "-o", "json"))["items"]
    if not ours or len(nodes) != 1:
        pytest.skip("it enforces policies in a test cluster of one node (make cluster-up); yours has to do that by itself")
    (node,) = (one["address"] for one in nodes[0]["status"]["addresses"] if one["type"] == "InternalIP")
    platform.upgrade(**{"networkPolicy.dns.cidrs": [f"{node}/32"]})  # where this cluster's DNS is: on the node
    with Enforcing(platform, netns).running():
        yield platform
    platform.upgrade()


class TestWhatIsNeeded:
    def test_parts_come_up_and_a_new_function_answers(self, enforced: Platform) -> None:
        enforced.kubectl("-n", enforced.namespace, "delete", "pods", "-l", "app.kubernetes.io/name=kfn", "--wait=false")
        installing.wait(enforced)
        helm = (installing.program("helm"), "test", installing.RELEASE, "-n", enforced.namespace, "--timeout", "4m", "--logs")
        run = enforced.run(*helm, check=False, timeout=280)
        assert run.returncode == 0, run.stdout + run.stderr

    def test_events_reach_their_function(self, enforced: Platform) -> None:
        ref = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "taker"}}
        source = "def handle(request):\n    print('took', request.headers['ce-id'], flush=True)\n    return ''\n"
        enforced.apply(a_service("taker", enforced.image(source, "taker"), annotations={"autoscaling.knative.dev/min-scale": "1"}))
        enforced.apply(a_service("asker", enforced.image(CALLER, "asker")))
        enforced.apply({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "guarded"}})
        trigger = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "guarded"}}
        enforced.apply({**trigger, "spec": {"broker": "guarded", "subscriber": ref}})
        try:
            enforced.ready("taker")
            enforced.ready("asker")
            enforced.ready("guarded", kind="trigger")
            to = enforced.get("broker", "guarded")["status"]["address"]["url"]
            answer = enforced.request(enforced.url("asker"), method="POST", body=json.dumps({"publish": to}).encode())
            assert json.loads(answer.body) == {"status": 202}
            shell.wait_for("the event at its function", lambda: "took the-one" in _log(enforced, "taker"), within=60)
        finally:
            for kind, name in (("trigger", "guarded"), ("broker", "guarded"), ("ksvc", "taker"), ("ksvc", "asker")):
                enforced.delete(kind, name)


class TestWhatIsNot:
    def test_a_strangers_pod_reaches_the_gateway_and_the_event_ingress_and_nothing_else(self, enforced: Platform) -> None:
        enforced.apply(a_service("stranger", enforced.image(CALLER, "asker")))
        try:
            enforced.ready("stranger")
            asked: dict[str, tuple[str, int]] = {
                "gateway": (_ip(enforced, "kfn-gateway-internal"), 80),
                "ingress": (_ip(enforced, "kfn-broker-ingress"), 80),
                "nats": (_ip(enforced, "kfn-nats"), 4222),
                "load": (_ip(enforced, "kfn-autoscaler"), 8080),
                "slots": (_ip(enforced, "kfn-autoscaler"), 7000),
            }
            for part, port in (("gateway", 8081), ("controller", 8081), ("autoscaler", 8081), ("eventing", 8081), ("nats", 8222)):
                asked[f"{part} admin"] = (_pod_ip(enforced, part), port)
            answer = enforced.request(enforced.url("stranger"), method="POST", body=json.dumps(asked).encode())
            assert json.loads(answer.body) == {name: "in" if name in ("gateway", "ingress") else "out" for name in asked}
        finally:
            enforced.delete("ksvc", "stranger")


def _ip(platform: Platform, service: str) -> str:
    return str(platform.get("service", service, platform.namespace)["spec"]["clusterIP"])


def _pod_ip(platform: Platform, part: str) -> str:
    labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={part}"
    return platform.kubectl("-n", platform.namespace, "get", "pods", "-l", labels, "-o", "jsonpath={.items[0].status.podIP}").strip()


def _log(platform: Platform, service: str) -> str:
    return platform.kubectl("-n", "default", "logs", "-l", f"serving.knative.dev/service={service}", "--tail=100", check=False)
