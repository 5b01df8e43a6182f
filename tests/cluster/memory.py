"""What each process of kfn weighs in its pod, installed by the chart: idle, and with 50 Services at zero.

`python -m tests.cluster.memory [SERVICES]`, on a cluster of `make cluster-up`, with two of each part. RSS is what `ps` shows, PSS counts a
page that several processes share once: two pods of one image share the interpreter's files. The Services begin with no instance, in
namespaces of ten, and are deleted afterwards.
"""

import json
import os
import sys
import time
from typing import Any

from tests.cluster import containers, lifecycle, stage
from tests.cluster import platform as platforms
from tests.cluster.layout import Layout, cluster_name
from tests.cluster.platform import Platform, a_service
from tests.cluster.shell import say, wait_for

PARTS = ("gateway", "controller", "autoscaler", "eventing", "nats")
MIB = 1 << 20
SETTLED = 10.0  # seconds after the last change


def weigh(platform: Platform, cluster: Layout) -> dict[str, list[tuple[int, int]]]:
    """RSS and PSS of each pod, by part."""
    return {part: [containers.memory(cluster, pod) for pod in stage.of_part(platform, part).values()] for part in PARTS}


def services(image: str, count: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(count):
        if number % 10 == 0:
            made.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"weighed-{number // 10}"}})
        service = a_service(f"function-{number}", image, annotations={"autoscaling.knative.dev/initial-scale": "0"})
        service["metadata"]["namespace"] = f"weighed-{number // 10}"
        made.append(service)
    return made


def are_ready(platform: Platform, count: int) -> bool:
    said = platform.kubectl(
        "get",
        "ksvc",
        "-A",
        "-o",
        'jsonpath={range .items[*]}{.metadata.namespace} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}',
    )
    return sum(line.startswith("weighed-") and line.endswith(" True") for line in said.splitlines()) == count


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    platform, cluster = platforms.up(), lifecycle.existing(cluster_name())
    if cluster is None or str(cluster.kubeconfig) != os.environ["KUBECONFIG"]:
        say("error: the processes of somebody else's cluster cannot be seen from here: make cluster-up")
        return 1
    platform.upgrade(**stage.TWO)
    image = platform.hello()
    time.sleep(SETTLED)  # noqa: TID251 - no event loop here
    idle = weigh(platform, cluster)
    things = services(image, count)
    try:
        platform.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": things}), timeout=300)
        wait_for(f"{count} Services", lambda: are_ready(platform, count), 600, 1)
        time.sleep(SETTLED)  # noqa: TID251 - no event loop here
        full = weigh(platform, cluster)
    finally:
        platform.kubectl(
            "delete",
            "namespace",
            "--wait=false",
            "--ignore-not-found",
            *(one["metadata"]["name"] for one in things if one["kind"] == "Namespace"),
        )
        platform.upgrade()
    print(f"MiB, RSS (PSS) of each pod          idle    with {count} Services at zero")
    for part in PARTS:
        for pod, (before, after) in enumerate(zip(idle[part], full[part], strict=True)):
            cells = [f"{rss / MIB:6.1f} ({pss / MIB:5.1f})" for rss, pss in (before, after)]
            print(f"{part:12} {pod + 1}    {'    '.join(cells)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
