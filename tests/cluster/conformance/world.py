"""What the suite finds on the cluster: its namespaces and their two objects, names that lead to the gateway, and its images."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import configs, lifecycle
from tests.cluster.layout import cluster_name
from tests.cluster.shell import Failed, wait_for

NAMESPACE = "serving-tests"
OTHER = "serving-tests-alt"
DATA = {"testKey": "testValue"}
RESOLVES_WITHIN = 20.0  # seconds; CoreDNS looks for a new configuration every 2

Kubectl = Callable[..., str]  # kubectl's output for its arguments; `stdin` is what it reads


def objects() -> list[dict[str, Any]]:
    """What Knative's test/config gives to the conformance tests."""
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (NAMESPACE, OTHER)]
    there = {"namespace": NAMESPACE}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conformance-test-configmap", **there}, "data": DATA}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "conformance-test-secret", **there}, "stringData": DATA}
    return [*spaces, config, secret]


@contextmanager
def prepared(kubectl: Kubectl) -> Iterator[None]:
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}))
    try:
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, OTHER, "--ignore-not-found", "--timeout=90s")


def resolver(domain: str, gateway: str) -> str:
    """The name server that knows every name below `domain`; empty where this machine's own does, because it is no cluster of ours."""
    cluster = lifecycle.existing(cluster_name())
    if cluster is None:
        try:
            socket.gethostbyname(f"nobody.{NAMESPACE}.{domain}")
        except OSError:
            why = (
                f"no name below {domain} resolves here, and the suite asks by name; set KFN_TEST_DOMAIN to a domain that leads to {gateway}"
            )
            raise Failed(why) from None
        return ""
    known = cluster.folder / "domains"
    lines = [line for line in known.read_text().splitlines() if line.split()[:1] != [domain]] if known.exists() else []
    known.write_text("\n".join([*lines, f"{domain} {gateway}"]) + "\n")
    configs.write(cluster)
    nameserver = cluster.node(1).ip
    wait_for(f"CoreDNS knows {domain}", lambda: _asked(nameserver, f"nobody.{NAMESPACE}.{domain}") == gateway, RESOLVES_WITHIN)
    return nameserver


def _asked(nameserver: str, name: str) -> str:
    """What `name` is to this name server. A query of 17 bytes and the name; the address is the answer's end."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question, (nameserver, 53))
        answer = asking.recv(512)
    return socket.inet_ntoa(answer[-4:]) if answer[7] else ""


def program_of(kubectl: str, env: dict[str, str]) -> Kubectl:
    def run(*arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run([kubectl, *arguments], input=stdin, capture_output=True, text=True, timeout=120, env=env, check=False)
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments[:2])}: {done.stderr.strip()}")
        return done.stdout

    return run


def log_folder() -> Path:
    from tests.cluster.layout import cache_folder

    folder = cache_folder() / "conformance" / cluster_name()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
