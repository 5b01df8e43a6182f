"""Waits until every part of kfn runs what was asked for, tells what is awaited, and says early why a pod will never start."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from cli.failures import CliError
from cli.installing.cluster import Cluster, Json
from kfn.kube import errors

SELECTOR = "app.kubernetes.io/name=kfn,app.kubernetes.io/part-of=kfn"
POLL = 0.5  # seconds
GIVEN_UP = 4  # restarts after which a container that ends is not waited for any more
HOPELESS_AFTER = 20.0  # seconds that an image cannot be pulled before it is believed: registries have bad moments
_NEVER = ("InvalidImageName", "CreateContainerConfigError", "CreateContainerError")
_PULL = ("ImagePullBackOff", "ErrImagePull")


async def wait(cluster: Cluster, namespace: str, timeout: float, say: Callable[[str], None]) -> None:
    """Raises CliError: 1 for a pod that cannot start, 124 when time is over."""
    late: list[str] = ["nothing is there yet"]
    began, failing = anyio.current_time(), dict[str, float]()
    before: dict[str, int] = {}
    try:
        with anyio.fail_after(timeout):
            while True:
                try:
                    parts = [
                        one for kind in ("Deployment", "StatefulSet") for one in await cluster.list("apps/v1", kind, namespace, SELECTOR)
                    ]
                    pods = await cluster.list("v1", "Pod", namespace, SELECTOR)
                except errors.Unreachable:
                    await anyio.sleep(POLL)
                    continue
                late = [text for one in parts if (text := missing(one))]
                if parts and not late:
                    return
                say(f"waiting for {', '.join(late) or 'the parts'}")
                before = before or {pod["metadata"]["uid"]: restarts(pod) for pod in pods} | {"": 0}
                now = anyio.current_time()
                for name, why, lasting in (found for pod in pods for found in broken(pod, before)):
                    failing.setdefault(name, now)
                    if not lasting or now - failing[name] >= HOPELESS_AFTER:
                        raise CliError(f"{name} cannot start: {why}{await _last_words(cluster, namespace, name)}")
                await anyio.sleep(POLL)
    except TimeoutError:
        seconds = anyio.current_time() - began
        raise CliError(
            f"not ready after {seconds:.0f} s: {', '.join(late)}. It goes on starting (kubectl -n {namespace} get pods); "
            "--timeout waits longer",
            124,
        ) from None


def missing(part: Mapping[str, Any]) -> str:
    """What a Deployment or StatefulSet lacks, in a few words; empty: nothing. Pure."""
    wanted, status, name = part["spec"].get("replicas", 1), part.get("status", {}), part["metadata"]["name"]
    if status.get("observedGeneration", 0) < part["metadata"].get("generation", 1):
        return f"{name} (not looked at yet)"
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    old = max(0, status.get("replicas", 0) - updated)
    if updated >= wanted and ready >= wanted and not old:
        return ""
    return f"{name} ({min(updated, ready)} of {wanted}" + (f", {old} old)" if old else ")")


def broken(pod: Mapping[str, Any], before: Mapping[str, int]) -> Sequence[tuple[str, str, bool]]:
    """Pod, reason, and whether it has to last to be believed. `before` is how often each had been restarted at first. Pure."""
    name, found = pod["metadata"]["name"], []
    for one in pod.get("status", {}).get("containerStatuses", []):
        waiting = (one.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        since = one.get("restartCount", 0) - before.get(pod["metadata"]["uid"], 0)
        if reason in _NEVER or (reason == "CrashLoopBackOff" and since >= GIVEN_UP):
            found.append((name, f"{reason}: {message}", False))
        elif reason in _PULL:
            found.append((name, f"{reason}: {message}", True))
    return found


def restarts(pod: Mapping[str, Any]) -> int:
    return max((one.get("restartCount", 0) for one in pod.get("status", {}).get("containerStatuses", [])), default=0)


async def _last_words(cluster: Cluster, namespace: str, pod: str) -> str:
    for previous in (True, False):
        try:
            async with cluster.client.logs(pod, namespace, tail=5, previous=previous) as lines:
                if text := b"".join([line async for line in lines]).decode("utf-8", "replace").strip():
                    return f"\n{text}"
        except errors.KubeError:
            continue
    return ""


async def reach(cluster: Cluster, namespace: str) -> Json:
    """Where requests from outside come in: `addresses` with ports, the Service's `type`, and the functions' `domain`."""
    service = await cluster.get({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kfn-gateway", "namespace": namespace}})
    config = await cluster.get({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kfn-config", "namespace": namespace}})
    domain = ((config or {}).get("data") or {}).get("domain", "")
    if service is None:
        return {"type": "", "addresses": [], "domain": domain}
    nodes = await cluster.list("v1", "Node") if service["spec"]["type"] == "NodePort" else []
    return {"type": service["spec"]["type"], "addresses": addresses(service, nodes), "domain": domain}


def addresses(service: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """`http://HOST:PORT` of each way from outside to a Service. Pure."""
    port = next(one for one in service["spec"]["ports"] if one["name"] == "http")
    if service["spec"]["type"] == "LoadBalancer":
        found = [one.get("hostname") or one.get("ip") for one in service.get("status", {}).get("loadBalancer", {}).get("ingress") or []]
        return [_url(str(one), port["port"]) for one in found if one]
    if service["spec"]["type"] == "NodePort":
        places = [{one["type"]: one["address"] for one in node["status"].get("addresses", [])} for node in nodes]
        return [_url(host, port["nodePort"]) for one in places if (host := one.get("ExternalIP") or one.get("InternalIP"))]
    return []


def _url(host: str, port: int) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"
