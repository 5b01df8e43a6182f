"""The cluster itself: what every other test on it takes for granted."""

import base64
import json
import urllib.request
from typing import Any

import pytest

from tests.cluster.kube import PATIENCE, Cluster, Namespace, a_pod, a_service
from tests.cluster.shell import wait_for
from tests.fakes.authority import Authority


def fetch(address: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/", timeout=5) as answer:
        return str(answer.read().decode().strip())


class TestPodsWork:
    def test_every_node_is_ready(self, cluster: Cluster) -> None:
        for node in cluster.get("nodes")["items"]:
            assert {"type": "Ready", "status": "True"}.items() <= next(
                one for one in node["status"]["conditions"] if one["type"] == "Ready"
            ).items()

    def test_a_pod_answers_under_its_address_that_of_its_service_and_its_name(self, namespace: Namespace, peer_image: str) -> None:
        """The image comes from the registry to which this machine has pushed it."""
        namespace.apply(a_pod("web", peer_image), a_pod("other", peer_image), a_service("web"))
        pod = namespace.is_ready("web")
        namespace.is_ready("other")
        service = namespace.get("service", "web")["spec"]["clusterIP"]
        wait_for("the pod", lambda: fetch(f"{pod['status']['podIP']}:8080") == "web", PATIENCE)
        wait_for("the Service", lambda: fetch(service) == "web", PATIENCE)
        for name in ("web", f"web.{namespace.name}", f"web.{namespace.name}.svc.cluster.local"):
            asked = ("exec", "other", "--", "/peer", "get", f"http://{name}/")
            wait_for(name, lambda asked=asked: namespace.run(*asked).stdout == "web\n", PATIENCE)

    def test_what_a_pod_prints_can_be_read(self, namespace: Namespace, peer_image: str) -> None:
        namespace.apply(a_pod("web", peer_image))
        namespace.is_ready("web")
        assert namespace.run("logs", "web").stdout == "serving on 8080\n"

    def test_pods_of_all_nodes_reach_each_other(self, cluster: Cluster, namespace: Namespace, peer_image: str) -> None:
        nodes = cluster.nodes()
        if len(nodes) < 2:
            pytest.skip("the cluster has one node: python -m tests.cluster up --nodes 2")
        pods = {f"on-{index}": node for index, node in enumerate(nodes)}
        namespace.apply(*(a_pod(pod, peer_image, node=node) for pod, node in pods.items()))
        found = {pod: namespace.is_ready(pod)["status"]["podIP"] for pod in pods}
        for asking in found:
            for pod, address in found.items():
                assert namespace.run("exec", asking, "--", "/peer", "get", f"http://{address}:8080/").stdout == f"{pod}\n"

    def test_a_claim_gets_a_volume(self, namespace: Namespace, peer_image: str) -> None:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        mount = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
        namespace.apply(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
            a_pod("web", peer_image, **mount),
        )
        namespace.is_ready("web")
        assert namespace.get("pvc", "data")["status"]["phase"] == "Bound"


class TestTheApiServerRefuses:
    def test_more_pods_than_a_quota_allows(self, namespace: Namespace, peer_image: str) -> None:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
        namespace.apply(quota)
        wait_for("the quota", lambda: "hard" in namespace.get("resourcequota", "few")["status"], PATIENCE)
        assert "exceeded quota: few" in namespace.refused(a_pod("web", peer_image))

    def test_a_pod_that_is_not_restricted_where_that_is_asked_for(self, cluster: Cluster, namespace: Namespace, peer_image: str) -> None:
        cluster.run("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
        assert "violates PodSecurity" in namespace.refused(a_pod("web", peer_image, hostNetwork=True))
        namespace.apply(a_pod("web", peer_image))

    def test_what_a_webhook_in_a_pod_refuses(self, namespace: Namespace, peer_image: str) -> None:
        authority = Authority()
        served = authority.issue(f"refuser.{namespace.name}.svc")
        files = {name: base64.b64encode(data).decode() for name, data in (("tls.crt", served.cert), ("tls.key", served.key))}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "data": files}
        pod = a_pod("refuser", peer_image, "refuse", "not today", volumes=[{"name": "tls", "secret": {"secretName": "tls"}}])
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "tls", "mountPath": "/tls", "readOnly": True}]
        namespace.apply(secret, pod, a_service("refuser", port=443, target=8443))
        namespace.is_ready("refuser")
        hook = _webhook(namespace.name, authority.pem)
        namespace.apply(hook)
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wanted"}}
        try:
            command = ("create", "--dry-run=server", "--filename", "-")
            wait_for("the webhook", lambda: "not today" in namespace.run(*command, stdin=json.dumps(config), check=False).stderr, PATIENCE)
        finally:
            namespace.run("delete", "validatingwebhookconfiguration", hook["metadata"]["name"])


def _webhook(namespace: str, ca: bytes) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    webhook = {
        "name": "refuser.kfn.test",
        "rules": [rule],
        "clientConfig": {"service": {"name": "refuser", "namespace": namespace}, "caBundle": base64.b64encode(ca).decode()},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": namespace}, "webhooks": [webhook]}
