"""Where everything of one test cluster is: names, addresses, folders. Decides only; `network`, `processes` and the rest do.

One cluster lives in one 10.x.0.0/16: nodes in 10.x.0.0/24, Services in 10.x.16.0/20, pods in 10.x.32.0/19 with a /23 for each node
(a node's 250 pods, and as many addresses again so that one is not used anew at once).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

NUMBERS = range(210, 250)  # the second octet; the first free one from a place that the name decides
MAX_NODES = 4


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kfn"


def cluster_name() -> str:
    name = os.environ.get("KFN_CLUSTER") or "kfn"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise SystemExit(f"KFN_CLUSTER={name}: give at most 20 lower-case letters, digits and dashes")
    return name


def folder_of(name: str) -> Path:
    return cache_folder() / "clusters" / name


def numbers_for(name: str) -> list[int]:
    """Second octets to try, so that a name keeps its addresses from one start to the next where it can."""
    start = sum(name.encode()) % len(NUMBERS)
    return [*NUMBERS[start:], *NUMBERS[:start]]


@dataclass(frozen=True)
class Layout:
    name: str
    number: int
    nodes: int
    folder: Path

    @property
    def subnet(self) -> str:
        return f"10.{self.number}.0.0/16"

    @property
    def bridge(self) -> str:
        return f"kfn{self.number}"

    @property
    def gateway(self) -> str:
        """The host, as the nodes see it."""
        return f"10.{self.number}.0.1"

    @property
    def services(self) -> str:
        return f"10.{self.number}.16.0/20"

    @property
    def api_service(self) -> str:
        return f"10.{self.number}.16.1"

    @property
    def dns_service(self) -> str:
        return f"10.{self.number}.16.10"

    @property
    def pods(self) -> str:
        return f"10.{self.number}.32.0/19"

    @property
    def api(self) -> str:
        return f"https://{self.node(1).ip}:6443"

    @property
    def registry(self) -> str:
        return f"{self.node(1).ip}:5000"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def cgroup(self) -> str:
        return f"kfn-{self.name}"

    def node(self, index: int) -> "Node":
        return Node(self, index)

    def all_nodes(self) -> "list[Node]":
        return [Node(self, index) for index in range(1, self.nodes + 1)]


@dataclass(frozen=True)
class Node:
    cluster: Layout
    index: int

    @property
    def name(self) -> str:
        return f"{self.cluster.name}-{self.index}"

    @property
    def ip(self) -> str:
        return f"10.{self.cluster.number}.0.{10 + self.index}"

    @property
    def pods(self) -> str:
        return f"10.{self.cluster.number}.{30 + 2 * self.index}.0/23"

    @property
    def netns(self) -> str:
        return f"kfn-{self.name}"

    @property
    def veth(self) -> str:
        return f"{self.cluster.bridge}n{self.index}"

    @property
    def folder(self) -> Path:
        return self.cluster.folder / f"node-{self.index}"

    @property
    def mountns(self) -> Path:
        """A mount namespace, kept alive by this file."""
        return self.folder / "ns" / "mnt"

    @property
    def own(self) -> dict[str, Path]:
        """Folders that every node has for its own in its mount namespace, though programs name them alike."""
        mine = {
            path: self.folder / path.strip("/").replace("/", "-")
            for path in ("/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd", "/var/log", "/run/containerd", "/etc/cni")
        }
        return {**mine, "/tmp/hostpath_pv": self.cluster.folder / "volumes"}  # where the controller manager's provisioner makes volumes

    @property
    def containerd(self) -> Path:
        return self.own["/run/containerd"] / "containerd.sock"

    @property
    def cgroup(self) -> str:
        return f"{self.cluster.cgroup}/{self.index}"
