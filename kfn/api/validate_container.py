"""Rules for one container of a Revision: image, names, environment, port, mounts, resources, security. Probes have their own file."""

import re

from kfn.api import validate_probe
from kfn.api.core import Container, EnvVar
from kfn.api.errors import FieldError
from kfn.api.limits import (
    ENV_MAX,
    ID_MAX,
    NAME_MAX,
    PATH_MAX,
    PORT_NAMES,
    RESERVED_ENV,
    RESERVED_PATHS,
    RESERVED_PORTS,
    VOLUMES_MAX,
    too_many,
)
from kfn.api.naming import dns1123
from kfn.api.quantity import BadQuantity, parse

# attribute, JSON name, what to do
_REFUSED = (
    ("lifecycle", "lifecycle", "use the function's start and stop hooks"),
    ("stdin", "stdin", "a function has no standard input"),
    ("stdin_once", "stdinOnce", "a function has no standard input"),
    ("tty", "tty", "a function has no terminal"),
    ("volume_devices", "volumeDevices", "use volumeMounts"),
    ("resize_policy", "resizePolicy", "a changed resource makes a new revision"),
    ("restart_policy", "restartPolicy", "instances are always restarted"),
)
_SECURITY = (
    "capabilities", "readOnlyRootFilesystem", "runAsUser", "runAsGroup", "runAsNonRoot", "allowPrivilegeEscalation", "seccompProfile",
    "privileged",
)  # fmt: skip
_IMAGE = re.compile(
    r"(?:(?:[a-zA-Z0-9][a-zA-Z0-9.-]*|\[[0-9a-fA-F:]+\])(?::\d+)?/)?"  # registry
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*"  # repository
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"  # tag, digest
)


def validate(container: Container, at: str, volumes: set[str], ports: set[int], *, serves: bool) -> list[FieldError]:
    """`volumes` are the pod's, `ports` those of the whole pod; `serves` says that this container gets the requests."""
    errors = [FieldError(f"{at}.{json}", f"not allowed; {fix}, remove it") for field, json, fix in _REFUSED if getattr(container, field)]
    if wrong := dns1123(container.name):
        errors.append(FieldError(f"{at}.name", wrong))
    elif container.name == "queue-proxy":
        errors.append(FieldError(f"{at}.name", "'queue-proxy' is reserved; use another name"))
    if not container.image:
        errors.append(FieldError(f"{at}.image", "missing; name the image that the function runs from"))
    elif not _IMAGE.fullmatch(container.image):
        errors.append(FieldError(f"{at}.image", f"{container.image!r} is not an image; write registry/name:tag or name@sha256:digest"))
    errors += _choice(f"{at}.imagePullPolicy", container.image_pull_policy, ("Always", "IfNotPresent", "Never"))
    errors += _choice(f"{at}.terminationMessagePolicy", container.termination_message_policy, ("File", "FallbackToLogsOnError"))
    errors += _environment(container, at)
    errors += _port(container, at)
    errors += _mounts(container, at, volumes)
    errors += _resources(container, at)
    errors += _security(container, at)
    errors += validate_probe.validate(container, at, ports, serves=serves)
    return errors


def _choice(path: str, value: str, allowed: tuple[str, ...]) -> list[FieldError]:
    return [] if not value or value in allowed else [FieldError(path, f"{value!r} is not known; use {', '.join(allowed)}")]


def _environment(container: Container, at: str) -> list[FieldError]:
    errors = too_many(f"{at}.env", container.env, ENV_MAX)
    for i, env in enumerate(container.env):
        errors += _variable(env, f"{at}.env[{i}]")
    for i, source in enumerate(container.env_from):
        refs = [r for r in (source.config_map_ref, source.secret_ref) if r is not None]
        if len(refs) != 1 or not refs[0].name:
            errors.append(FieldError(f"{at}.envFrom[{i}]", "set exactly one of configMapRef.name and secretRef.name"))
    return errors


def _variable(env: EnvVar, at: str) -> list[FieldError]:
    if not env.name:
        return [FieldError(f"{at}.name", "missing; give the variable a name")]
    if "=" in env.name or not env.name.isascii() or not env.name.isprintable() or " " in env.name:
        return [FieldError(f"{at}.name", f"{env.name!r} is not a variable's name; use letters, digits and '_'")]
    if len(env.name) > NAME_MAX:
        return [FieldError(f"{at}.name", f"has {len(env.name)} characters, at most {NAME_MAX} are possible; shorten it")]
    if env.name in RESERVED_ENV:
        return [FieldError(f"{at}.name", f"{env.name!r} is set by the platform; use another name")]
    if env.value_from is None:
        return []
    if env.value:
        return [FieldError(at, "has both value and valueFrom; keep one")]
    source = env.value_from
    kinds = [
        s for s in (source.secret_key_ref, source.config_map_key_ref, source.field_ref, source.resource_field_ref, source.file_key_ref) if s
    ]
    if len(kinds) != 1:
        return [FieldError(f"{at}.valueFrom", "set exactly one of secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef")]
    errors = []
    for name, ref in (("secretKeyRef", source.secret_key_ref), ("configMapKeyRef", source.config_map_key_ref)):
        if ref is not None and not (ref.name and ref.key):
            errors.append(FieldError(f"{at}.valueFrom.{name}", "needs a name and a key"))
    return errors


