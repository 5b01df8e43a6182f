"""NetworkPolicies held to, as a cluster's network may: the test cluster's own forwards everything.

What they mean is worked out here anew every moment, for the pods that there are, and written as iptables rules into the network namespace
of the one node. TCP and UDP over IPv4, ingress and egress; named ports and `endPort` are not understood, and say so.
"""

import ipaddress
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.platform import Platform
from tests.cluster.threads import beside

Json = dict[str, Any]
EVERY = 0.5  # seconds between two looks
TOP = "KFN-POLICY"


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: Json
    address: str


@dataclass
class World:
    """The pods that there are, the labels of namespaces, and the policies."""

    pods: list[Pod]
    namespaces: dict[str, Json]
    policies: list[Json]

    def rules(self) -> list[str]:
        """Lines for iptables-restore."""
        chains, jumps = [f":{TOP} - [0:0]"], [f"-A {TOP} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"]
        own: list[str] = []
        for n, pod in enumerate(sorted(self.pods, key=lambda pod: pod.address)):
            for direction, flag in (("Egress", "-s"), ("Ingress", "-d")):
                found = [one["spec"] for one in self.policies if self._isolates(one, pod, direction)]
                if found:
                    chain = f"KFN-{direction[0]}-{n}"
                    chains.append(f":{chain} - [0:0]")
                    jumps.append(f"-A {TOP} {flag} {pod.address}/32 -j {chain}")
                    own += [
                        f"-A {chain} {match} -j RETURN".replace("  ", " ")
                        for spec in found
                        for match in self._allowed(spec, direction, pod)
                    ]
                    own.append(f"-A {chain} -j DROP")
        return ["*filter", *chains, *jumps, *dict.fromkeys(own), "COMMIT"]

    def _isolates(self, policy: Json, pod: Pod, direction: str) -> bool:
        spec = policy["spec"]
        return (
            policy["metadata"]["namespace"] == pod.namespace
            and direction in spec.get("policyTypes", ["Ingress"])
            and _selects(spec["podSelector"], pod.labels)
        )

    def _allowed(self, spec: Json, direction: str, pod: Pod) -> Iterator[str]:
        rules = spec.get(direction.lower()) or []
        for rule in rules:
            peers = rule.get("from" if direction == "Ingress" else "to") or [None]
            for peer in peers:
                for address in self._addresses(peer, pod.namespace):
                    place = "" if address == "" else f"{'-s' if direction == 'Ingress' else '-d'} {address}"
                    for port in rule.get("ports") or [{}]:
                        assert "endPort" not in port and not isinstance(port.get("port"), str), "not understood here"
                        yield f"{place} -p {port['protocol'].lower()} --dport {port['port']}" if port else place

    def _addresses(self, peer: Json | None, namespace: str) -> Iterator[str]:
        if peer is None:
            yield ""
        elif "ipBlock" in peer:
            if ":" not in peer["ipBlock"]["cidr"]:
                yield from _without(peer["ipBlock"]["cidr"], peer["ipBlock"].get("except") or [])
        else:
            for pod in self.pods:
                there = peer.get("namespaceSelector")
                inside = pod.namespace == namespace if there is None else _selects(there, self.namespaces.get(pod.namespace, {}))
                if inside and _selects(peer.get("podSelector", {}), pod.labels):
                    yield f"{pod.address}/32"


def _selects(selector: Json, labels: Json) -> bool:
    assert "matchExpressions" not in selector, "not understood here"
    return bool((selector.get("matchLabels") or {}).items() <= labels.items())


def _without(cidr: str, excepted: list[str]) -> list[str]:
    left = [ipaddress.ip_network(cidr)]
    for one in map(ipaddress.ip_network, excepted):
        left = [part for net in left for part in (net.address_exclude(one) if one.subnet_of(net) else [net])]  # type: ignore[arg-type, type-var]
    return [str(net) for net in left]


@dataclass
class Enforcing:
    platform: Platform
    netns: str
    _over: threading.Event = field(default_factory=threading.Event)
    _written: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._look()
        for chain in ("FORWARD", "INPUT"):
            self._iptables("-I", chain, "-j", TOP)
        try:
            with beside(self._over, self._follow, within=30):
                yield
        finally:
            for chain in ("FORWARD", "INPUT"):
                self._iptables("-D", chain, "-j", TOP)
            self._iptables("-F", TOP)

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        rules = world(self.platform).rules()
        if rules != self._written:
            done = subprocess.run(
                ["ip", "netns", "exec", self.netns, "iptables-restore", "--noflush"],
                input="\n".join([*rules, ""]), text=True, capture_output=True, timeout=30, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            self._written = rules

    def _iptables(self, *args: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.netns, "iptables", "-w", *args], check=True, timeout=30)


def world(platform: Platform) -> World:
    found = json.loads(platform.kubectl("get", "pods,namespaces,networkpolicies", "-A", "-o", "json"))["items"]
    by_kind: dict[str, list[Json]] = {}
    for one in found:
        by_kind.setdefault(one["kind"], []).append(one)
    pods = [
        Pod(one["metadata"]["namespace"], one["metadata"].get("labels", {}), one["status"]["podIP"])
        for one in by_kind.get("Pod", [])
        if one["status"].get("podIP") and not one["spec"].get("hostNetwork") and one["status"].get("phase") in ("Pending", "Running")
    ]
    names = {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in by_kind.get("Namespace", [])}
    return World(pods, names, by_kind.get("NetworkPolicy", []))
