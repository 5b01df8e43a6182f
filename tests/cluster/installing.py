"""Puts kfn onto a test's cluster with its chart, waits until all of it is ready, and says why where it is not."""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.shell import Failed, say, until

if TYPE_CHECKING:
    from tests.cluster.platform import Platform

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart" / "kfn"
NAMESPACE = "kfn-system"
RELEASE = "kfn"
READY_WITHIN = 180.0  # seconds for all parts; a free machine needs about ten
GIVEN_UP = 3  # restarts after which a container that ends is not waited for any more
# Small: a test cluster shares two cores with the tests. What needs several replicas says so with Platform.upgrade().
SMALL: dict[str, Any] = {
    "gateway.replicas": 1, "controller.replicas": 1, "autoscaler.replicas": 1, "eventing.replicas": 1, "nats.replicas": 1,
    "gateway.service.type": "NodePort", "gateway.stopDelaySeconds": 1, "gateway.drainSeconds": 30,
}  # fmt: skip


@contextmanager
def alone(kubeconfig: str) -> Iterator[None]:
    """One installs at a time: test processes that start together do not pull the parts from under each other."""
    name = hashlib.sha256(str(Path(kubeconfig).resolve()).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"kfn-platform-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environment(around: Mapping[str, str], kubeconfig: str, registry: str) -> dict[str, str]:
    plain = ",".join(dict.fromkeys(filter(None, [around.get("KFN_REGISTRY_PLAIN_HTTP", ""), registry])))
    return {**around, "KUBECONFIG": kubeconfig, "KFN_REGISTRY_PLAIN_HTTP": plain, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}


CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # before a test gets another home


def program(name: str) -> str:
    """On PATH, else as `tests.cluster` built it."""
    if found := shutil.which(name):
        return found
    built = sorted(CACHE.glob(f"kfn/tools/*/{name}"))
    return str(built[-1]) if built else name


def run(
    *command: str, env: Mapping[str, str], check: bool = True, timeout: float, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, timeout=timeout, check=False, env=dict(env))
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed: python -m tests.cluster tools {Path(command[0]).name}") from None
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(command)}: not done in {timeout:g} s: {late.stderr or late.stdout or ''}") from None
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-4000:]}")
    return done


def images(platform: "Platform") -> dict[str, str]:
    made = platform.run(sys.executable, "-m", "deploy.images", "--registry", f"{platform.registry}/kfn", "-q", "-o", "json", timeout=900)
    return {name: facts["image"] for name, facts in json.loads(made.stdout).items()}


def values(platform: "Platform", more: Mapping[str, Any]) -> dict[str, Any]:
    """The chart's values as nested mappings; a dotted name says where one is."""
    own: dict[str, Any] = {"domain": platform.domain, "image.registry": f"{platform.registry}/kfn", **SMALL}
    for name, place in (("kfn", "image"), ("kfn-builder", "builds.image"), ("kfn-nats", "nats.image")):
        if name in platform.images:
            own[f"{place}.digest"] = platform.images[name].partition("@")[2]
    for key in ("builds.plainHttp", "digestResolution.plainHttp"):
        own[key] = [platform.registry]
    nested: dict[str, Any] = {}
    for name, value in {**own, **more}.items():
        at = nested
        *parts, last = name.split(".")
        for part in parts:
            at = at.setdefault(part, {})
        at[last] = value
    return nested


def install(platform: "Platform", more: Mapping[str, Any]) -> None:
    if not platform.images:
        platform.images = images(platform)
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="kfn-values-") as file:
        json.dump(values(platform, more), file)
        file.flush()
        helm = program("helm")
        place = ("--namespace", platform.namespace, "--create-namespace")
        platform.run(helm, "upgrade", "--install", RELEASE, str(CHART), *place, "--values", file.name, timeout=180)
    wait(platform)


def uninstall(platform: "Platform") -> None:
    platform.run(program("helm"), "uninstall", RELEASE, "--namespace", platform.namespace, "--ignore-not-found", "--wait", timeout=180)


