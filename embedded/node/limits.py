"""Resource limits of an instance as far as a plain process can have them.

Without a cgroup of its own an instance gets RLIMIT_DATA for its memory limit (address space alone would hurt libraries that
map a lot and use little) and no CPU limit. With one, `cgroups.py` sets memory.max and cpu.max.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from embedded.node.errors import BadPod
from kfn.api.core import Container, Quantity

_SUFFIX = {
    "": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?([a-zA-Z]*)")


@dataclass(frozen=True, slots=True)
class Limits:
    """None is unlimited. Memory in bytes, CPU in cores."""

    memory: int | None = None
    cpu: float | None = None


def quantity(value: Quantity, path: str) -> float:
    """A Kubernetes quantity as a number."""
    match = _QUANTITY.fullmatch(str(value).strip())
    if not match or match[3] not in _SUFFIX:
        raise BadPod(f"{path}: {value!r} is not a quantity; write it like 500m, 2, 256Mi or 1Gi")
    return float(match[1]) * float(10 ** int(match[2] or 0)) * _SUFFIX[match[3]]


def of(container: Container) -> Limits:
    limits = container.resources.limits if container.resources else {}
    path = f"containers[{container.name}].resources.limits"
    memory = quantity(limits["memory"], f"{path}.memory") if "memory" in limits else None
    cpu = quantity(limits["cpu"], f"{path}.cpu") if "cpu" in limits else None
    return Limits(int(memory) if memory else None, cpu or None)


def rlimits(limits: Limits, open_files: int, *, in_cgroup: bool) -> Mapping[str, int]:
    """What the forked child sets on itself, by the names of `resource.RLIMIT_*`."""
    found = {"nofile": open_files, "core": 0}
    if limits.memory and not in_cgroup:
        found["data"] = limits.memory
    return found
