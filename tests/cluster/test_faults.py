"""That harm can be done to a test cluster, and passes."""

import pytest

from tests.cluster import api, faults
from tests.cluster.kube import PATIENCE, Cluster, Namespace, a_pod
from tests.cluster.layout import Layout
from tests.cluster.shell import wait_for


class TestHarm:
    @pytest.mark.parametrize("name", ["kube-apiserver", "etcd"])
    def test_what_holds_the_state_may_die_and_nothing_is_lost(self, own_cluster: Layout, namespace: Namespace, name: str) -> None:
        namespace.run("create", "configmap", "kept", "--from-literal=a=b")
        with faults.without(own_cluster, name):
            assert namespace.run("get", "configmap", "kept", "--request-timeout=2s", check=False).returncode
        wait_for("the API server", lambda: namespace.get("configmap", "kept")["data"] == {"a": "b"}, PATIENCE)

    def test_pods_outlive_their_kubelet_and_their_containerd(self, own_cluster: Layout, namespace: Namespace, peer_image: str) -> None:
        namespace.apply(a_pod("web", peer_image))
        before = namespace.is_ready("web")["status"]["containerStatuses"][0]["containerID"]
        with faults.without(own_cluster, "kubelet"), faults.without(own_cluster, "containerd"):
            pass
        wait_for("the node", lambda: _ready(own_cluster), PATIENCE)
        assert namespace.is_ready("web")["status"]["containerStatuses"][0]["containerID"] == before

    def test_a_frozen_api_server_answers_nobody_and_then_everybody(self, own_cluster: Layout, cluster: Cluster) -> None:
        with faults.frozen(own_cluster, "kube-apiserver"):
            assert cluster.run("get", "nodes", "--request-timeout=1s", check=False).returncode
        wait_for("the API server", lambda: cluster.nodes(), PATIENCE)


class TestNodes:
    def test_a_cordoned_node_takes_no_pod(self, own_cluster: Layout, cluster: Cluster) -> None:
        node = own_cluster.node(1)
        with faults.cordoned(own_cluster, node):
            assert cluster.get("node", node.name)["spec"]["unschedulable"]
        assert "unschedulable" not in cluster.get("node", node.name)["spec"]

    def test_a_node_can_be_given_devices(self, own_cluster: Layout, namespace: Namespace, peer_image: str) -> None:
        wants = {"limits": {"nvidia.com/gpu": "1"}}
        pods = [a_pod(name, peer_image) for name in ("first", "second")]
        for pod in pods:
            pod["spec"]["containers"][0]["resources"] = wants
        with faults.devices(own_cluster, own_cluster.node(1), 1):
            namespace.apply(pods[0])
            wait_for("its place", lambda: namespace.get("pod", "first")["spec"].get("nodeName"), PATIENCE)
            namespace.apply(pods[1])
            wait_for("the refusal", lambda: "Insufficient nvidia.com/gpu" in namespace.run("describe", "pod", "second").stdout, PATIENCE)
            namespace.run("delete", "pod", "--all", "--force")


def _ready(cluster: Layout) -> bool:
    with api.client(cluster) as client:
        return api.is_ready(api.get(client, f"/api/v1/nodes/{cluster.node(1).name}"))
