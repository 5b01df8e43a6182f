"""The environment of a container: values, references to Secrets, ConfigMaps and the pod's own fields, as Kubernetes resolves them.

Pure: what the references need is fetched before, by the names that `needs` lists.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from embedded.node.errors import BadPod
from kfn.api.core import ConfigMap, Container, EnvVar, KeyRef, Pod, Secret

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True, slots=True)
class Needs:
    """Names of the objects that a container refers to."""

    secrets: frozenset[str] = frozenset()
    config_maps: frozenset[str] = frozenset()


def needs(container: Container) -> Needs:
    secrets = [e.value_from.secret_key_ref for e in container.env if e.value_from and e.value_from.secret_key_ref]
    maps = [e.value_from.config_map_key_ref for e in container.env if e.value_from and e.value_from.config_map_key_ref]
    return Needs(
        frozenset([ref.name for ref in secrets] + [e.secret_ref.name for e in container.env_from if e.secret_ref]),
        frozenset([ref.name for ref in maps] + [e.config_map_ref.name for e in container.env_from if e.config_map_ref]),
    )


def resolve(
    pod: Pod, container: Container, ip: str, base: Mapping[str, str], secrets: Mapping[str, Secret], config_maps: Mapping[str, ConfigMap]
) -> dict[str, str]:
    """`base`, then envFrom, then env in order. Raises BadPod, which names the variable and what is missing."""
    env = dict(base)
    for source in container.env_from:
        if ref := source.secret_ref or source.config_map_ref:
            what = "secret" if source.secret_ref else "configmap"
            values = _secret(secrets.get(ref.name)) if source.secret_ref else _map(config_maps.get(ref.name))
            if values is None and not ref.optional:
                raise BadPod(f'{what} "{ref.name}" not found')
            env |= {source.prefix + key: value for key, value in (values or {}).items()}
    for variable in container.env:
        value = _value(pod, container, ip, variable, env, secrets, config_maps)
        if value is not None:
            env[variable.name] = value
    return env


def _value(
    pod: Pod, container: Container, ip: str, variable: EnvVar, env: Mapping[str, str], secrets: Mapping[str, Secret],
    config_maps: Mapping[str, ConfigMap],
) -> str | None:  # fmt: skip
    source = variable.value_from
    if source is None:
        return expand(variable.value, env)
    if source.secret_key_ref:
        return _key(variable.name, "secret", source.secret_key_ref, _secret(secrets.get(source.secret_key_ref.name)))
    if source.config_map_key_ref:
        return _key(variable.name, "configmap", source.config_map_key_ref, _map(config_maps.get(source.config_map_key_ref.name)))
    if source.field_ref:
        return field(pod, source.field_ref.field_path, ip, variable.name)
    if source.resource_field_ref:
        resource = str(source.resource_field_ref.get("resource", ""))
        kind, _, name = resource.partition(".")
        limits = container.resources
        values = (limits.limits if kind == "limits" else limits.requests) if limits else {}
        return str(values.get(name, 0))
    raise BadPod(f"env {variable.name}: valueFrom needs secretKeyRef, configMapKeyRef, fieldRef or resourceFieldRef")


def _key(variable: str, what: str, ref: KeyRef, values: Mapping[str, str] | None) -> str | None:
    if values is not None and ref.key in values:
        return values[ref.key]
    if ref.optional:
        return None
    if values is None:
        raise BadPod(f'env {variable}: {what} "{ref.name}" not found')
    raise BadPod(f'env {variable}: couldn\'t find key {ref.key} in {what} "{ref.name}"')


def field(pod: Pod, path: str, ip: str, variable: str) -> str:
    """One of the pod's own fields, for the downward API."""
    meta = pod.metadata
    values = {
        "metadata.name": meta.name, "metadata.namespace": meta.namespace, "metadata.uid": meta.uid, "status.podIP": ip, "status.podIPs": ip,
        "status.hostIP": ip, "spec.nodeName": pod.spec.node_name, "spec.serviceAccountName": pod.spec.service_account_name or "default",
    }  # fmt: skip
    if path in values:
        return values[path]
    if match := _SUBSCRIPT.fullmatch(path):
        return (meta.labels if match[1] == "labels" else meta.annotations).get(match[2], "")
    raise BadPod(f"env {variable}: fieldRef.fieldPath {path!r} is not supported; use one of {', '.join(sorted(values))}")


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` becomes that variable, `$$(NAME)` stays `$(NAME)`, an unknown name stays as it is."""
    return _REFERENCE.sub(lambda m: "$" if m[1] == "$" else env.get(m[2], m[0]), text) if "$" in text else text


def _secret(secret: Secret | None) -> dict[str, str] | None:
    if secret is None:
        return None
    return {k: base64.b64decode(v).decode(errors="surrogateescape") for k, v in secret.data.items()} | dict(secret.string_data)


def _map(config_map: ConfigMap | None) -> dict[str, str] | None:
    return None if config_map is None else dict(config_map.data)
