"""Which programs a test cluster runs, with their arguments. Decides only."""

import sys
from pathlib import Path

from tests.cluster import tools
from tests.cluster.layout import Layout, Node
from tests.cluster.processes import Program

# Each Go program would take both cores for its garbage collection, at a machine's worst moment.
_GO = (("GOMAXPROCS", "2"),)


def etcd(cluster: Layout) -> Program:
    command = (
        str(tools.program("etcd")),
        "--name=kfn",
        f"--data-dir={cluster.folder}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=kfn=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--auto-compaction-retention=1h",
    )
    return Program("etcd", cluster.node(1), command, _GO)


def apiserver(cluster: Layout) -> Program:
    pki = cluster.pki
    command = (
        str(tools.program("kube-apiserver")),
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={cluster.node(1).ip}",
        f"--service-cluster-ip-range={cluster.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/accounts.pub",
        f"--service-account-signing-key-file={pki}/accounts.key",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front.crt",
        f"--proxy-client-key-file={pki}/front.key",
        "--profiling=false",
    )
    return Program("kube-apiserver", cluster.node(1), command, _GO)


def controller_manager(cluster: Layout) -> Program:
    pki = cluster.pki
    config = f"{pki}/kube-controller-manager.kubeconfig"
    command = (
        str(tools.program("kube-controller-manager")),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/accounts.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--enable-hostpath-provisioner=true",
        "--profiling=false",
    )
    return Program("kube-controller-manager", cluster.node(1), command, _GO)


def scheduler(cluster: Layout) -> Program:
    config = f"{cluster.pki}/kube-scheduler.kubeconfig"
    command = (
        str(tools.program("kube-scheduler")),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--profiling=false",
    )
    return Program("kube-scheduler", cluster.node(1), command, _GO)


def coredns(cluster: Layout) -> Program:
    return Program("coredns", cluster.node(1), (str(tools.program("coredns")), "-conf", f"{cluster.folder}/Corefile"), _GO)


def registry(cluster: Layout) -> Program:
    command = ("docker-registry", "serve", f"{cluster.folder}/registry.yml")
    return Program("registry", cluster.node(1), command, (*_GO, ("OTEL_TRACES_EXPORTER", "none")))


def containerd(node: Node) -> Program:
    command = ("containerd", "--config", f"{node.folder}/containerd.toml", "--log-level", "warn")
    return Program("containerd", node, command)


def kubelet(node: Node) -> Program:
    command = (
        str(tools.program("kubelet")),
        f"--config={node.folder}/kubelet.json",
        f"--kubeconfig={node.cluster.pki}/kubelet-{node.index}.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={node.ip}",
    )
    return Program("kubelet", node, command, _GO)


def kube_proxy(node: Node) -> Program:
    return Program("kube-proxy", node, (str(tools.program("kube-proxy")), f"--config={node.folder}/kube-proxy.json"), _GO)


def volumes(cluster: Layout) -> Program:
    command = (sys.executable, "-I", "-S", str(Path(__file__).with_name("volumes.py")), str(cluster.folder / "volumes"))
    return Program("volumes", cluster.node(1), command)


def storage(cluster: Layout) -> list[Program]:
    """What needs no API server."""
    return [etcd(cluster), registry(cluster), volumes(cluster), *map(containerd, cluster.all_nodes())]


def clients(cluster: Layout) -> list[Program]:
    """What needs an API server."""
    per_node = [program(node) for node in cluster.all_nodes() for program in (kubelet, kube_proxy)]
    return [controller_manager(cluster), scheduler(cluster), coredns(cluster), *per_node]


def every(cluster: Layout) -> list[Program]:
    return [*storage(cluster), apiserver(cluster), *clients(cluster)]
