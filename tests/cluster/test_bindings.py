"""SinkBindings and ContainerSources on a real API server: Jobs and Deployments know their sink, and kfn's rights end there."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import installing
from tests.cluster.platform import Platform
from tests.cluster.test_kn import using
from tests.cluster.test_rights import account
from tests.peers import kn_sessions, knative

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

Json = dict[str, Any]
BROKER = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "main"}}
KN = knative.found("kn")


@pytest.fixture(scope="module")
def bound(platform: Platform) -> Iterator[Platform]:
    """The platform with the rights that this takes; the chart does not give them by itself."""
    platform.upgrade(**{"eventing.bindings.enabled": True, "eventing.containerSources.enabled": True})
    yield platform
    platform.upgrade()


@pytest.fixture(scope="module")
def namespace(bound: Platform) -> Iterator[str]:
    name = f"bind-{uuid.uuid4().hex[:6]}"
    bound.kubectl("create", "namespace", name)
    bound.apply({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "main"}}, name)
    bound.ready("main", name, kind="broker")
    yield name
    bound.kubectl("delete", "namespace", name, "--wait=false")


def source(kind: str, name: str, **spec: Any) -> Json:
    return {"apiVersion": "sources.knative.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": {"sink": BROKER, **spec}}


def template(image: str, **pod: Any) -> Json:
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": image}], **pod}}


def deployment(name: str, image: str) -> Json:
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template(image)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name: str, image: str) -> Json:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"role": "x"}}, "spec": {
        "suspend": True, "template": template(image, restartPolicy="Never"),
    }}  # fmt: skip


def env(obj: Json) -> dict[str, str]:
    spec = obj["spec"].get("template", obj)["spec"]
    return {one["name"]: one.get("value", "") for one in spec["containers"][0].get("env", [])}


def has(platform: Platform, namespace: str, kind: str, name: str, wanted: bool) -> None:
    end = time.monotonic() + 90
    while ("K_SINK" in env(platform.get(kind, name, namespace))) != wanted:
        assert time.monotonic() < end, platform.get(kind, name, namespace)
        time.sleep(0.2)  # noqa: TID251 - no event loop here


class TestSinkBinding:
    def test_a_deployment_gets_its_sink_and_loses_it_with_the_binding(self, bound: Platform, namespace: str) -> None:
        bound.apply(deployment("old", bound.hello()), namespace)
        subject = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"}
        bound.apply(source("SinkBinding", "old", subject=subject, ceOverrides={"extensions": {"team": "a"}}), namespace)
        bound.ready("old", namespace, kind="sinkbinding")
        seen = env(bound.get("deployment", "old", namespace))
        assert seen["K_SINK"].endswith(f"/{namespace}/main")
        assert json.loads(seen["K_CE_OVERRIDES"]) == {"extensions": {"team": "a"}}
        bound.kubectl("-n", namespace, "delete", "sinkbinding", "old", "--timeout=60s")
        assert "K_SINK" not in env(bound.get("deployment", "old", namespace))

    def test_a_job_and_a_deployment_that_come_later_have_it_from_the_start(self, bound: Platform, namespace: str) -> None:
        by_label = {"apiVersion": "batch/v1", "kind": "Job", "selector": {"matchLabels": {"role": "x"}}}
        bound.apply(source("SinkBinding", "jobs", subject=by_label), namespace)
        bound.apply(source("SinkBinding", "new", subject={"apiVersion": "apps/v1", "kind": "Deployment", "name": "new"}), namespace)
        bound.ready("jobs", namespace, kind="sinkbinding")
        end = time.monotonic() + 60
        while not {"jobs", "deployments"} <= {one["resources"][0] for one in self.rules(bound)}:
            assert time.monotonic() < end, self.rules(bound)
            time.sleep(0.2)  # noqa: TID251 - no event loop here
        for body in (job("j", bound.hello()), deployment("new", bound.hello())):
            made = json.loads(bound.kubectl("-n", namespace, "create", "-o", "json", "-f", "-", stdin=json.dumps(body)))
            assert env(made)["K_SINK"].endswith(f"/{namespace}/main"), "in the answer to its creation"
        bound.kubectl("-n", namespace, "patch", "job", "j", "--type=merge", "-p", '{"metadata":{"annotations":{"a":"b"}}}')
        bound.ready("new", namespace, kind="sinkbinding")
        left_alone = job("k", bound.hello())
        left_alone["metadata"]["labels"]["bindings.knative.dev/exclude"] = "true"
        bound.apply(left_alone, namespace)
        assert "K_SINK" not in env(bound.get("job", "k", namespace))

    @staticmethod
    def rules(platform: Platform) -> list[Json]:
        found = json.loads(platform.kubectl("get", "mutatingwebhookconfiguration", "bindings.webhook.kfn.dev", "-o", "json"))
        rules: list[Json] = found["webhooks"][0].get("rules", [])
        return rules


class TestContainerSource:
    def test_its_pod_runs_and_knows_its_sink_and_goes_with_it(self, bound: Platform, namespace: str) -> None:
        bound.apply(source("ContainerSource", "c", template=template(bound.hello())), namespace)
        bound.ready("c", namespace, kind="containersource")
        labels = "sources.knative.dev/containerSource=c"
        (pod,) = json.loads(bound.kubectl("-n", namespace, "get", "pods", "-l", labels, "-o", "json"))["items"]
        assert env(pod)["K_SINK"].endswith(f"/{namespace}/main")
        changed = template(bound.hello())
        changed["spec"]["containers"][0]["env"] = [{"name": "AGAIN", "value": "1"}]
        bound.apply(source("ContainerSource", "c", template=changed), namespace)
        end = time.monotonic() + 60
        while "AGAIN" not in env(bound.get("deployment", "c-deployment", namespace)):
            assert time.monotonic() < end
            time.sleep(0.2)  # noqa: TID251 - no event loop here
        bound.kubectl("-n", namespace, "delete", "containersource", "c", "--cascade=foreground", "--timeout=90s")
        assert "c-deployment" not in bound.kubectl("-n", namespace, "get", "deployments", "-o", "name")


class TestRights:
    def test_eventing_may_do_what_this_takes_and_no_more(self, bound: Platform, namespace: str) -> None:
        for verb, what, may in (
            ("patch", "deployments.apps", True), ("list", "jobs.batch", True), ("create", "deployments.apps", True),
            ("watch", "deployments.apps", False), ("delete", "deployments.apps", False), ("create", "jobs.batch", False),
            ("create", "pods", False), ("get", "secrets", False), ("update", "services.serving.knative.dev", False),
        ):  # fmt: skip
            answer = bound.kubectl("-n", namespace, "auth", "can-i", verb, what, f"--as={account('eventing', bound)}", check=False)
            assert answer.strip() == ("yes" if may else "no"), f"{verb} {what}"

    def test_of_a_workload_it_may_change_the_three_variables_only(self, bound: Platform, namespace: str) -> None:
        bound.apply(deployment("mine", bound.hello()), namespace)

        def patched(**container: Any) -> str:
            body = {"spec": {"template": {"spec": {"containers": [{"name": "c", **container}]}}}}
            who = f"--as={account('eventing', bound)}"
            done = bound.run(
                installing.program("kubectl"), "-n", namespace, who, "patch", "deployment", "mine", "-p", json.dumps(body), check=False
            )
            return done.stderr

        assert not patched(env=[{"name": "K_SINK", "value": "http://x"}])
        assert "may change nothing of containers but" in patched(image="evil.example/evil")
        assert "may change nothing of containers but" in patched(env=[{"name": "LD_PRELOAD", "value": "/x"}])
        made = json.dumps(deployment("evil", "evil.example/evil"))
        who = f"--as={account('eventing', bound)}"
        refused = bound.run(installing.program("kubectl"), "-n", namespace, who, "create", "-f", "-", check=False, stdin=made).stderr
        assert "may make workloads only that belong to a source" in refused


@pytest.mark.skipif(
    not KN, reason="kn, Knative's client, is neither on the PATH nor in kfn/tools/kn-VERSION/: python -m tests.cluster tools kn"
)
async def test_kn_binds_and_runs_them(bound: Platform, tmp_path: Path) -> None:
    image = bound.image(kn_sessions.SOURCE, "kn-session")
    async with using(bound, tmp_path, "kn-binding") as kn:
        await kn_sessions.bindings(kn, image)
