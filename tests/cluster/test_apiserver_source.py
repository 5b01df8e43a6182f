"""Changes of objects as events, and a Job for an event, on a real cluster: with the rights of a user's service account and no more."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import installing
from tests.cluster.installing import NAMESPACE
from tests.cluster.platform import Platform
from tests.cluster.shell import until
from tests.cluster.spaces import Space, space

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

WITHIN = 180.0  # seconds for a pod of kfn's own image, which a free machine has ready in three
BROKER = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}}
HANDLER = "def handle(context):\n    return 'hi'\n"
WORK = "import json, os; print('worked on', json.load(open(os.environ['K_EVENT_PATH'] + '/event'))['id'], os.environ['K_EXECUTION_MODE'])"


@pytest.fixture
def there(platform: Platform) -> Iterator[Space]:
    with space(platform) as made:
        yield made


def granted(there: Space, role: str) -> None:
    """As the chart's values do."""
    name = f"{role}-{there.name}"
    there.platform.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "kfn-eventing", "namespace": NAMESPACE}],
        }
    )


def taken(there: Space, role: str) -> None:
    there.platform.kubectl("delete", "clusterrolebinding", f"{role}-{there.name}", "--ignore-not-found")


def source(there: Space, name: str, account: str) -> None:
    there.apply(
        {
            "apiVersion": "sources.knative.dev/v1",
            "kind": "ApiServerSource",
            "metadata": {"name": name},
            "spec": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "serviceAccountName": account, "sink": BROKER},
        }
    )


def told(there: Space, name: str, verb: str) -> dict[str, Any]:
    """The event of that change, whenever it comes."""
    tail = ("events", "tail", "--filter", f"name={name}", "--filter", f"type=dev.knative.apiserver.ref.{verb}", "--since", "10m")
    found: dict[str, Any] = json.loads(there.platform.kfn(*tail, "--count", "1", "-n", there.name).stdout)
    return found


class TestAnApiServerSource:
    def test_it_watches_with_the_rights_of_its_service_account_and_says_which_are_missing(self, there: Space) -> None:
        there.platform.kfn("broker", "create", "default", "-n", there.name)
        source(there, "blind", "default")
        kind = "apiserversource"
        there.says("blind", "Unknown", "Forbidden", "eventing.apiServerSources.enabled=true", kind=kind)
        granted(there, "kfn-eventing-apiservers")
        try:
            may_not = there.says("blind", "False", "Forbidden", "get, list, watch configmaps", kind=kind, within=WITHIN)
            assert not there.items("deployments"), "nothing runs without the rights"
            for command in may_not.message.split("for example: ")[1].split(" && "):
                there.kubectl(*command.split()[1:])
            there.says("blind", "True", "", "", kind=kind, within=WITHIN)
            [pod] = there.items("pods", "app.kubernetes.io/component=apiserver-adapter")
            assert pod["spec"]["serviceAccountName"] == "default"
            there.kubectl("create", "configmap", "one")
            event = told(there, "one", "add")
            assert (event["namespace"], event["kind"], event["data"]["name"]) == (there.name, "ConfigMap", "one")
            there.kubectl("delete", "configmap", "one")
            assert told(there, "one", "delete")["subject"] == f"/apis/v1/namespaces/{there.name}/configmaps/one"
            there.kubectl("delete", kind, "blind")
            until(lambda: not there.items("deployments"), lambda: "the Deployment stays behind its source", WITHIN)
        finally:
            taken(there, "kfn-eventing-apiservers")


class TestAJobSink:
    def test_an_event_that_is_sent_twice_runs_one_job(self, there: Space) -> None:
        container = {"name": "work", "image": there.platform.image(HANDLER, "worker-image"), "command": ["python3", "-c", WORK]}
        job = {"spec": {"backoffLimit": 0, "template": {"spec": {"containers": [container]}}}}
        body = {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "metadata": {"name": "work"}, "spec": {"job": job}}
        there.apply(body)
        there.says("work", "False", "Forbidden", "eventing.jobSinks.enabled=true", kind="jobsink")
        granted(there, "kfn-eventing-jobs")
        try:
            there.says("work", "True", "", "", kind="jobsink", within=WITHIN)
            as_eventing = f"--as=system:serviceaccount:{NAMESPACE}:kfn-eventing"
            until(
                lambda: "may make Jobs only that belong to a JobSink" in there.tries("create", "job", "any", "--image=any", as_eventing),
                lambda: f"eventing makes any Job: {there.items('jobs')}",
            )
            assert "no Secrets but Opaque" in there.tries("create", "secret", "generic", "any", "--type=other", as_eventing)
            path = f"/jobsinks/{there.name}/work"
            assert there.get("jobsink", "work")["status"]["address"]["url"].endswith(path)
            answers = [_post(there.platform, path, "one") for _ in range(2)]
            assert [status for status, _ in answers] == [202, 202] and answers[0] == answers[1]
            until(lambda: _get(there.platform, answers[0][1]) != 202, lambda: f"the Job runs on: {there.items('pods')}", WITHIN)
            [done] = there.items("jobs")
            assert _get(there.platform, answers[0][1]) == 200, there.tries("describe", "pods")
            assert there.kubectl("logs", f"job/{done['metadata']['name']}").strip() == "worked on one batch"
            there.kubectl("delete", "job", done["metadata"]["name"])
            labels = "sinks.knative.dev/job-sink-name=work"
            until(lambda: not there.items("secrets", labels), lambda: "the Secret stays behind its Job", WITHIN)
        finally:
            taken(there, "kfn-eventing-jobs")


def _post(platform: Platform, path: str, id: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*installing.address(platform, "kfn-broker-ingress", 80), timeout=60)
    headers = {"ce-specversion": "1.0", "ce-id": id, "ce-source": "/t", "ce-type": "t", "content-type": "application/json"}
    try:
        connection.request("POST", path, b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("location", "")
    finally:
        connection.close()


def _get(platform: Platform, path: str) -> int:
    connection = http.client.HTTPConnection(*installing.address(platform, "kfn-broker-ingress", 80), timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
