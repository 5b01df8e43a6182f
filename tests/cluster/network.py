"""The network and mount namespaces of a test cluster's nodes, and their way to the host: bridge, veths, routes, one masquerading rule.

The host reaches nodes, pods and Services by routes through the nodes, where kube-proxy does the rest. Pods reach the world through the
host, as the host does. `up` and `down` may be called again at any moment, and finish what an earlier call left.
"""

import json
import shutil
import tempfile
from pathlib import Path

from tests.cluster import host
from tests.cluster.layout import MAX_NODES, Layout, Node
from tests.cluster.shell import run

MTU = "1400"  # that of the host's way out on many virtual machines; larger packets would be cut or lost
_COMMENT = "kfn test cluster"


def inside(node: Node) -> list[str]:
    """The words before a command that shall run on the node."""
    return ["nsenter", f"--net=/run/netns/{node.netns}", f"--mount={node.mountns}", "--"]


def host_routes() -> str:
    return run("ip", "-4", "route", "show").stdout + run("ip", "-4", "-o", "addr", "show").stdout


def number_of(name: str) -> int:
    """Of a cluster whose folder is lost; 0 if there is none."""
    links = json.loads(run("ip", "-json", "link", "show").stdout)
    return next((int(link["ifname"].removeprefix("kfn")) for link in links if link.get("ifalias") == f"{_COMMENT} {name}"), 0)


def _links() -> set[str]:
    return {str(link["ifname"]) for link in json.loads(run("ip", "-json", "link", "show").stdout)}


def _namespaces() -> set[str]:
    return {str(one["name"]) for one in json.loads(run("ip", "-json", "netns", "list").stdout or "[]")}


def up(cluster: Layout) -> None:
    if cluster.bridge not in _links():
        run("ip", "link", "add", cluster.bridge, "mtu", MTU, "type", "bridge")
        run("ip", "link", "set", cluster.bridge, "alias", f"{_COMMENT} {cluster.name}")
    run("ip", "addr", "replace", f"{cluster.gateway}/24", "dev", cluster.bridge)
    run("ip", "link", "set", cluster.bridge, "up")
    for node in cluster.all_nodes():
        _node_up(node)
        run("ip", "route", "replace", node.pods, "via", node.ip, "dev", cluster.bridge)
    run("ip", "route", "replace", cluster.services, "via", cluster.node(1).ip, "dev", cluster.bridge)
    for node in cluster.all_nodes():
        for other in cluster.all_nodes():
            if other != node:
                run(*inside(node), "ip", "route", "replace", other.pods, "via", other.ip)
    if run("iptables", "-w", "-t", "nat", "-C", *_masquerade(cluster), check=False).returncode:
        run("iptables", "-w", "-t", "nat", "-A", *_masquerade(cluster))


def _masquerade(cluster: Layout) -> list[str]:
    rule = ["POSTROUTING", "-s", cluster.subnet, "!", "-d", cluster.subnet, "-j", "MASQUERADE"]
    return [*rule, "-m", "comment", "--comment", f"{_COMMENT} {cluster.name}"]


def _node_up(node: Node) -> None:
    if node.netns not in _namespaces():
        run("ip", "netns", "add", node.netns)
    if node.veth not in _links():
        run("ip", "link", "add", node.veth, "mtu", MTU, "type", "veth", "peer", "name", "eth0", "mtu", MTU, "netns", node.netns)
        run("ip", "link", "set", node.veth, "master", node.cluster.bridge, "up")
    _mounts_up(node)
    at = inside(node)
    run(*at, "ip", "link", "set", "lo", "up")
    run(*at, "ip", "addr", "replace", f"{node.ip}/24", "dev", "eth0")
    run(*at, "ip", "link", "set", "eth0", "up")
    run(*at, "ip", "route", "replace", "default", "via", node.cluster.gateway)
    run(*at, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")


def _mounted(path: Path) -> bool:
    """os.path.ismount does not see what is bound from the same file system."""
    return run("findmnt", "--noheadings", "--mountpoint", str(path), check=False).returncode == 0


def _mounts_up(node: Node) -> None:
    """A mount namespace that lives until `down`: its file has to lie on a private mount."""
    kept = node.mountns.parent
    kept.mkdir(parents=True, exist_ok=True)
    if not _mounted(kept):
        run("mount", "--bind", str(kept), str(kept))
        run("mount", "--make-private", str(kept))
    if _mounted(node.mountns):
        return
    node.mountns.touch()
    run("unshare", f"--mount={node.mountns}", "--propagation", "slave", "true")
    at = ["nsenter", f"--mount={node.mountns}", "--"]
    run(*at, "mount", "--make-rshared", "/")  # below the host's mounts, above those of the pods
    for path, own in node.own.items():
        own.mkdir(parents=True, exist_ok=True)
        host.make_folder(Path(path))
        run(*at, "mount", "--bind", str(own), path)


def down(cluster: Layout) -> None:
    """When no process of the cluster is left."""
    while not run("iptables", "-w", "-t", "nat", "-D", *_masquerade(cluster), check=False).returncode:
        pass
    links, namespaces = _links(), _namespaces()
    for node in (cluster.node(index) for index in range(1, MAX_NODES + 1)):
        for mounted in (node.mountns, node.mountns.parent):
            while _mounted(mounted):
                run("umount", "--lazy", str(mounted))
        if node.netns in namespaces:
            run("ip", "netns", "delete", node.netns)
        if node.veth in links:
            run("ip", "link", "delete", node.veth, check=False)  # or it went with its namespace, a moment later
    if cluster.bridge in links:
        run("ip", "link", "delete", cluster.bridge)


def remove_folder(folder: Path) -> None:
    """Aside first, so that a half-removed cluster is never taken for one."""
    if folder.exists():
        aside = Path(tempfile.mkdtemp(prefix=".gone-", dir=folder.parent))
        folder.rename(aside / "x")
        shutil.rmtree(aside)
