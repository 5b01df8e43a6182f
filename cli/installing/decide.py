"""What stands against an installation, and which way it goes. Pure: answers of the API server in, words and choices out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.installing.customise import MANAGED_BY, PART_OF

Json = dict[str, Any]

LEAST = (1, 30)  # of Kubernetes: what the chart needs
HELM, PLAIN = "helm", "manifests"
RELEASE = "kfn"


@dataclass(frozen=True, slots=True)
class Right:
    """Something that an installer must be allowed to do. `namespaced`: in kfn's namespace, else in the whole cluster."""

    verb: str
    group: str
    resource: str
    namespaced: bool = False

    @property
    def plural(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
RIGHTS = (
    Right("create", "", "namespaces"),
    Right("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    Right("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
    Right("create", _RBAC, "clusterroles"),
    Right("create", _RBAC, "clusterrolebindings"),
    Right("escalate", _RBAC, "clusterroles"),
    Right("create", _ADMISSION, "mutatingwebhookconfigurations"),
    Right("create", _ADMISSION, "validatingwebhookconfigurations"),
    Right("create", "apps", "deployments", True),
    Right("create", "apps", "statefulsets", True),
    Right("create", "", "secrets", True),
    Right("get", "", "secrets", True),
    Right("create", "", "services", True),
    Right("create", "networking.k8s.io", "networkpolicies", True),
    Right("create", "policy", "poddisruptionbudgets", True),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A kfn that is installed: in which namespace, which way."""

    namespace: str
    way: str
    version: str = ""


def too_old(version: Mapping[str, Any]) -> str:
    """What /version says, if it is too old or says nothing; empty: it will do."""
    parts = [re.match(r"\d+", str(version.get(part, ""))) for part in ("major", "minor")]
    if not all(parts):
        return f"the API server does not say which Kubernetes it is ({version.get('gitVersion') or 'no version'})"
    if tuple(int(part[0]) for part in parts if part) < LEAST:
        return f"this cluster runs Kubernetes {version.get('gitVersion')}, and kfn needs {LEAST[0]}.{LEAST[1]} or later"
    return ""


def denied(rights: Sequence[Right], namespace: str) -> str:
    """What to say of rights that are lacking; empty: none is."""
    if not rights:
        return ""
    lacking = [f"{one.verb} {one.plural}" + (f" in {namespace}" if one.namespaced else "") for one in rights]
    return (
        f"you may not {', '.join(lacking)}. An installation makes kinds, cluster roles and webhooks, for which it takes a cluster's "
        "administrator (cluster-admin)"
    )


def foreign(definitions: Sequence[Json]) -> list[str]:
    """Names of definitions that kfn did not bring."""
    return [one["metadata"]["name"] for one in definitions if (one["metadata"].get("labels") or {}).get(PART_OF) != "kfn"]


def foreign_words(names: Sequence[str]) -> str:
    return (
        f"{', '.join(sorted(names))}: these kinds are here and not by kfn; Knative most likely. Two platforms would both act on the same "
        "objects. Use another cluster, or uninstall the other one first (its definitions go last: with them go all Services of theirs)"
    )


def found(binding: Json | None) -> Found | None:
    """By the ClusterRoleBinding of the controller, of which a cluster has one."""
    if binding is None:
        return None
    namespace = next((one.get("namespace", "") for one in binding.get("subjects") or []), "")
    labels = binding["metadata"].get("labels") or {}
    return Found(namespace, HELM if labels.get(MANAGED_BY) == "Helm" else PLAIN, labels.get("app.kubernetes.io/version", ""))


@dataclass(frozen=True, slots=True)
class Way:
    """`way`, or why there is none."""

    way: str = ""
    refused: str = ""


def way(there: Found | None, namespace: str, *, helm: bool, plain: bool, only_helm: Sequence[str]) -> Way:
    """With helm if it is on PATH, unless kfn is there already: then as it was installed. `only_helm` are the flags that take helm."""
    if there and there.namespace != namespace:
        return Way(
            refused=f"kfn is installed in namespace {there.namespace}, and a cluster has room for one: --namespace {there.namespace}"
        )
    chosen = there.way if there else PLAIN if plain or not helm else HELM
    if chosen == HELM and plain:
        return Way(refused="kfn was installed here with helm, and --without-helm would leave its release behind: leave it out")
    if chosen == HELM and not helm:
        return Way(refused="kfn was installed here with helm, and helm is not on PATH. Install helm, or uninstall kfn where it is")
    if chosen == PLAIN and only_helm:
        why = "kfn was installed here without helm" if there else "--without-helm" if plain else "helm is not on PATH"
        return Way(refused=f"{', '.join(only_helm)}: these are values of the chart, which take helm; {why}")
    return Way(chosen)
