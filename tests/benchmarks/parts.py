"""What each process of kfn weighs: idle, and with 50 Services at zero. `python -m tests.benchmarks.parts [SERVICES]`.

RSS is what `ps` shows; PSS counts what several processes share once. The API server is the embedded one without a node: no instance
ever runs, and every process follows what it would on a cluster.
"""

import sys
import tempfile
from pathlib import Path

import anyio

from embedded.nats import nats_server
from kfn.api import kinds
from kfn.api.core import Namespace
from kfn.api.meta import ObjectMeta
from kfn.kube.client import Client
from tests.integration.parts.stage import Part, stage

MIB = 1024.0  # of KiB


def weight(pid: int) -> tuple[float, float]:
    """RSS and PSS in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {line.split()[0]: float(line.split()[1]) for line in lines[1:]}
    return found["Rss:"] / MIB, found["Pss:"] / MIB


def a_service(number: int) -> dict[str, object]:
    container = {
        "image": f"dev.local/function@sha256:{number:064x}",
        "env": [{"name": f"VARIABLE_{n}", "value": "x" * 40} for n in range(5)],
    }
    meta = {"name": f"function-{number:03}", "namespace": "default"}
    template = {"spec": {"containers": [container]}}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": meta, "spec": {"template": template}}


def show(what: str, parts: dict[str, int]) -> None:
    weights = {name: weight(pid) for name, pid in parts.items()}
    print(f"\n{what}\n{'process':<14}{'RSS MiB':>9}{'PSS MiB':>9}")
    for name, (rss, pss) in weights.items():
        print(f"{name:<14}{rss:>9.1f}{pss:>9.1f}")
    kfn = [one for name, one in weights.items() if name != "nats"]
    print(f"{'kfn in all':<14}{sum(rss for rss, _ in kfn):>9.1f}{sum(pss for _, pss in kfn):>9.1f}")


async def settled(controller: Part, client: Client, count: int) -> None:
    """Every Revision is there and the controller has nothing left to look at."""
    with anyio.fail_after(600):
        while True:
            revisions, _ = await client.list(kinds.REVISION)
            pending = "kfn_controller_pending 0\n" in (await controller.get("/metrics")).text
            if len(revisions) >= count and pending:
                break
            await anyio.sleep(0.5)
    await anyio.sleep(5)


async def run(path: Path, services: int) -> None:
    async with nats_server(path / "nats") as nats, stage(path) as s:
        await s.client.create(kinds.NAMESPACE, Namespace(metadata=ObjectMeta(name="kfn-system")))
        controller = await s.part("controller", "--no-lease", "--webhook-port", "0", "--webhook-host", "127.0.0.1")
        scaler = await s.part("autoscaler", "--no-lease", "--port", "0", "--slots-port", "0")
        given = ("--port", "0", "--nats", nats.url, "--nats-user", nats.user, "--ingress-url", "")
        eventing = await s.part("eventing", "--no-lease", *given, KFN_NATS_PASSWORD=nats.password)
        gateway = await s.part("gateway", "--port", "0", "--autoscaler", scaler.said["load"])
        pids = {"controller": controller, "autoscaler": scaler, "eventing": eventing, "gateway": gateway}
        parts = {**{name: part.process.pid for name, part in pids.items()}, "nats": nats.pid}
        await anyio.sleep(10)
        show("idle", parts)
        for number in range(services):
            await s.client.create(kinds.SERVICE, a_service(number), "default")
        await settled(controller, s.client, services)
        show(f"{services} Services at zero", parts)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(run, Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 50)
