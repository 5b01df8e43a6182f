"""A function's cold start on a cluster beside bare Kubernetes, in turn: make bench-cluster (needs a cluster with kfn on it).

docs/cluster-testing.md says how to have one.

    python -m tests.benchmarks.cluster_coldstart [--times 20] [--only cold,burst,zero,warm]

`bare` is a Deployment of the same image, without a token, and nothing else said of its pod: an API client writes its scale, watches
pods, and asks the pod's address in a loop until it answers 200. `same` is that with the pod that kfn makes. `kfn` is one request at the
gateway, from nothing. The three take turns. KFN_BENCH_GATEWAY=HOST:PORT says where the gateway is, if it is not the installed one.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from shutil import which

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from kfn.api import kinds
from kfn.api.core import Container, ContainerPort, Deployment, EndpointSlice, Pod, PodSpec
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client
from tests.benchmarks import _cluster as cluster
from tests.benchmarks._cluster import NAMESPACE, Seen, is_pod
from tests.benchmarks._measure import Table

BURST = 200
KINDS = (kinds.POD, kinds.DEPLOYMENT, kinds.ENDPOINT_SLICE)
COLD, BURSTED = "bench-cold", "bench-burst"
SETTLED = 2.0  # seconds from when a pod is gone until the next start: what the end of one still writes and frees is over
WINDOW = 6.0  # seconds, the shortest; it acts on the way to zero only


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cluster_coldstart", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="cold starts of each kind (default 20)")
    parser.add_argument("--only", default="cold,burst,zero,warm", help="of cold, burst, zero, warm, with commas")
    chosen = parser.parse_args(arguments)
    if not os.environ.get("KUBECONFIG"):
        print("KUBECONFIG names no cluster: make cluster-up, then eval $(python -m tests.cluster env)", file=sys.stderr)
        return 2
    anyio.run(measure, chosen, backend_options={"use_uvloop": True})
    return 0


async def measure(chosen: argparse.Namespace) -> None:
    gateway, image = address(), cluster.load_image()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, gateway {gateway[0]}:{gateway[1]}, {chosen.times} times each")
    table = Table()
    async with cluster.connected() as client:
        try:
            await client.create(kinds.NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        except errors.AlreadyExists:
            pass
        parts = {"cold": cold, "burst": burst, "zero": to_zero, "warm": warm}
        for name in chosen.only.split(","):
            await parts[name](client, gateway, image, chosen.times, table)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


def address() -> tuple[str, int]:
    if given := os.environ.get("KFN_BENCH_GATEWAY"):
        host, _, port = given.rpartition(":")
        return host, int(port)
    from tests.cluster import platform

    return platform.existing().gateway


# Cold starts.


async def cold(client: Client, gateway: tuple[str, int], image: str, times: int, table: Table) -> None:
    host = await cluster.service(client, COLD, image)
    template = (await client.get(kinds.DEPLOYMENT, cluster.deployment_of(COLD), NAMESPACE)).spec.template
    plain = Container(name="app", image=image, ports=[ContainerPort(container_port=8080)], image_pull_policy="IfNotPresent")
    await cluster.deploy(client, "bare", PodSpec(containers=[plain], automount_service_account_token=False))
    await cluster.deploy(client, "same", replace(template, metadata=ObjectMeta()))
    took: dict[str, list[float]] = {"bare": [], "same": [], "kfn": []}
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in took}
    seen = Seen()
    async with anyio.create_task_group() as tasks:
        for kind in KINDS:
            await tasks.start(seen.follow, client, kind)
        for _ in range(times):
            for name in took:
                own = cluster.deployment_of(COLD) if name == "kfn" else name
                await asleep(client, "bare", "same", cluster.deployment_of(COLD))
                seen.events.clear()
                begin = time.monotonic()
                if name == "kfn":
                    status, _ = await cluster.request(gateway, host)
                    assert status == 200, f"the gateway answered {status}"
                else:
                    await bare(client, seen, name, tasks)
                took[name].append((time.monotonic() - begin) * 1e3)
                await seen.wait(lambda thing, own=own: is_pod(thing, own) and cluster.is_ready(thing))
                steps[name].append(waterfall(seen, own, begin))
                if name != "kfn":
                    await client.scale(kinds.DEPLOYMENT, name, NAMESPACE, 0)
        tasks.cancel_scope.cancel()
    for name, found in took.items():
        beside = "" if name == "bare" else f"{statistics.median(found) - statistics.median(took['bare']):+.1f} ms of bare"
        ratio = statistics.median(found) / statistics.median(took["bare"])
        table.add(f"cold start, {name}", spread(found), "same + 15 ms" if name == "kfn" else "", beside, None if name == "bare" else ratio)
        print("    " + ", ".join(f"{step} {at:.0f}" for step, at in medians(steps[name]).items()))
    against = statistics.median(took["kfn"]) - statistics.median(took["same"])
    table.add("  kfn over bare with the same pod", f"{against:+.1f} ms", "", "medians of the pairs' differences: " + pairs(took))


async def bare(client: Client, seen: Seen, name: str, tasks: TaskGroup) -> None:
    tasks.start_soon(client.scale, kinds.DEPLOYMENT, name, NAMESPACE, 1)
    pod = await seen.wait(lambda thing: is_pod(thing, name) and thing.status.pod_ip)
    await cluster.first_answer(pod.status.pod_ip, 8080)


async def asleep(client: Client, *deployments: str) -> None:
    """All of them, or the end of one would fall into the start of another."""
    for name in deployments:
        with anyio.fail_after(cluster.PATIENCE):
            while (await client.get(kinds.DEPLOYMENT, name, NAMESPACE)).spec.replicas:
                await anyio.sleep(0.1)
        await cluster.gone(client, name)
    await anyio.sleep(SETTLED)


def waterfall(seen: Seen, own: str, begin: float) -> dict[str, float]:
    """When each thing arrived on a watch, in milliseconds."""
    found = {
        "scaled": seen.first(lambda t: isinstance(t, Deployment) and t.metadata.name == own and t.spec.replicas),
        "pod": seen.first(lambda t: is_pod(t, own)),
        "scheduled": seen.first(lambda t: is_pod(t, own) and t.spec.node_name),
        "address": seen.first(lambda t: is_pod(t, own) and t.status.pod_ip),
        "slice": seen.first(
            lambda t: isinstance(t, EndpointSlice) and any(e.addresses and not e.conditions.terminating for e in t.endpoints)
        ),
        "ready": seen.first(lambda t: is_pod(t, own) and cluster.is_ready(t)),
    }
    return {name: (at - begin) * 1e3 for name, at in found.items() if at is not None}


def in_slice(thing: object, deployment: str, *, terminating: bool) -> bool:
    """A slice says that of a pod of the Deployment."""
    return isinstance(thing, EndpointSlice) and any(
        bool(e.conditions.terminating) == terminating and e.target_ref and e.target_ref.name.startswith(f"{deployment}-")
        for e in thing.endpoints
    )


def medians(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in steps if name in one) for name in steps[0]}


def pairs(took: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{statistics.median(a - b for a, b in zip(took['kfn'], took[of], strict=True)):+.1f} of {of}" for of in ("bare", "same")
    )


def spread(found: Sequence[float]) -> str:
    p90 = sorted(found)[max(0, round(len(found) * 0.9) - 1)]
    return f"p50 {statistics.median(found):.1f} p90 {p90:.1f} min {min(found):.1f} ms"


# Many at once, and back to zero.


async def burst(client: Client, gateway: tuple[str, int], image: str, times: int, table: Table) -> None:
    host = await cluster.service(client, BURSTED, image, concurrency=10)
    whole, first, errors_, most = [], [], 0, 0
    for _ in range(max(1, times // 5)):
        await asleep(client, cluster.deployment_of(BURSTED))
        begin, ends = time.monotonic(), list[float]()

        async def one(begin: float = begin, ends: list[float] = ends) -> None:
            nonlocal errors_, most
            status, body = await cluster.request(gateway, host, "/work?ms=100")
            ends.append((time.monotonic() - begin) * 1e3)
            errors_ += status != 200
            most = max(most, int(body.split()[1])) if status == 200 else most

        await asyncio.gather(*(one() for _ in range(BURST)))
        whole.append(max(ends))
        first.append(min(ends))
    table.add(f"{BURST} at once to zero, all answered", spread(whole), "2 s", f"first p50 {statistics.median(first):.0f} ms")
    table.add("  errors; most inside one instance", f"{errors_}; {most}", "0; 10")


async def to_zero(client: Client, gateway: tuple[str, int], image: str, times: int, table: Table) -> None:
    host = await cluster.service(client, COLD, image)
    own, seen = cluster.deployment_of(COLD), Seen()
    found: dict[str, list[float]] = {"scale written": [], "out of the gateways' sight": [], "pods gone": []}
    async with anyio.create_task_group() as tasks:
        for kind in KINDS:
            await tasks.start(seen.follow, client, kind)
        for _ in range(max(1, times // 5)):
            await cluster.request(gateway, host)
            await seen.wait(lambda thing: is_pod(thing, own) and cluster.is_ready(thing))
            await cluster.request(gateway, host)
            begin = time.monotonic()
            seen.events.clear()
            await seen.wait(lambda t: isinstance(t, Deployment) and t.metadata.name == own and t.spec.replicas == 0)
            await cluster.gone(client, own)
            end = time.monotonic()
            scaled = seen.first(lambda t: isinstance(t, Deployment) and t.metadata.name == own and t.spec.replicas == 0)
            hidden = seen.first(lambda t: in_slice(t, own, terminating=True))
            for name, at in zip(found, (scaled, hidden, end), strict=True):
                found[name] += [(at - begin - WINDOW) * 1e3] if at is not None else []
        tasks.cancel_scope.cancel()
    for name, late in found.items():
        table.add(f"last answer to {name}, over the window", spread(late), "1 s" if name == "pods gone" else "")


# Warm.


async def warm(client: Client, gateway: tuple[str, int], image: str, times: int, table: Table) -> None:
    if not which("wrk"):
        print("wrk is not installed: no warm throughput")
        return
    host = await cluster.service(client, COLD, image)
    await cluster.request(gateway, host)
    pods = [pod for pod in (await client.list(kinds.POD, NAMESPACE))[0] if is_pod(pod, cluster.deployment_of(COLD))]
    pod: Pod = next(pod for pod in pods if pod.status.pod_ip and not pod.metadata.deletion_timestamp)
    for connections in (1, 16, 64):
        through, direct = [], []
        for _ in range(3):
            direct.append(await load(f"http://{pod.status.pod_ip}:8080/work", host, connections))
            through.append(await load(f"http://{gateway[0]}:{gateway[1]}/work", host, connections))
        ours, theirs = (statistics.median(rate for rate, _ in runs) for runs in (through, direct))
        late = max(p99 for _, p99 in through)
        table.add(f"warm, {connections} connections", f"{ours:,.0f}/s, p99 {late:.1f} ms", "", f"pod direct {theirs:,.0f}/s", ours / theirs)


async def load(url: str, host: str, connections: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile in ms."""
    argv = ["wrk", "-t1", f"-c{connections}", "-d3s", "--latency", "-H", f"Host: {host}", url]
    said = (await anyio.run_process(argv, stderr=subprocess.STDOUT)).stdout.decode()
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    rate, late = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate and late, said
    return float(rate[1]), float(late[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[late[2]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
