"""What can go wrong with a test cluster, on purpose: parts that die or hang, nodes that take no pods, a device that nobody has.

For tests with a cluster of their own making; a cluster that somebody gave by KUBECONFIG is left alone. `lifecycle.up` repairs everything.

    with faults.without(cluster, "kube-apiserver"):
        ...the gateway still answers...
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster import api, processes, programs
from tests.cluster.layout import Layout, Node
from tests.cluster.lifecycle import PATIENCE
from tests.cluster.processes import Program
from tests.cluster.shell import wait_for

_MERGE = {"Content-Type": "application/merge-patch+json"}


def program(cluster: Layout, name: str, node: int = 1) -> Program:
    """`kubelet`, `kube-proxy`, `containerd`; of node 1 the control plane's too, `etcd`, `coredns` and `registry`."""
    found = {one.name: one for one in programs.every(cluster) if one.node.index == node}
    assert name in found, f"{name} is none of node {node}'s programs: {', '.join(found)}"
    return found[name]


def kill(cluster: Layout, name: str, node: int = 1, how: signal.Signals = signal.SIGKILL) -> None:
    assert processes.kill(program(cluster, name, node), how), f"{name} did not run"


def start(cluster: Layout, name: str, node: int = 1) -> None:
    """And wait until it answers, where it is one that does. A kubelet ends when it finds a containerd that has just been started: who
    starts it on a real machine starts it again, and so do we."""
    one = program(cluster, name, node)
    wait_for(f"{name} to stay", lambda: not processes.start(one), PATIENCE, every=1.0)
    if name == "kube-apiserver":
        with api.client(cluster) as client:
            wait_for("the API server", lambda: client.get("/readyz").is_success, PATIENCE)


@contextmanager
def without(cluster: Layout, name: str, node: int = 1) -> Iterator[None]:
    """Dead within the block."""
    kill(cluster, name, node)
    try:
        yield
    finally:
        start(cluster, name, node)


@contextmanager
def frozen(cluster: Layout, name: str, node: int = 1) -> Iterator[None]:
    """Alive and silent within the block: connections stay open, nothing is answered."""
    one = program(cluster, name, node)
    running = processes.pid(one)
    assert running, f"{name} does not run"
    processes.send(one, signal.SIGSTOP)
    try:
        yield
    finally:
        processes.send(one, signal.SIGCONT)


@contextmanager
def cordoned(cluster: Layout, node: Node) -> Iterator[None]:
    """No new pods on the node within the block."""
    with api.client(cluster) as client:
        _patch(client, f"/api/v1/nodes/{node.name}", {"spec": {"unschedulable": True}})
        try:
            yield
        finally:
            _patch(client, f"/api/v1/nodes/{node.name}", {"spec": {"unschedulable": None}})


@contextmanager
def devices(cluster: Layout, node: Node, count: int, resource: str = "nvidia.com/gpu") -> Iterator[None]:
    """The scheduler believes that the node has them; no device plugin is there, so pods get nothing for it."""
    path = f"/api/v1/nodes/{node.name}"
    key = resource.replace("~", "~0").replace("/", "~1")
    with api.client(cluster) as client:
        _patch(client, f"{path}/status", {"status": {"capacity": {resource: str(count)}}})

        def offered() -> bool:  # the kubelet copies capacity to allocatable when it next reports, within 10 s
            return bool(api.get(client, path)["status"]["allocatable"].get(resource) == str(count))

        wait_for(f"{resource} on {node.name}", offered, PATIENCE)
        try:
            yield
        finally:
            removed = [{"op": "remove", "path": f"/status/{kind}/{key}"} for kind in ("capacity", "allocatable")]
            for one in removed:  # the kubelet may have been first
                client.patch(f"{path}/status", json=[one], headers={"Content-Type": "application/json-patch+json"})


def _patch(client: Any, path: str, change: dict[str, Any]) -> None:
    answer = client.patch(path, json=change, headers=_MERGE)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
