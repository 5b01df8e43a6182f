"""What kfn's parts may do on a real API server: enough for all that they do, and no more than the chart says."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import installing
from tests.cluster.platform import Platform, a_service
from tests.peers import helm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PARTS = ("gateway", "controller", "autoscaler", "eventing")
REFUSED = ("is forbidden", "forbidden:", '"code":403', "denied request")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def namespace(platform: Platform) -> Iterator[str]:
    """One in which only pods of the restricted standard run."""
    name = f"rights-{uuid.uuid4().hex[:6]}"
    platform.kubectl("create", "namespace", name)
    platform.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    platform.kubectl("delete", "namespace", name, "--wait=false")


def account(part: str, platform: Platform) -> str:
    return f"system:serviceaccount:{platform.namespace}:kfn-{part}"


def granted(platform: Platform, part: str, namespace: str) -> set[tuple[str, str]]:
    """Resource and verb, as the API server itself has it, without what everybody may."""

    def listed(*who: str) -> set[tuple[str, str]]:
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
        text = platform.kubectl(*who, "create", "--validate=false", "-o", "json", "-f", "-", stdin=json.dumps(review))
        found = set()
        for rule in json.loads(text)["status"]["resourceRules"]:
            for group in rule.get("apiGroups", []):
                for resource in rule.get("resources", []):
                    found |= {(f"{resource}.{group}".rstrip("."), verb) for verb in rule["verbs"]}
        return found

    everybody = listed("--as=system:serviceaccount:default:nobody")
    return listed(f"--as={account(part, platform)}") - everybody


def said(platform: Platform, part: str) -> set[tuple[str, str]]:
    """The same of the chart's roles."""
    manifest = platform.run(installing.program("helm"), "get", "manifest", installing.RELEASE, "-n", platform.namespace).stdout
    found = set()
    for one in helm.loaded(manifest):
        if one["kind"] in ("Role", "ClusterRole") and one["metadata"]["name"] == f"kfn-{part}":
            for rule in one["rules"]:
                found |= {(f"{res}.{rule['apiGroups'][0]}".rstrip("."), verb) for res in rule["resources"] for verb in rule["verbs"]}
    return found


class TestRights:
    @pytest.mark.parametrize("part", PARTS)
    def test_nobody_may_more_than_the_chart_says(self, platform: Platform, part: str) -> None:
        assert granted(platform, part, platform.namespace) == said(platform, part)

    def test_are_enough_for_a_functions_whole_life_and_for_events(self, platform: Platform, namespace: str) -> None:
        """The log of every part is read afterwards: a refusal is told there, whatever came of it."""
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
        service = a_service("worker", platform.hello("done"))
        service["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {
            "runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        platform.apply(service, namespace)
        url = platform.ready("worker", namespace)["status"]["url"]
        assert platform.request(url).text == "done"
        service["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "AGAIN", "value": "1"}]
        platform.apply(service, namespace)
        platform.ready("worker", namespace)
        assert platform.request(url).status == 200
        ref = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "worker"}}
        platform.apply({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "main"}}, namespace)
        trigger = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "to-worker"}}
        platform.apply({**trigger, "spec": {"broker": "main", "subscriber": ref}}, namespace)
        platform.ready("main", namespace, kind="broker")
        platform.ready("to-worker", namespace, kind="trigger")
        ping = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "tick"}}
        platform.apply({**ping, "spec": {"schedule": "0 0 1 1 *", "data": "x", "sink": ref}}, namespace)
        platform.ready("tick", namespace, kind="pingsource")
        for kind, name in (("pingsource", "tick"), ("trigger", "to-worker"), ("broker", "main"), ("ksvc", "worker")):
            platform.kubectl("-n", namespace, "delete", kind, name, "--timeout=60s", timeout=90)
        for part in PARTS:
            labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={part}"
            log = platform.kubectl("-n", platform.namespace, "logs", "-l", labels, f"--since-time={began}", "--tail=-1", "--prefix")
            assert not [line for line in log.splitlines() if any(word in line.lower() for word in REFUSED)], part


class TestWhatRbacCannotSay:
    def test_the_autoscaler_may_mark_a_pod_of_a_revision_and_change_nothing_else(self, platform: Platform, namespace: str) -> None:
        pod: Json = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fn", "labels": {"serving.knative.dev/revision": "x"}},
            "spec": {
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "c", "image": "none.example/none",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }  # fmt: skip
        platform.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(pod))
        cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}}
        assert not self.patched(platform, namespace, cost)
        for more in ({"metadata": {"labels": {"app": "other"}}}, {"spec": {"containers": [{"name": "c", "image": "evil.example/evil"}]}}):
            assert "may change nothing of a pod but" in self.patched(platform, namespace, more)

    def test_the_controller_may_not_touch_what_is_not_kfns(self, platform: Platform, namespace: str) -> None:
        who = f"--as={account('controller', platform)}"
        own = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mine"}, "spec": {"ports": [{"port": 80}]}}
        platform.apply(own, namespace)
        kubectl = (installing.program("kubectl"), "-n", namespace, who)
        for command in (("delete", "service", "mine"), ("create", "service", "clusterip", "other", "--tcp=80")):
            refused = platform.run(*kubectl, *command, check=False)
            assert "that belong to a Revision or a Route" in refused.stderr, command

    def patched(self, platform: Platform, namespace: str, patch: Json) -> str:
        """The API server's refusal of the autoscaler's patch; empty if it was taken. It is applied, for `kubectl patch` would ask for the
        pod first, which the autoscaler may not."""
        wanted = {"apiVersion": "v1", "kind": "Pod", **patch, "metadata": {"name": "fn", **patch.get("metadata", {})}}
        kubectl = (installing.program("kubectl"), "-n", namespace, f"--as={account('autoscaler', platform)}")
        run = platform.run(*kubectl, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(wanted), check=False)
        return run.stderr if run.returncode else ""


class TestHelmTest:
    def test_finds_every_part_well_and_a_new_function_that_answers(self, platform: Platform) -> None:
        run = platform.run(
            installing.program("helm"), "test", installing.RELEASE, "-n", platform.namespace, "--timeout", "4m", "--logs",
            check=False, timeout=280,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        assert "a new function answers" in run.stdout

    def test_all_of_it_runs_where_the_restricted_standard_is_enforced(self, platform: Platform) -> None:
        name = platform.namespace
        platform.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
        try:
            platform.upgrade(podAnnotations={"example.net/restricted": uuid.uuid4().hex[:6]})
        finally:
            platform.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce-")
