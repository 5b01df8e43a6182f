"""What the controller of Builds may do, and what a build's pod may reach: the objects of `deploy/builder`. Pure.

`python -m builder.cluster.access` prints them as YAML; a test holds the files to what is written here. A NetworkPolicy knows addresses and
ports, no names: hosts must be told apart outside, by an egress gateway or the registry's own rules.
"""

from collections.abc import Sequence

from builder.cluster.manifest import COMPONENT
from kfn.api.base import Json
from kfn.api.build import GROUP
from kfn.api.names import SYSTEM_NAMESPACE

CONTROLLER = "kfn-builds"
POLICY = "kfn-build"
METADATA = ("169.254.0.0/16", "fd00:ec2::254/128")  # where clouds answer with credentials, and node-local services
WEB = 443  # registries, package indexes, git over https
SSH = 22  # git over ssh
REGISTRY = 5000  # of registries inside the cluster


def role() -> Json:
    """Read Builds and write their status; make, watch and delete Jobs; read pods and their logs. No Secrets, no pods of its own."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": CONTROLLER, "labels": _LABELS},
        "rules": [
            _rule(GROUP, "builds", "get", "list", "watch", "delete"),
            _rule(GROUP, "builds/status", "get", "update"),
            _rule("batch", "jobs", "get", "list", "watch", "create", "delete"),
            _rule("", "pods", "get", "list", "watch"),
            _rule("", "pods/log", "get"),
        ],
    }


def lease_role() -> Json:
    """In the controller's own namespace: the Lease by which one of several acts. `create` cannot be bound to a name."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": CONTROLLER, "namespace": SYSTEM_NAMESPACE, "labels": _LABELS},
        "rules": [
            _rule("coordination.k8s.io", "leases", "create"),
            {**_rule("coordination.k8s.io", "leases", "get", "update"), "resourceNames": [CONTROLLER]},
        ],
    }


def account() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": CONTROLLER, "namespace": SYSTEM_NAMESPACE, "labels": _LABELS},
        "automountServiceAccountToken": False,  # its own pod asks for the token
    }


def bindings() -> tuple[Json, Json]:
    subject = {"kind": "ServiceAccount", "name": CONTROLLER, "namespace": SYSTEM_NAMESPACE}
    group = "rbac.authorization.k8s.io"
    meta = {"name": CONTROLLER, "labels": _LABELS}
    return (
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": CONTROLLER},
            "subjects": [subject],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {**meta, "namespace": SYSTEM_NAMESPACE},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": CONTROLLER},
            "subjects": [subject],
        },
    )


def network_policy(namespace: str = "", refused: Sequence[str] = ()) -> Json:
    """For each namespace in which builds run: nothing comes in; out go names, TLS, ssh, and registries in the cluster. The API server
    listens on another port on most clusters; where it is on 443, give its addresses as `refused`, with what else nobody should reach."""
    outside = [
        {"cidr": "0.0.0.0/0", "except": [c for c in (*METADATA, *refused) if ":" not in c]},
        {"cidr": "::/0", "except": [c for c in (*METADATA, *refused) if ":" in c]},
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "labels": _LABELS, **({"namespace": namespace} if namespace else {})},
        "spec": {
            "podSelector": {"matchLabels": COMPONENT},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [
                {
                    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                    "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
                },
                {"to": [{"ipBlock": block} for block in outside], "ports": [{"protocol": "TCP", "port": port} for port in (WEB, SSH)]},
                {
                    "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/component": "registry"}}}],
                    "ports": [{"protocol": "TCP", "port": REGISTRY}],
                },
            ],
        },
    }


def documents() -> dict[str, list[Json]]:
    """File name to its objects."""
    return {"rbac.yaml": [account(), role(), lease_role(), *bindings()], "network-policy.yaml": [network_policy()]}


def written(objects: Sequence[Json]) -> str:
    """As YAML."""
    import yaml

    return "# Written by `python -m builder.cluster.access`.\n" + yaml.safe_dump_all(objects, sort_keys=False)


def _rule(group: str, resource: str, *verbs: str) -> Json:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


_LABELS = {"app.kubernetes.io/part-of": "kfn", "app.kubernetes.io/component": "builds"}


if __name__ == "__main__":
    for _objects in documents().values():
        print(written(_objects))
