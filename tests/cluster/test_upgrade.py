"""Upgrades and restarts of kfn's parts while functions are called: not one request may notice."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cluster import installing
from tests.cluster.load import Load
from tests.cluster.platform import Platform, a_service
from tests.cluster.shell import until
from tests.cluster.threads import beside

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PARTS = ("gateway", "controller", "autoscaler", "eventing", "nats")
# As the chart has it, not as tests shorten it: with less, a load balancer hears of a gateway's end too late.
DEFAULT = {"gateway.replicas": 2, "gateway.stopDelaySeconds": 10, "gateway.drainSeconds": 300}


@pytest.fixture(scope="module")
def called(platform: Platform) -> Iterator[Load]:
    """A function that always has an instance, and requests for it at the gateway's Service."""
    platform.upgrade(**DEFAULT)
    platform.apply(a_service("steady", platform.hello("here"), annotations={"autoscaling.knative.dev/min-scale": "1"}))
    try:
        platform.ready("steady")
        yield Load(platform.gateway, f"steady.default.{platform.domain}")
    finally:
        platform.delete("ksvc", "steady")
        platform.upgrade()


def pods(platform: Platform, part: str) -> set[str]:
    """The uids of a part's pods that are not on their way out."""
    labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={part}"
    found = json.loads(platform.kubectl("-n", platform.namespace, "get", "pods", "-l", labels, "-o", "json"))["items"]
    return {one["metadata"]["uid"] for one in found if "deletionTimestamp" not in one["metadata"]}


def restarted(platform: Platform, part: str) -> None:
    kind = "statefulset" if part == "nats" else "deployment"
    platform.kubectl("-n", platform.namespace, "rollout", "restart", f"{kind}/kfn-{part}")
    platform.kubectl("-n", platform.namespace, "rollout", "status", f"{kind}/kfn-{part}", "--timeout=180s", timeout=200)


def gone(platform: Platform, part: str, within: float = 90.0) -> None:
    """Until no pod of a part is on its way out: what is under way on it has an end, too."""
    labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={part}"

    def ended() -> bool:
        found = json.loads(platform.kubectl("-n", platform.namespace, "get", "pods", "-l", labels, "-o", "json"))["items"]
        return not any("deletionTimestamp" in one["metadata"] for one in found)

    until(ended, lambda: f"a pod of {part} has not ended after {within:g} s", within, 0.5)


class TestNoRequestIsDropped:
    def test_while_the_chart_is_upgraded_and_every_pod_is_replaced(self, platform: Platform, called: Load) -> None:
        before = {part: pods(platform, part) for part in PARTS}
        load = Load(called.address, called.host)
        with load.running():
            load.wait_for(50)
            platform.upgrade(**DEFAULT, **{"podAnnotations": {"example.net/upgrade": str(time.time())}, "config.stableWindow": 45})
            gone(platform, "gateway")
            load.wait_for(50)
        after = {part: pods(platform, part) for part in PARTS}
        assert not any(before[part] & after[part] for part in PARTS), "a part was not replaced, so nothing was shown"
        assert not load.failed, "\n".join(load.failed[:20])
        print(f"upgrade: {load.good} requests, none failed, the slowest took {load.slowest:.2f} s")

    @pytest.mark.parametrize("part", PARTS)
    def test_while_a_part_is_restarted(self, platform: Platform, called: Load, part: str) -> None:
        before = pods(platform, part)
        load = Load(called.address, called.host)
        with load.running():
            load.wait_for(30)
            restarted(platform, part)
            if part == "gateway":
                gone(platform, part)
            load.wait_for(30)
        assert not before & pods(platform, part)
        assert not load.failed, "\n".join(load.failed[:20])
        print(f"restart of {part}: {load.good} requests, none failed, the slowest took {load.slowest:.2f} s")

    def test_while_the_number_of_gateways_changes(self, platform: Platform, called: Load) -> None:
        load = Load(called.address, called.host)
        with load.running():
            load.wait_for(30)
            for replicas in (3, 1, 2):  # by helm: what another has scaled belongs to that one, and helm leaves it or complains
                platform.upgrade(**{**DEFAULT, "gateway.replicas": replicas})
            gone(platform, "gateway")
            load.wait_for(30)
        assert not load.failed, "\n".join(load.failed[:20])


class TestAnUpgrade:
    def test_keeps_secrets_certificates_and_what_api_servers_trust(self, platform: Platform, called: Load) -> None:
        def kept() -> list[object]:
            secrets = [platform.get("secret", name, platform.namespace)["data"] for name in ("kfn-tokens", "kfn-nats")]
            hooks = platform.get("mutatingwebhookconfiguration", "webhook.kfn.dev")["webhooks"]
            return [*secrets, [hook["clientConfig"].get("caBundle") for hook in hooks]]

        before = kept()
        platform.upgrade(**DEFAULT, **{"controller.replicas": 2})
        assert kept() == before


class TestWhatElseServes:
    def test_every_event_is_taken_while_eventing_is_restarted(self, platform: Platform, called: Load) -> None:
        """Each publisher tries once, on a connection of its own: a kept one may be closed at the end of the process, between two events."""
        platform.apply({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "steady"}})
        try:
            platform.ready("steady", kind="broker")
            event = {"ce-specversion": "1.0", "ce-type": "tested", "ce-source": "tests", "content-type": "text/plain"}
            load = Load(installing.address(platform, "kfn-broker-ingress", 80), "kfn-broker-ingress", clients=2, fresh=True)
            load.ask("POST", "/default/steady", event, identified="ce-id", wanted=202)
            with load.running():
                load.wait_for(20)
                restarted(platform, "eventing")
                gone(platform, "eventing")
                load.wait_for(20)
            assert not load.failed, "\n".join(load.failed[:20])
            print(f"restart of eventing: {load.good} events, all taken, the slowest took {load.slowest:.2f} s")
        finally:
            platform.delete("broker", "steady")

    def test_every_object_is_reviewed_while_the_controller_is_restarted(self, platform: Platform, called: Load) -> None:
        """failurePolicy is Fail: a webhook that is not there refuses whatever is written."""
        refused: list[str] = []
        over = threading.Event()
        service = json.dumps(a_service("reviewed", "registry.example/none:1"))

        def write() -> None:
            while not over.wait(0.1):
                kubectl = (installing.program("kubectl"), "create", "--dry-run=server", "-f", "-")
                run = platform.run(*kubectl, check=False, stdin=service)
                if run.returncode:
                    refused.append(run.stderr)

        platform.upgrade(**DEFAULT, **{"webhook.failurePolicy": "Fail"})
        with beside(over, write, within=60):
            restarted(platform, "controller")
            gone(platform, "controller")
        assert not refused, "\n".join(refused[:5])
