"""The admission webhook as the chart installs it: two replicas behind a Service, with certificates of their own.

What is refused, and in which words, is in `test_api.py`, which needs an API server only.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.cluster import installing
from tests.cluster.platform import Platform, a_service
from tests.cluster.threads import beside

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
CONTROLLER = "deployment/kfn-controller"


@dataclass
class Writer:
    """Changes one object as fast as it can until told to stop."""

    platform: Platform
    name: str
    written: int = 0
    failed: str = ""

    def run(self, stop: threading.Event) -> None:
        broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": self.name}, "spec": {}}
        broker["metadata"]["annotations"] = {"eventing.knative.dev/broker.class": "nobodys"}  # so that nobody acts on it
        while not stop.is_set() and not self.failed:
            broker["metadata"]["labels"] = {"n": str(self.written)}
            done = self.platform.run(installing.program("kubectl"), "apply", "-f", "-", stdin=json.dumps(broker), check=False)
            if done.returncode:
                self.failed = done.stderr
            self.written += 1


@pytest.fixture
def two(platform: Platform) -> Iterator[Platform]:
    platform.upgrade(**{"controller.replicas": 2})
    yield platform
    platform.upgrade()


class TestTwoReplicas:
    def test_are_replaced_without_a_write_that_fails(self, two: Platform) -> None:
        stop, writer = threading.Event(), Writer(two, "busy")
        try:
            with beside(stop, partial(writer.run, stop)):
                two.kubectl("-n", two.namespace, "rollout", "restart", CONTROLLER)
                two.kubectl("-n", two.namespace, "rollout", "status", CONTROLLER, "--timeout=240s", timeout=250)
        finally:
            two.delete("broker", "busy")
        assert not writer.failed
        assert writer.written > 3

    def test_show_one_certificate(self, two: Platform) -> None:
        told = {
            two.kubectl("get", kind, "webhook.kfn.dev", "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
            for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
        }
        secret = two.kubectl("-n", two.namespace, "get", "secret", "kfn-webhook-certs", "-o", "jsonpath={.data.ca\\.crt}")
        assert told == {secret}


class TestWhileNobodyServes:
    def test_functions_answer_and_all_but_kfns_kinds_can_be_written(self, platform: Platform) -> None:
        platform.apply(a_service("served", platform.hello("still here"), annotations={"autoscaling.knative.dev/min-scale": "1"}))
        url = platform.ready("served")["status"]["url"]
        platform.kubectl("-n", platform.namespace, "scale", CONTROLLER, "--replicas=0")
        platform.kubectl("-n", platform.namespace, "wait", "pod", "--for=delete", "-l", "app.kubernetes.io/component=controller")
        try:
            refused = platform.run(
                installing.program("kubectl"), "create", "-f", "-", stdin=json.dumps(a_service("meanwhile", "a")), check=False
            )
            assert refused.returncode and 'failed calling webhook "default.webhook.kfn.dev"' in refused.stderr
            assert platform.request(url).text == "still here"
            platform.kubectl("create", "configmap", "meanwhile")
            platform.delete("configmap", "meanwhile")
            platform.delete("ksvc", "served")
        finally:
            platform.kubectl("-n", platform.namespace, "scale", CONTROLLER, "--replicas=1")
            platform.kubectl("-n", platform.namespace, "rollout", "status", CONTROLLER, "--timeout=240s", timeout=250)
        platform.apply(a_service("after", platform.hello("back again")))
        try:
            assert platform.request(platform.ready("after")["status"]["url"]).text == "back again"
        finally:
            platform.delete("ksvc", "after")
