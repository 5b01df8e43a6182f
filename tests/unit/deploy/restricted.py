"""What the Pod Security Standard "restricted" asks of a pod, as far as it can be asked of one that is not there yet."""

from collections.abc import Iterator
from typing import Any

ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def faults(spec: dict[str, Any]) -> Iterator[str]:
    """Why a pod of this spec would not be let in."""
    whole = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes", []):
        for kind in set(volume) - {"name"} - ALLOWED_VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name} may gain privileges"
        if own.get("privileged"):
            yield f"{name} is privileged"
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            yield f"{name} keeps capabilities"
        if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name} adds capabilities"
        if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
            yield f"{name} may be root"
        if own.get("runAsUser", whole.get("runAsUser")) == 0:
            yield f"{name} is root"
        if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name} has no seccomp profile"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{name} takes a port of its node"
