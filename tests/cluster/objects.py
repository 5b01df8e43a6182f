"""What a test cluster has in it from the start: its DNS Service and CoreDNS' rights, and a default StorageClass. Decides only."""

from typing import Any

from tests.cluster.configs import DNS_PORT
from tests.cluster.layout import Layout


def initial(cluster: Layout) -> list[dict[str, Any]]:
    return [*_dns(cluster), *_rights(), _storage()]


def _dns(cluster: Layout) -> list[dict[str, Any]]:
    """CoreDNS is a process of node 1, so the Service has no selector and its endpoints are written here."""
    ports = [{"name": f"dns{suffix}", "port": DNS_PORT, "protocol": protocol} for suffix, protocol in (("", "UDP"), ("-tcp", "TCP"))]
    name = {"name": "kube-dns", "namespace": "kube-system"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**name, "labels": {"k8s-app": "kube-dns"}},
        "spec": {"clusterIP": cluster.dns_service, "ports": ports},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**name, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [cluster.node(1).ip], "conditions": {"ready": True}}],
    }
    return [service, slice_]


def _rights() -> list[dict[str, Any]]:
    name = {"name": "kfn-test:coredns"}
    watch = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": watch},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", **name},
            "subjects": [{"kind": "User", "apiGroup": group, "name": "system:coredns"}],
        },
    ]


def _storage() -> dict[str, Any]:
    """The controller manager's own provisioner: folders that all nodes of the cluster share."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/host-path",
        "reclaimPolicy": "Delete",
    }
