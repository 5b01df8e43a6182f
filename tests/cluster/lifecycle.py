"""A test cluster from nothing to Ready, and back to nothing. Both may be called at any time, and finish what was left half done."""

import json
import os
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from shutil import which

import httpx

from tests.cluster import api, cgroups, configs, host, images, network, objects, pki, processes, programs, tools
from tests.cluster.layout import MAX_NODES, Layout, Node, folder_of, numbers_for
from tests.cluster.processes import Program
from tests.cluster.shell import SEARCH, Dead, Failed, missing, run, say, step, wait_for

PATIENCE = 120.0  # seconds for each thing that takes one to ten on a free machine
PACKAGES = {
    "containerd": "containerd", "runc": "runc", "docker-registry": "docker-registry", "iptables": "iptables", "ip": "iproute2",
    "nsenter": "util-linux", "sysctl": "procps", "mount": "mount",
}  # fmt: skip
CNI = Path("/usr/lib/cni/bridge")


def unfit() -> str:
    """Why no cluster can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "a test cluster needs root: namespaces, mounts and cgroups"
    if any(not tools.built(tool) for tool in tools.CLUSTER):
        try:
            tools.go()
        except Failed as why:
            return str(why)
    return ""


def existing(name: str) -> Layout | None:
    try:
        state = json.loads((folder_of(name) / "cluster.json").read_text())
    except (OSError, ValueError):
        return None
    return Layout(name, state["number"], state["nodes"], folder_of(name))


def _install() -> None:
    absent = [PACKAGES[program] for program in missing(list(PACKAGES))] + ([] if CNI.exists() else ["containernetworking-plugins"])
    if not absent:
        return
    if not which("apt-get"):
        raise Failed(f"not installed: {', '.join(absent)}")
    with step(f"installed {', '.join(absent)}"):
        run("apt-get", "update", "-qq", timeout=300)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent, timeout=600)


def _layout(name: str, nodes: int) -> Layout:
    """The existing cluster, with more nodes if more are asked for, or a new one with addresses that nobody uses."""
    known = existing(name)
    if known:
        number, nodes = known.number, max(nodes, known.nodes)
    else:
        routes = network.host_routes()
        free = [number for number in numbers_for(name) if f"10.{number}." not in routes]
        if not free:
            raise Failed("no 10.x.0.0/16 is free for a test cluster: python -m tests.cluster down")
        number = free[0]
    cluster = Layout(name, number, nodes, folder_of(name))
    cluster.folder.mkdir(parents=True, exist_ok=True)
    draft = cluster.folder / "cluster.new"
    draft.write_text(json.dumps({"number": number, "nodes": nodes}))
    draft.replace(cluster.folder / "cluster.json")
    return cluster


def up(name: str, nodes: int) -> Layout:
    if not 1 <= nodes <= MAX_NODES:
        raise Failed(f"--nodes {nodes}: from 1 to {MAX_NODES}")
    if why := unfit():
        raise Failed(why)
    _install()
    tools.ensure(tools.CLUSTER)
    with host.locked(name):
        with host.locked(), step(f"network, keys and files of {name}"):
            cluster = _prepare(name, nodes)
        processes.bound_logs(cluster)
        _start(cluster)
    return cluster


def _prepare(name: str, nodes: int) -> Layout:
    host.prepare()
    cluster = _layout(name, nodes)
    for group in ("system", *(str(node.index) for node in cluster.all_nodes())):
        cgroups.make(f"{cluster.cgroup}/{group}")
    for node in cluster.all_nodes():
        node.folder.mkdir(exist_ok=True)
    network.up(cluster)
    pki.write(cluster)
    configs.write(cluster)
    return cluster


def _start(cluster: Layout) -> None:
    running = [*programs.storage(cluster), programs.apiserver(cluster)]
    for program in running:
        processes.start(program)
    for node in cluster.all_nodes():
        with step(f"containerd of {node.name} with the pause image"):
            _give_pause(running, node)
    with api.client(cluster) as client:
        with step("API server ready"):
            _await(running, "the API server", lambda: client.get("/readyz").is_success)
        for program in programs.clients(cluster):
            processes.start(program)
            running.append(program)
        with step("first objects"):
            for thing in objects.initial(cluster):
                _await(running, api.path_of(thing), lambda thing=thing: api.apply(client, thing) or True)
        for node in cluster.all_nodes():
            with step(f"node {node.name} Ready"):
                _await(running, node.name, lambda node=node: api.is_ready(api.get(client, f"/api/v1/nodes/{node.name}")))
        with step("service account, DNS and registry ready"):
            _await(running, "the default service account", lambda: api.get(client, "/api/v1/namespaces/default/serviceaccounts/default"))
            _await(running, "CoreDNS", lambda: _answers(f"http://{cluster.node(1).ip}:8181/ready"))
            _await(running, "the registry", lambda: _answers(f"http://{cluster.registry}/v2/"))


def _await(running: list[Program], what: str, ready: Callable[[], object]) -> None:
    def still_worth_it() -> object:
        for program in running:
            if not processes.pid(program):
                end = program.log.read_text(errors="replace")[-1500:]
                raise Dead(f"{program.name} of {program.node.name} ended. {program.log} ends with:\n{end}")
        return ready()

    wait_for(what, still_worth_it, PATIENCE)


def _answers(url: str) -> bool:
    return httpx.get(url, trust_env=False, timeout=5).is_success


def ctr(node: Node, *args: str, check: bool = True, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    command = ("ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", *args)
    return run(*network.inside(node), *command, check=check, timeout=timeout)


def _give_pause(running: list[Program], node: Node) -> None:
    _await(running, f"containerd of {node.name}", lambda: ctr(node, "version", timeout=10))
    if configs.PAUSE not in ctr(node, "images", "ls", "-q").stdout.split():
        archive = node.folder / "pause.tar"
        images.write(archive, configs.PAUSE, tools.program("pause"))
        ctr(node, "images", "import", str(archive))
        archive.unlink()
        ctr(node, "images", "label", configs.PAUSE, "io.cri-containerd.image=managed")


def load(cluster: Layout, archive: Path) -> None:
    """Import an OCI or docker archive on every node."""
    for node in cluster.all_nodes():
        with step(f"loaded {archive} on {node.name}"):
            say(ctr(node, "images", "import", str(archive.resolve()), timeout=600).stdout.strip())


def domain(cluster: Layout, name: str, address: str) -> None:
    """Every name under `name` means `address` to the pods, a few seconds from now; an empty address takes it back."""
    file = cluster.folder / "domains"
    known = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
    known.pop(name, None)
    if address:
        known[str(name)] = str(ip_address(address))
    file.write_text("".join(f"{key} {value}\n" for key, value in known.items()))
    configs.write(cluster)


def down(name: str) -> None:
    with host.locked(name), host.locked():
        cluster = existing(name) or Layout(name, network.number_of(name), MAX_NODES, folder_of(name))
        with step(f"{name} is gone"):
            say(f"         ended {cgroups.kill(cluster.cgroup)} processes")
            network.down(cluster)
            cgroups.remove(cluster.cgroup)
            network.remove_folder(cluster.folder)
            host.restore()
            host.forget(name)


def env(cluster: Layout) -> dict[str, str]:
    """What tests and people set to use the cluster."""
    kubectl = tools.program("kubectl").parent
    clients = [str(tools.folder_of(tool)) for tool in tools.CLIENTS if tools.built(tool)]
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        "KFN_CLUSTER": cluster.name,
        "KFN_TEST_REGISTRY": cluster.registry,
        "KFN_REGISTRY_PLAIN_HTTP": cluster.registry,
        "PATH": ":".join([str(kubectl), *clients, os.environ.get("PATH", SEARCH)]),
    }


def status(cluster: Layout) -> bool:
    """Print what runs; whether all of it does."""
    processes.bound_logs(cluster)
    well = True
    for program in programs.every(cluster):
        pid = processes.pid(program)
        well = well and bool(pid)
        print(f"{program.node.name:24} {program.name:24} {f'pid {pid}' if pid else 'DEAD, its log is ' + str(program.log)}")
    with api.client(cluster) as client:
        for node in cluster.all_nodes():
            try:
                ready = api.is_ready(api.get(client, f"/api/v1/nodes/{node.name}"))
            except Exception as error:
                print(f"{node.name:24} the API server does not say: {error}")
                return False
            well = well and ready
            print(f"{node.name:24} {node.ip:24} {'Ready' if ready else 'NOT READY'}")
    return well
