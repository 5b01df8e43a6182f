"""kfn installed on a cluster, for tests and for people: `python -m tests.cluster.platform up` (make cluster-platform).

    @pytest.fixture(scope="session")   # conftest.py has it, called `platform`
    def platform() -> Platform: ...

    platform.apply(a_service("hello", platform.image(HELLO)))
    platform.ready("hello")
    assert platform.request("hello.default.kfn.test").body == b"hi"

The cluster is $KUBECONFIG's, the registry $KFN_TEST_REGISTRY (`eval $(python -m tests.cluster env)` sets both). Images are kfn's own, of
this checkout, built by kfn; what did not change is neither built nor pushed again. How it is installed is `installing.py`'s.
"""

import argparse
import hashlib
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urlsplit

from tests.cluster import installing, lifecycle
from tests.cluster.installing import NAMESPACE
from tests.cluster.layout import cluster_name
from tests.cluster.shell import Failed, say, step

DOMAIN = "kfn.test"
HANDLER = "def handle(context):\n    return {answer!r}\n"
READY_WITHIN = 90.0  # seconds for a function; a free machine needs one to three


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass
class Platform:
    """A cluster with kfn on it. Everything is called as a user calls it: programs with $KUBECONFIG, requests at the gateway's address."""

    kubeconfig: str
    registry: str
    domain: str = DOMAIN
    namespace: str = NAMESPACE
    images: dict[str, str] = field(default_factory=dict)  # kfn's own, by name, with digests
    around: dict[str, str] = field(default_factory=lambda: dict(os.environ))  # as it was then: tests have an empty home, and so no cache
    _built: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return installing.environment(self.around, self.kubeconfig, self.registry)

    def run(self, *command: str, check: bool = True, timeout: float = 120, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Any program with this cluster's environment."""
        return installing.run(*command, env=self.env, check=check, timeout=timeout, stdin=stdin)

    def kfn(self, *args: str, check: bool = True, timeout: float = 300, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "cli.main", *args, check=check, timeout=timeout, stdin=stdin)

    def kubectl(self, *args: str, check: bool = True, timeout: float = 120, stdin: str | None = None) -> str:
        return self.run(installing.program("kubectl"), *args, check=check, timeout=timeout, stdin=stdin).stdout

    def kn(self, *args: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Stock kn; the test skips where there is none."""
        return self.run(_or_skip("kn"), *args, check=check, timeout=timeout)

    def func(self, *args: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return self.run(_or_skip("func"), *args, check=check, timeout=timeout)

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json"))
        return found

    def apply(self, manifest: str | Mapping[str, Any], namespace: str = "default") -> str:
        """YAML, or an object as it is in JSON."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("-n", namespace, "apply", "-f", "-", stdin=text)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.kubectl("-n", namespace, "delete", kind, name, "--ignore-not-found", "--wait=false")

    def ready(self, name: str, namespace: str = "default", *, kind: str = "ksvc", within: float = READY_WITHIN) -> dict[str, Any]:
        """Wait for the condition Ready of this generation; its words are in the error if it does not come. Returns the object."""
        end, seen = time.monotonic() + within, "it is not there"
        while time.monotonic() < end:
            found = self.run(installing.program("kubectl"), "-n", namespace, "get", kind, name, "-o", "json", check=False)
            if found.returncode == 0:
                thing: dict[str, Any] = json.loads(found.stdout)
                status = thing.get("status", {})
                ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {"status": "absent"})
                seen = f"Ready is {ready['status']}: {ready.get('reason', '')} {ready.get('message', '')}"
                if ready["status"] == "True" and status.get("observedGeneration") == thing["metadata"]["generation"]:
                    return thing
            time.sleep(0.2)  # noqa: TID251 - no event loop here
        raise AssertionError(f"{kind} {namespace}/{name} is not ready after {within:g} s. {seen}")

    def url(self, name: str, namespace: str = "default") -> str:
        return str(self.get("ksvc", name, namespace)["status"]["url"])

    @cached_property
    def gateway(self) -> tuple[str, int]:
        """Where this process reaches kfn's gateway: its ClusterIP in a cluster of ours, else a port that kubectl forwards."""
        return installing.address(self, "kfn-gateway", 80)

    def request(
        self,
        host: str,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One request to a function by its host's name or its URL, through the gateway, on a connection of its own."""
        name = urlsplit(host).netloc if "://" in host else host
        connection = http.client.HTTPConnection(*self.gateway, timeout=timeout)
        try:
            connection.request(method, path, body or None, {"Host": name, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def image(self, source: str | Mapping[str, str], name: str = "fn") -> str:
        """The reference, by digest, of a function's image in the cluster's registry. `source` is func.py, or files by path.

        The same source is built once for this object.
        """
        files = {"func.py": source} if isinstance(source, str) else dict(source)
        known = hashlib.sha256(json.dumps([name, files], sort_keys=True).encode()).hexdigest()
        if known not in self._built:
            with tempfile.TemporaryDirectory(prefix="kfn-test-") as folder:
                for path, text in files.items():
                    (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                    (Path(folder) / path).write_text(text)
                tag = f"{self.registry}/test/{name}:{known[:12]}"
                made = self.kfn("build", folder, "--name", name, "-t", tag, "--push", "--no-profile", "-q", "-o", "json")
            self._built[known] = json.loads(made.stdout)["image"]
        return self._built[known]

    def hello(self, answer: str = "hi") -> str:
        """The image of a function that answers so."""
        return self.image(HANDLER.format(answer=answer), "hello")

    def logs(self, component: str, tail: int = 200) -> str:
        """Of all pods of a part: gateway, controller, autoscaler, eventing, nats."""
        labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/component={component}"
        return self.kubectl("-n", self.namespace, "logs", "-l", labels, f"--tail={tail}", "--prefix", check=False)

    def upgrade(self, **values: Any) -> None:
        """Install again with other values of the chart: `upgrade(**{"gateway.replicas": 2})`. Waits until it is done."""
        installing.install(self, values)
        installing.led(self)
        self.__dict__.pop("gateway", None)


def a_service(name: str, image: str, *, annotations: Mapping[str, str] | None = None, **container: Any) -> dict[str, Any]:
    """A ksvc; what else is given goes into its container."""
    metadata = {"annotations": dict(annotations)} if annotations else {}
    template = {"metadata": metadata, "spec": {"containers": [{"image": image, **container}]}}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": name}, "spec": {"template": template}}


def _or_skip(name: str) -> str:
    found = installing.program(name)
    if not which(found):
        import pytest

        pytest.skip(f"{name} is not on PATH: python -m tests.cluster tools {name}")
    return found


def unfit() -> str:
    """Why there is no cluster to install on; empty if there is one."""
    _adopt()
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster, and there is none of ours: make cluster-up"
    if not os.environ.get("KFN_TEST_REGISTRY"):
        return "KFN_TEST_REGISTRY names no registry that this machine and the cluster's nodes both reach"
    return ""


def _adopt() -> None:
    """Without KUBECONFIG the cluster of `make cluster-up` is meant."""
    if not os.environ.get("KUBECONFIG") and (ours := lifecycle.existing(cluster_name())):
        os.environ.update(lifecycle.env(ours))


def existing() -> Platform:
    if why := unfit():
        raise Failed(why)
    return Platform(os.environ["KUBECONFIG"], os.environ["KFN_TEST_REGISTRY"], os.environ.get("KFN_TEST_DOMAIN", DOMAIN))


def up() -> Platform:
    """Build, push, install or upgrade, wait until ready. Some seconds where nothing changed. One at a time on a machine."""
    platform = existing()
    with installing.alone(platform.kubeconfig):
        with step(f"kfn's images in {platform.registry}"):
            platform.images = installing.images(platform)
        with step("installed"):
            installing.install(platform, {})
    with step(f"the gateway answers at {':'.join(map(str, platform.gateway))}"):
        _answers(platform)
    return platform


def _answers(platform: Platform) -> None:
    """What no function has is 404, said by the gateway itself."""
    for left in reversed(range(50)):
        try:
            if platform.request(f"nobody.default.{platform.domain}", timeout=5).status == 404:
                return
        except (OSError, http.client.HTTPException, socket.gaierror) as error:
            if not left:
                raise Failed(f"kfn-gateway at {platform.gateway} does not answer: {error}") from None
        time.sleep(0.2)  # noqa: TID251 - no event loop here
    raise Failed("kfn-gateway answers, but not with 404 to a name that nobody has")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.platform", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build kfn's images, push them, install kfn or upgrade it, wait until it is ready")
    commands.add_parser("down", help="uninstall kfn")
    commands.add_parser("status", help="its pods")
    commands.add_parser("image", help="build a function's folder into the cluster's registry, print the reference").add_argument(
        "folder", type=Path
    )
    asked = parser.parse_args()
    try:
        platform = up() if asked.command == "up" else existing()
        if asked.command == "down":
            installing.uninstall(platform)
        elif asked.command == "image":
            files = {path.relative_to(asked.folder).as_posix(): path.read_text() for path in asked.folder.rglob("*") if path.is_file()}
            print(platform.image(files, asked.folder.resolve().name))
        else:
            print(platform.kubectl("-n", platform.namespace, "get", "deployments,statefulsets,pods,services", "-o", "wide"), end="")
    except Failed as failed:
        say(f"error: {failed}")
        return 1
    if asked.command == "up":
        host, port = platform.gateway
        say(f"try: curl -H 'Host: NAME.NAMESPACE.{platform.domain}' {shlex.quote(f'http://{host}:{port}/')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
