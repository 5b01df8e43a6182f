"""kfn with two of each part, functions, a Broker and a steady load on them, for tests that break parts one after the other.

What is broken is in test_survival.py; the load and its account are `burden`'s.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import installing
from tests.cluster.burden import Address, Burden
from tests.cluster.functions import WORKER
from tests.cluster.installing import NAMESPACE
from tests.cluster.layout import Layout
from tests.cluster.platform import Platform, a_service
from tests.cluster.shell import Failed, wait_for

RECORDER = """
import uuid
boot, seen = str(uuid.uuid4()), {}

async def handle(request):
    identity = request.headers.get("ce-id")
    if identity is None:
        return {"boot": boot, "seen": seen}
    seen[identity] = seen.get(identity, 0) + 1
"""
TWO = {f"{part}.replicas": 2 for part in ("gateway", "controller", "autoscaler", "eventing")}
WITHIN = 180.0  # seconds for what takes one to twenty on a free machine
REF = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "recorder"}}
EVENTING = "eventing.knative.dev/v1"


@dataclass
class Stage:
    platform: Platform
    cluster: Layout
    burden: Burden
    rows: list[list[str]] = field(default_factory=list)
    number: int = 0

    def pods(self, part: str) -> dict[str, dict[str, Any]]:
        return of_part(self.platform, part)

    def leader(self, part: str) -> str:
        return str(self.platform.get("lease", f"kfn-{part}", NAMESPACE)["spec"]["holderIdentity"])

    def serving(self) -> set[str]:
        """The pods of the function that always has one."""
        labels = "serving.knative.dev/service=steady"
        found = json.loads(self.platform.kubectl("get", "pods", "-l", labels, "-o", "json"))["items"]
        return {pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def recorded(self) -> dict[str, int]:
        """How often each event was delivered."""
        said = self.platform.request(f"recorder.default.{self.platform.domain}", timeout=30)
        assert said.status == 200, said
        told = json.loads(said.body)
        known = self.__dict__.setdefault("boot", told["boot"])
        assert told["boot"] == known, "the recorder was started anew: what it had counted is gone, which says nothing about kfn"
        seen: dict[str, int] = told["seen"]
        return seen

    def recovered(self, since: float) -> dict[str, float]:
        """Seconds from `since` until each thing works as before."""
        took: dict[str, float] = {}

        def until(what: str, holds: Callable[[], object], every: float = 0.2) -> None:
            wait_for(what, holds, WITHIN, every)
            took[what] = time.monotonic() - since

        self.number += 1
        name = f"new-{self.number}"
        manifest = a_service(name, self.platform.image(WORKER, "worker"), annotations={"autoscaling.knative.dev/initial-scale": "0"})
        until("create", lambda: self._applied(manifest))
        until("ready", lambda: self.platform.ready(name, within=2))
        until("wake", lambda: self.platform.request(f"{name}.default.{self.platform.domain}", timeout=60).status == 200)
        until("deliver", self._delivers)
        until("parts", lambda: not any(map(installing._late, installing._items(self.platform, "deployments,statefulsets"))), 0.5)
        self.platform.delete("ksvc", name)
        return took

    def _applied(self, manifest: dict[str, Any]) -> bool:
        return bool(self.platform.kubectl("apply", "--request-timeout=10s", "-f", "-", stdin=json.dumps(manifest), timeout=30))

    def _delivers(self) -> bool:
        """Everything accepted by now, with some that was accepted since the fault."""
        before = len(self.burden.accepted)
        wait_for("five more events", lambda: len(self.burden.accepted) >= before + 5, 60)
        wanted = set(self.burden.accepted)

        def arrived() -> bool:
            missing = wanted - set(self.recorded())
            if missing:
                raise Failed(f"{len(missing)} accepted events were not delivered: {sorted(missing)[:20]}")
            return True

        wait_for("every accepted event", arrived, WITHIN, 0.5)
        return True


def of_part(platform: Platform, part: str) -> dict[str, dict[str, Any]]:
    """The pods of one of kfn's parts that are not on their way out, by name."""
    labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={part}"
    found = json.loads(platform.kubectl("-n", NAMESPACE, "get", "pods", "-l", labels, "-o", "json"))["items"]
    return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


@contextmanager
def ready(platform: Platform, cluster: Layout) -> Iterator[Stage]:
    platform.upgrade(**TWO)
    try:
        for name, image, container, notes in (
            ("steady", platform.image(WORKER, "worker"), 0, {"min-scale": "1"}),
            ("waves", platform.image(WORKER, "worker"), 1, {"window": "6s"}),
            ("recorder", platform.image(RECORDER, "recorder"), 0, {"min-scale": "1", "max-scale": "1"}),
        ):
            service = a_service(name, image, annotations={f"autoscaling.knative.dev/{key}": value for key, value in notes.items()})
            service["spec"]["template"]["spec"]["containerConcurrency"] = container
            platform.apply(service)
        platform.apply({"apiVersion": EVENTING, "kind": "Broker", "metadata": {"name": "counted"}})
        trigger = {"apiVersion": EVENTING, "kind": "Trigger", "metadata": {"name": "counts"}}
        platform.apply({**trigger, "spec": {"broker": "counted", "subscriber": REF}})
        for kind, name in (("ksvc", "steady"), ("ksvc", "waves"), ("ksvc", "recorder"), ("broker", "counted"), ("trigger", "counts")):
            platform.ready(name, kind=kind)
        gateways = {name: (str(pod["status"]["podIP"]), 8080) for name, pod in of_part(platform, "gateway").items()}
        ingress: Address = installing.address(platform, "kfn-broker-ingress", 80)
        hosts = [f"{name}.default.{platform.domain}" for name in ("steady", "waves")]
        burden = Burden(hosts[0], hosts[1], platform.gateway, gateways, ingress, "/default/counted")
        with burden.running():
            burden.wait_for(50)
            yield Stage(platform, cluster, burden)
    finally:
        for kind, name in (("trigger", "counts"), ("broker", "counted"), ("ksvc", "steady"), ("ksvc", "waves"), ("ksvc", "recorder")):
            platform.delete(kind, name)
        platform.upgrade()
