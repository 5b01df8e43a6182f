"""The manifests that come with kfn, made into those of one installation: namespace, domain, images, secrets. Pure."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kfn.api.names import SYSTEM_NAMESPACE

Json = dict[str, Any]

DOMAIN = "example.com"  # in the manifests as they are written, as SYSTEM_NAMESPACE is
REGISTRY = "registry.example/kfn"
TOKENS_SECRET, NATS_SECRET = "kfn-tokens", "kfn-nats"
FILES = {1: "kfn.yaml", 3: "kfn-nats-3.yaml"}  # by the number of NATS servers
MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "app.kubernetes.io/part-of"
CHECKSUM = "kfn.dev/config-checksum"
SERVICE_TYPES = ("LoadBalancer", "NodePort", "ClusterIP")
_ORDER = (
    *("Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "ConfigMap"),
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service", "NetworkPolicy", "PodDisruptionBudget"),
    *("Deployment", "StatefulSet", "HorizontalPodAutoscaler", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`images` are whole references by name (kfn, kfn-builder, kfn-nats), which win over `registry` and `tag`."""

    namespace: str = SYSTEM_NAMESPACE
    domain: str = DOMAIN
    registry: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""
    pull_secrets: tuple[str, ...] = ()
    service: str = "LoadBalancer"


def order(thing: Json) -> tuple[int, str, str, str]:
    """Definitions and rights before what needs them, webhooks last. Kinds that are not known come after what is."""
    kind = thing["kind"]
    place = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
    return place, kind, thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def objects(manifests: Iterable[Json], wanted: Wanted) -> list[Json]:
    """The objects to apply, in order."""
    found = [_replaced(one, _words(wanted)) for one in manifests]
    sum_ = hashlib.sha256(json.dumps([one["data"] for one in found if one["kind"] == "ConfigMap"], sort_keys=True).encode()).hexdigest()
    return sorted((_fitted(one, wanted, sum_) for one in found), key=order)


def image(name: str, wanted: Wanted) -> str:
    """The whole reference of one of kfn's images."""
    return wanted.images.get(name) or f"{wanted.registry.rstrip('/')}/{name}:{wanted.tag}"


def as_before(wanted: Wanted, said: Iterable[str], before: Mapping[str, Any]) -> Wanted:
    """What this command line does not say is as it was said last time (`before`: a Wanted as a mapping). Whole names of images are those
    of one version of kfn: a newer one is looked for in the same registry, under its own tag."""
    kept: dict[str, Any] = {name: before[name] for name in ("domain", "service") if name not in said and name in before}
    if "pull_secrets" not in said:
        kept["pull_secrets"] = tuple(before.get("pull_secrets", ()))
    if "registry" not in said:
        kept["registry"] = before.get("registry") or ""
        if before.get("tag") == wanted.tag:
            kept["images"] = {**before.get("images", {}), **wanted.images}
    return replace(wanted, **kept)


def registry_of(images: Mapping[str, str]) -> str:
    """The registry and path of kfn's image, if it has its own name there; else empty."""
    repository = images.get("kfn", "").partition("@")[0]
    path, _, name = repository.rpartition("/")
    return path if name.partition(":")[0] == "kfn" else ""


def definitions(crds: Iterable[Json], version: str) -> list[Json]:
    """CRDs with the labels by which kfn knows its own again."""
    labels = {"app.kubernetes.io/name": "kfn", PART_OF: "kfn", MANAGED_BY: "kfn", "app.kubernetes.io/version": version}
    return [{**one, "metadata": {**one["metadata"], "labels": {**one["metadata"].get("labels", {}), **labels}}} for one in crds]


def secret(name: str, namespace: str, values: Mapping[str, str], component: str) -> Json:
    """A Secret of kfn's own."""
    labels = {"app.kubernetes.io/name": "kfn", "app.kubernetes.io/component": component, PART_OF: "kfn", MANAGED_BY: "kfn"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": dict(values)}


def _words(wanted: Wanted) -> Callable[[str], str]:
    pattern = re.compile(rf"\b{re.escape(SYSTEM_NAMESPACE)}\b|{re.escape(REGISTRY)}/([a-z-]+):[\w.+-]+|\b{re.escape(DOMAIN)}\b")

    def word(found: re.Match[str]) -> str:
        if found[1]:
            return image(found[1], wanted)
        return wanted.namespace if found[0] == SYSTEM_NAMESPACE else wanted.domain

    return lambda text: pattern.sub(word, text)


def _replaced(value: Any, words: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return words(value)
    if isinstance(value, Mapping):
        return {key: _replaced(one, words) for key, one in value.items()}
    return [_replaced(one, words) for one in value] if isinstance(value, Sequence) else value


def _fitted(thing: Json, wanted: Wanted, checksum: str) -> Json:
    if thing["kind"] == "Service" and thing["metadata"]["name"] == "kfn-gateway":
        thing["spec"]["type"] = wanted.service
        if wanted.service == "ClusterIP":
            thing["spec"].pop("externalTrafficPolicy", None)
    template = thing.get("spec", {}).get("template") if thing["kind"] in ("Deployment", "StatefulSet") else None
    if template:
        if wanted.pull_secrets:
            template["spec"]["imagePullSecrets"] = [{"name": name} for name in wanted.pull_secrets]
        if CHECKSUM in template["metadata"].get("annotations", {}):
            template["metadata"]["annotations"][CHECKSUM] = checksum
    return thing