def _port(container: Container, at: str) -> list[FieldError]:
    errors = []
    if len(container.ports) > 1:
        errors.append(FieldError(f"{at}.ports", f"has {len(container.ports)} ports, a function serves one; remove the others"))
    for i, port in enumerate(container.ports):
        here = f"{at}.ports[{i}]"
        if port.host_port is not None or port.host_ip:
            errors.append(FieldError(f"{here}.hostPort", "not allowed; the platform routes to the function, remove it"))
        if not 0 <= port.container_port <= 65535:  # 0, the same as none, is 8080
            errors.append(
                FieldError(f"{here}.containerPort", f"{port.container_port} is not a port; use 0 to 65535, such as 8080 (0 is 8080)")
            )
        elif port.container_port in RESERVED_PORTS:
            reserved = ", ".join(map(str, RESERVED_PORTS))
            errors.append(
                FieldError(f"{here}.containerPort", f"{port.container_port} is reserved (as are {reserved}); use another, such as 8080")
            )
        if port.name not in PORT_NAMES:
            errors.append(FieldError(f"{here}.name", f"{port.name!r} is not known; use http1, or h2c for HTTP/2"))
        errors += _choice(f"{here}.protocol", port.protocol, ("TCP",))
    return errors


def _mounts(container: Container, at: str, volumes: set[str]) -> list[FieldError]:
    errors, seen = too_many(f"{at}.volumeMounts", container.volume_mounts, VOLUMES_MAX), set()
    for i, mount in enumerate(container.volume_mounts):
        here = f"{at}.volumeMounts[{i}]"
        if mount.name not in volumes:
            errors.append(FieldError(f"{here}.name", f"there is no volume {mount.name!r}; add it to volumes"))
        path = mount.mount_path.rstrip("/") or "/"
        if not mount.mount_path:
            errors.append(FieldError(f"{here}.mountPath", "missing; say where the volume appears"))
        elif not mount.mount_path.startswith("/"):
            errors.append(FieldError(f"{here}.mountPath", f"{mount.mount_path!r} is not absolute; begin it with '/'"))
        elif len(mount.mount_path) > PATH_MAX:
            errors.append(FieldError(f"{here}.mountPath", f"has {len(mount.mount_path)} characters, at most {PATH_MAX} are possible"))
        elif path in RESERVED_PATHS or path.startswith(("/dev/log/",)):
            errors.append(FieldError(f"{here}.mountPath", f"{mount.mount_path!r} is reserved by the platform; mount it elsewhere"))
        elif path in seen:
            errors.append(FieldError(f"{here}.mountPath", f"{mount.mount_path!r} is mounted twice; change one"))
        seen.add(path)
    return errors


def _resources(container: Container, at: str) -> list[FieldError]:
    errors: list[FieldError] = []
    amounts: dict[str, dict[str, float]] = {"limits": {}, "requests": {}}
    if container.resources is None:
        return errors
    for field, given in (("limits", container.resources.limits), ("requests", container.resources.requests)):
        for name, value in given.items():
            try:
                amounts[field][name] = parse(value)
            except BadQuantity as error:
                errors.append(FieldError(f"{at}.resources.{field}.{name}", str(error)))
    for name, asked in amounts["requests"].items():
        if asked > amounts["limits"].get(name, asked):
            errors.append(FieldError(f"{at}.resources.requests.{name}", "is more than its limit; lower it or raise the limit"))
    return errors


def _security(container: Container, at: str) -> list[FieldError]:
    context = container.security_context or {}
    here = f"{at}.securityContext"
    errors = [FieldError(f"{here}.{key}", f"not allowed; allowed are {', '.join(_SECURITY)}") for key in context if key not in _SECURITY]
    if context.get("privileged"):
        errors.append(FieldError(f"{here}.privileged", "only false is allowed; remove it"))
    ids = {key: context.get(key) for key in ("runAsUser", "runAsGroup")}
    errors += [
        FieldError(f"{here}.{key}", f"{number} is not an id; use 0 to {ID_MAX}")
        for key, number in ids.items()
        if isinstance(number, int) and not 0 <= number <= ID_MAX
    ]
    capabilities = context.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, dict) else None
    if added and added != ["NET_BIND_SERVICE"]:
        errors.append(FieldError(f"{here}.capabilities.add", "only NET_BIND_SERVICE can be added; remove the others"))
    return errors
