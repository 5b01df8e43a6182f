"""The processes of a pod as the host sees them: killed as the kernel kills them, and weighed. For a cluster of tests.cluster's own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster import cgroups
from tests.cluster.layout import Layout


def group(cluster: Layout, pod: Mapping[str, Any]) -> str:
    """The cgroup of a pod's first container, below its hierarchy; empty if it has none now."""
    wanted = pod["status"].get("containerStatuses", [{}])[0].get("containerID", "").rpartition("/")[2]
    root = cgroups.hierarchies()[0]
    for top, folders, _ in os.walk(root / cluster.cgroup):
        if wanted and wanted in folders:
            return str((Path(top) / wanted).relative_to(root))
    return ""


def kill(cluster: Layout, pod: Mapping[str, Any]) -> None:
    """SIGKILL to every process of its container, and wait for their end. The kubelet starts it again in the same pod."""
    found = group(cluster, pod)
    assert found and cgroups.kill(found), f"nothing of pod {pod['metadata']['name']} runs"


def memory(cluster: Layout, pod: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of its container's processes: resident, and proportional (a page that several share counts once in all)."""
    resident = proportional = 0
    for pid in cgroups.members(group(cluster, pod)):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        resident, proportional = resident + sizes["Rss"], proportional + sizes["Pss"]
    return resident, proportional
