"""Rules for the pod part of a Revision: Knative's, with the scheduling fields that GPU work needs allowed.

Containers are in `validate_container`; here are volumes, the pod's own fields, and what holds over all containers.
"""

from typing import Any

from kfn.api import validate_container
from kfn.api.core import PodSpec
from kfn.api.errors import FieldError
from kfn.api.limits import CONTAINERS_MAX, VOLUMES_MAX, too_many
from kfn.api.naming import dns1123, service_account

# Fields that would tie a function to a host, or that the platform itself decides.
_REFUSED = {
    "host_network": ("hostNetwork", "a function shares no namespace with its host; remove it"),
    "host_pid": ("hostPID", "a function shares no namespace with its host; remove it"),
    "host_ipc": ("hostIPC", "a function shares no namespace with its host; remove it"),
    "node_name": ("nodeName", "use nodeSelector or affinity instead"),
    "hostname": ("hostname", "instances have names of their own; remove it"),
    "subdomain": ("subdomain", "instances have names of their own; remove it"),
    "restart_policy": ("restartPolicy", "instances are always restarted; remove it"),
    "termination_grace_period_seconds": ("terminationGracePeriodSeconds", "it follows timeoutSeconds; remove it"),
}
DEFAULT_PORT = 8080
_VOLUMES = ("configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim", "csi", "ephemeral", "image", "downwardAPI")


def validate(spec: PodSpec, base: str) -> list[FieldError]:
    errors = [FieldError(f"{base}.{name}", f"not allowed; {fix}") for field, (name, fix) in _REFUSED.items() if getattr(spec, field)]
    if spec.automount_service_account_token:
        errors.append(FieldError(f"{base}.automountServiceAccountToken", "only false is allowed; remove it"))
    if spec.service_account_name and (wrong := service_account(spec.service_account_name, f"{base}.serviceAccountName")):
        errors.append(FieldError(f"{base}.serviceAccountName", wrong))
    errors += too_many(f"{base}.containers", spec.containers, CONTAINERS_MAX)
    errors += too_many(f"{base}.initContainers", spec.init_containers, CONTAINERS_MAX)
    errors += _volumes(spec, base)
    if not spec.containers:
        errors.append(FieldError(f"{base}.containers", "missing; add one container with an image"))
    volumes = {str(v.get("name") or "") for v in spec.volumes}
    ports = {p.container_port or DEFAULT_PORT for c in spec.containers for p in c.ports}
    for i, container in enumerate(spec.containers):
        at = f"{base}.containers[{i}]"
        serves = len(spec.containers) == 1 or bool(container.ports)
        errors += validate_container.validate(container, at, volumes, ports, serves=serves)
    for i, container in enumerate(spec.init_containers):
        at = f"{base}.initContainers[{i}]"
        errors += validate_container.validate(container, at, volumes, set(), serves=False)
        errors += [FieldError(f"{at}.ports", "an init container serves nothing; remove it")] if container.ports else []
    errors += _names(spec, base)
    errors += _ports(spec, base)
    return errors


def _names(spec: PodSpec, base: str) -> list[FieldError]:
    errors, seen = [], set()
    for field, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for i, container in enumerate(containers):
            if container.name in seen:
                errors.append(FieldError(f"{base}.{field}[{i}].name", f"{container.name!r} is taken by another container; rename one"))
            seen.add(container.name)
    return errors


def _ports(spec: PodSpec, base: str) -> list[FieldError]:
    """One port over all containers: it tells which container gets the traffic."""
    with_ports = [i for i, c in enumerate(spec.containers) if c.ports]
    if len(with_ports) > 1:
        at = ", ".join(f"{base}.containers[{i}].ports" for i in with_ports)
        return [FieldError(at, "only one container may have a port, the one that gets the requests; remove the others")]
    if not with_ports and len(spec.containers) > 1:
        return [FieldError(f"{base}.containers", "none has a port; give one containerPort to the container that gets the requests")]
    return []


def _volumes(spec: PodSpec, base: str) -> list[FieldError]:
    errors = too_many(f"{base}.volumes", spec.volumes, VOLUMES_MAX)
    mounted = {m.name for c in (*spec.containers, *spec.init_containers) for m in c.volume_mounts}
    seen: set[str] = set()
    for i, volume in enumerate(spec.volumes):
        at, name = f"{base}.volumes[{i}]", volume.get("name")
        if not isinstance(name, str) or not name:
            errors.append(FieldError(f"{at}.name", "missing; give the volume a name"))
            continue
        if wrong := dns1123(name):
            errors.append(FieldError(f"{at}.name", wrong))
        if name in seen:
            errors.append(FieldError(f"{at}.name", f"{name!r} is taken by another volume; rename one"))
        seen.add(name)
        errors += _volume_source(volume, at)
        if name not in mounted:
            errors.append(FieldError(f"{at}.name", f"volume {name!r} is not mounted; add a volumeMount or remove it"))
    return errors


def _volume_source(volume: dict[str, Any], at: str) -> list[FieldError]:
    sources = [key for key in volume if key != "name"]
    if len(sources) == 1 and sources[0] in _VOLUMES:
        return []
    refused = [key for key in sources if key not in _VOLUMES]
    if refused:
        return [FieldError(f"{at}.{refused[0]}", f"not a volume that a function can have; use one of {', '.join(_VOLUMES)}")]
    return [FieldError(at, f"{'has several sources' if sources else 'has no source'}; set exactly one of {', '.join(_VOLUMES)}")]
