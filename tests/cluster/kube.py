"""A real Kubernetes as tests see it: kubectl on a whole cluster or in one namespace, and small things to put there."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.layout import Layout

PATIENCE = 120.0  # seconds for anything that takes a few on a free machine


@dataclass(frozen=True)
class Cluster:
    kubeconfig: Path
    registry: str
    kubectl: str
    own: Layout | None  # the one of `make cluster-up`, on which a test may do harm; None is somebody's

    def run(self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        command = [self.kubectl, *args]
        done = subprocess.run(command, env=env, input=stdin or "", capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr or done.stdout}"
        return done

    def get(self, *args: str) -> Any:
        return json.loads(self.run("get", *args, "-o", "json").stdout)

    def nodes(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.get("nodes")["items"]]


@dataclass(frozen=True)
class Namespace:
    cluster: Cluster
    name: str

    def run(self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return self.cluster.run("--namespace", self.name, *args, stdin=stdin, check=check, timeout=timeout)

    def get(self, *args: str) -> Any:
        return json.loads(self.run("get", *args, "-o", "json").stdout)

    def apply(self, *things: dict[str, Any]) -> None:
        self.run("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": things}))

    def refused(self, thing: dict[str, Any]) -> str:
        """Why the API server does not take it."""
        done = self.run("create", "--filename", "-", stdin=json.dumps(thing), check=False)
        assert done.returncode, f"it was taken: {done.stdout}"
        return done.stderr

    def is_ready(self, pod: str) -> dict[str, Any]:
        """Wait for it; returns the pod."""
        done = self.run("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PATIENCE:.0f}s", check=False, timeout=PATIENCE + 30)
        assert done.returncode == 0, f"{done.stderr}{self.run('describe', 'pod', pod).stdout}"
        found: dict[str, Any] = self.get("pod", pod)
        return found


def a_pod(name: str, image: str, *args: str, node: str = "", **spec: Any) -> dict[str, Any]:
    """Restricted, without a token, labelled `app: NAME`."""
    container = {
        "name": "peer",
        "image": image,
        "args": list(args) or ["serve"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"tcpSocket": {"port": 8443 if args[:1] == ("refuse",) else 8080}, "periodSeconds": 1},
    }
    pinned = {"nodeName": node} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [container],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            **pinned,
            **spec,
        },
    }


def a_service(name: str, port: int = 80, target: int = 8080) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
