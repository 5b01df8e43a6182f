"""The configuration files of a test cluster's programs, as text. What is not said here is the program's default, so that what is
measured on such a cluster holds elsewhere; what is said and matters to that is in docs/cluster-testing.md."""

import json
import re
from pathlib import Path
from typing import Any

from tests.cluster.layout import Layout, Node
from tests.cluster.network import MTU

PAUSE = "kfn.test/pause:v1"
DNS_PORT = 53


def may_lower_oom_score() -> bool:
    """Virtual machines for tests often lack the capability (CAP_SYS_RESOURCE), and then no pod with a lowered score would start."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(found and int(found[1], 16) >> 24 & 1)


def containerd(node: Node) -> str:
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = {str(not may_lower_oom_score()).lower()}
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{node.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{node.folder}/registries"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def cni(node: Node) -> str:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,  # a pod may reach itself through its Service
        "mtu": int(MTU),
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "0.4.0", "name": "kfn", "plugins": plugins})


def registry_hosts(cluster: Layout) -> str:
    return f'server = "http://{cluster.registry}"\n[host."http://{cluster.registry}"]\n  capabilities = ["pull", "resolve"]\n'


def registry(cluster: Layout) -> str:
    return json.dumps(
        {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(cluster.folder / "registry")}, "delete": {"enabled": True}},
            "http": {"addr": cluster.registry, "secret": "of a test cluster"},
        }
    )


def kubelet(node: Node) -> str:
    pki = node.cluster.pki
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet-{node.index}.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet-{node.index}.key",
        "clusterDNS": [node.cluster.dns_service],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "maxPods": 250,
        "serializeImagePulls": False,
        "failSwapOn": False,
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "enforceNodeAllocatable": [],  # the node shares its machine with who tests
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": True,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "healthzBindAddress": "127.0.0.1",
    }
    return json.dumps(config)


def kube_proxy(node: Node) -> str:
    config: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{node.cluster.pki}/kube-proxy.kubeconfig"},
        "mode": "iptables",
        "clusterCIDR": node.cluster.pods,
        "hostnameOverride": node.name,
        "conntrack": {"maxPerCore": 0},  # the machine's, which a network namespace may not change
    }
    return json.dumps(config)


def corefile(cluster: Layout) -> str:
    """Names of the cluster; names that tests want (lines `DOMAIN ADDRESS` in the file `domains`); the host's resolver for all else."""
    listen = f"bind {cluster.node(1).ip}"
    own = ""
    domains = cluster.folder / "domains"
    for line in domains.read_text().splitlines() if domains.exists() else []:
        domain, address = line.split()
        own += (
            f'    template IN A {domain} {{\n        answer "{{{{ .Name }}}} 5 IN A {address}"\n    }}\n'
            f"    template IN AAAA {domain} {{\n        rcode NOERROR\n    }}\n"
        )
    kubeconfig = f"{cluster.pki}/coredns.kubeconfig"
    return f""".:{DNS_PORT} {{
    {listen}
    errors
    health {cluster.node(1).ip}:8090
    ready {cluster.node(1).ip}:8181
    reload 2s
{own}    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward . /etc/resolv.conf
    cache 5
    loadbalance
}}
"""


def write(cluster: Layout) -> None:
    """All of them into the cluster's folder."""
    _keep(cluster.folder / "Corefile", corefile(cluster))
    _keep(cluster.folder / "registry.yml", registry(cluster))
    for node in cluster.all_nodes():
        _keep(node.folder / "registries" / cluster.registry / "hosts.toml", registry_hosts(cluster))
        _keep(node.folder / "cni" / "10-kfn.conflist", cni(node))
        _keep(node.folder / "containerd.toml", containerd(node))
        _keep(node.folder / "kubelet.json", kubelet(node))
        _keep(node.folder / "kube-proxy.json", kube_proxy(node))


def _keep(path: Path, content: str) -> None:
    """kube-proxy ends when its file is written, even with what it holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != content:
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(content)
        draft.replace(path)