def wait(platform: "Platform", within: float = READY_WITHIN) -> None:
    """Until every Deployment and StatefulSet has all of its pods ready and new. Tells what changes; fails early if a pod cannot start."""
    end, shown = time.monotonic() + within, ""
    before = {pod["metadata"]["uid"]: _restarts(pod) for pod in _items(platform, "pods")}
    for pod in _items(platform, "pods"):
        if "CrashLoopBackOff" in _waits(pod):  # its next try may be minutes away
            platform.kubectl("-n", platform.namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false", "--ignore-not-found")
    while True:
        late = [line for line in map(_late, _items(platform, "deployments,statefulsets")) if line]
        if not late:
            return
        told = ", ".join(late)
        if told != shown:
            say(f"         waiting for {told}")
            shown = told
        broken = [why for pod in _items(platform, "pods") for why in _broken(pod, before.get(pod["metadata"]["uid"], 0))]
        if broken or time.monotonic() > end:
            reason = "; ".join(broken) or f"not ready after {within:g} s: {told}"
            raise Failed(f"kfn does not start: {reason}\n{evidence(platform)}")
        time.sleep(0.3)  # noqa: TID251 - no event loop here


def led(platform: "Platform", within: float = READY_WITHIN) -> None:
    """Until parts of the present lead: one that is on its way out does its work with the settings of before."""
    names: set[str] = set()
    holders: set[str] = set()

    def lead() -> bool:
        nonlocal names, holders
        names = {pod["metadata"]["name"] for pod in _items(platform, "pods") if "deletionTimestamp" not in pod["metadata"]}
        # Their parts make them, without the chart's labels.
        leases = json.loads(platform.kubectl("-n", platform.namespace, "get", "leases", "-o", "json"))["items"]
        holders = {one["spec"].get("holderIdentity", "") for one in leases if one["metadata"]["name"].startswith(f"{RELEASE}-")}
        return bool(holders) and holders <= names

    until(lead, lambda: f"of {', '.join(sorted(names))} none leads: the Leases are held by {holders}\n{evidence(platform)}", within, 0.3)


def evidence(platform: "Platform") -> str:
    """What a person would look at: pods, the last events, the last lines of those that are not ready."""
    ns = ("-n", platform.namespace)
    said = [platform.kubectl(*ns, "get", "pods", "-o", "wide", check=False)]
    said += [platform.kubectl(*ns, "get", "events", "--sort-by=.lastTimestamp", check=False)[-3000:]]
    for pod in _items(platform, "pods"):
        if not all(one.get("ready") for one in pod["status"].get("containerStatuses", [{}])):
            name = pod["metadata"]["name"]
            for which in ((), ("--previous",)):
                lines = platform.kubectl(*ns, "logs", name, "--tail=25", *which, check=False)
                said += [f"--- {name} {' '.join(which)}\n{lines}"] if lines else []
    return "\n".join(said)


def _items(platform: "Platform", kinds: str) -> list[dict[str, Any]]:
    labels = f"app.kubernetes.io/name=kfn,app.kubernetes.io/instance={RELEASE}"
    found: list[dict[str, Any]] = json.loads(platform.kubectl("-n", platform.namespace, "get", kinds, "-l", labels, "-o", "json"))["items"]
    return found


def _late(thing: Mapping[str, Any]) -> str:
    """What is missing of a Deployment or StatefulSet, in a few words; empty if nothing is."""
    wanted, status, name = thing["spec"].get("replicas", 1), thing.get("status", {}), thing["metadata"]["name"]
    if status.get("observedGeneration", 0) < thing["metadata"]["generation"]:
        return f"{name} (not looked at yet)"
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    if updated >= wanted and ready >= wanted and status.get("replicas", 0) <= wanted:
        return ""
    return f"{name} ({min(updated, ready)} of {wanted})"


def _broken(pod: Mapping[str, Any], before: int) -> list[str]:
    """Why this pod will not start, whatever the patience. `before` is how often it had started anew when the waiting began."""
    hopeless = {"ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"} | (
        {"CrashLoopBackOff"} if _restarts(pod) - before >= GIVEN_UP else set()
    )
    return [f"{pod['metadata']['name']}: {reason}: {message}" for reason, message in _waits(pod).items() if reason in hopeless]


def _waits(pod: Mapping[str, Any]) -> dict[str, str]:
    """Reasons and messages of containers that wait."""
    waiting = [one.get("state", {}).get("waiting") or {} for one in pod["status"].get("containerStatuses", [])]
    return {one["reason"]: one.get("message", "") for one in waiting if "reason" in one}


def _restarts(pod: Mapping[str, Any]) -> int:
    return max((one.get("restartCount", 0) for one in pod["status"].get("containerStatuses", [])), default=0)


def address(platform: "Platform", service: str, port: int) -> tuple[str, int]:
    """Where this process reaches a Service of kfn's: directly if it can, else through a port that is forwarded while it lives."""
    found = platform.get("service", service, platform.namespace)["spec"]
    direct = (str(found["clusterIP"]), port)
    try:
        socket.create_connection(direct, timeout=3).close()
        return direct
    except OSError:
        return _forwarded(platform, service, port)


def _forwarded(platform: "Platform", service: str, port: int) -> tuple[str, int]:
    child = subprocess.Popen(
        [program("kubectl"), "-n", platform.namespace, "port-forward", f"service/{service}", f":{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=platform.env,
    )  # fmt: skip
    import atexit

    atexit.register(child.kill)
    assert child.stdout
    line = child.stdout.readline()
    if not line.startswith("Forwarding from 127.0.0.1:"):
        raise Failed(f"kubectl port-forward service/{service}: {line.strip()}")
    return "127.0.0.1", int(line.split(":")[1].split()[0])
