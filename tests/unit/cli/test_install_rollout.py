"""What is still missing of a rollout, which pods will never start, and where requests come in."""

from typing import Any

import pytest

from cli.installing import rollout


def part(wanted: int = 2, seen: int = 3, **status: int) -> dict[str, Any]:
    meta = {"name": "kfn-gateway", "generation": 3}
    return {"metadata": meta, "spec": {"replicas": wanted}, "status": {"observedGeneration": seen, **status}}


class TestAPart:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (part(replicas=2, updatedReplicas=2, readyReplicas=2), ""),
            (part(wanted=0), ""),
            (part(seen=2, replicas=2, updatedReplicas=2, readyReplicas=2), "kfn-gateway (not looked at yet)"),
            (part(replicas=2, updatedReplicas=1, readyReplicas=2), "kfn-gateway (1 of 2, 1 old)"),
            (part(replicas=3, updatedReplicas=2, readyReplicas=2), "kfn-gateway (2 of 2, 1 old)"),
            (part(), "kfn-gateway (0 of 2)"),
        ],
        ids=["all ready and new", "none wanted", "an older generation", "one is old", "an old one is not gone", "nothing yet"],
    )
    def test_lacks(self, given: dict[str, Any], said: str) -> None:
        assert rollout.missing(given) == said


def pod(reason: str, restarts: int = 0) -> dict[str, Any]:
    status = {"restartCount": restarts, "state": {"waiting": {"reason": reason, "message": "words"}}}
    return {"metadata": {"name": "kfn-nats-0", "uid": "1"}, "status": {"containerStatuses": [status]}}


class TestAPod:
    @pytest.mark.parametrize(
        ("given", "before", "found"),
        [
            (pod("ContainerCreating"), 0, []),
            (pod("CrashLoopBackOff", 2), 0, []),
            (pod("CrashLoopBackOff", 9), 7, []),
            (pod("CrashLoopBackOff", 4), 0, [("kfn-nats-0", "CrashLoopBackOff: words", False)]),
            (pod("ImagePullBackOff"), 0, [("kfn-nats-0", "ImagePullBackOff: words", True)]),
            (pod("CreateContainerConfigError"), 0, [("kfn-nats-0", "CreateContainerConfigError: words", False)]),
        ],
        ids=["that begins", "that ended twice", "whose restarts are old", "that goes on ending", "without its image", "without its Secret"],
    )
    def test_is_broken(self, given: dict[str, Any], before: int, found: list[tuple[str, str, bool]]) -> None:
        assert rollout.broken(given, {"1": before}) == found


class TestWhereRequestsComeIn:
    def service(self, kind: str, port: int = 80, ingress: list[dict[str, str]] | None = None) -> dict[str, Any]:
        ports = [{"name": "http", "port": port, "nodePort": 30080}]
        return {"spec": {"type": kind, "ports": ports}, "status": {"loadBalancer": {"ingress": ingress}}}

    def test_is_the_load_balancers_address(self) -> None:
        ingress = [{"ip": "203.0.113.7"}, {"hostname": "lb.test"}, {"ip": "2001:db8::1"}]
        assert rollout.addresses(self.service("LoadBalancer", ingress=ingress), []) == [
            "http://203.0.113.7", "http://lb.test", "http://[2001:db8::1]",
        ]  # fmt: skip
        assert rollout.addresses(self.service("LoadBalancer", 8080, ingress[:1]), []) == ["http://203.0.113.7:8080"]

    def test_is_nowhere_while_there_is_no_load_balancer(self) -> None:
        assert rollout.addresses(self.service("LoadBalancer"), []) == []

    def test_is_a_port_of_each_node_by_the_address_that_is_most_public(self) -> None:
        internal, external = {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "203.0.113.9"}
        nodes = [{"status": {"addresses": [internal]}}, {"status": {"addresses": [internal, external]}}, {"status": {}}]
        assert rollout.addresses(self.service("NodePort"), nodes) == ["http://10.0.0.1:30080", "http://203.0.113.9:30080"]
