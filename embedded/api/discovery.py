"""Pure: the documents by which clients find out what this server has: versions, groups, resources."""

from functools import cache
from typing import Any

from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.kinds import Kind

GIT_VERSION = "v1.34.0+kfn"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
# Not stored, so not in kinds.ALL: answered by `reviews` and `crds`.
_VIRTUAL: dict[str, list[Json]] = {
    "authorization.k8s.io/v1": [
        {"name": f"{k.lower()}s", "singularName": k.lower(), "namespaced": False, "kind": k, "verbs": ["create"]}
        for k in ("SubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview")
    ],
    "authentication.k8s.io/v1": [
        {"name": "selfsubjectreviews", "singularName": "selfsubjectreview", "namespaced": False,
         "kind": "SelfSubjectReview", "verbs": ["create"]}
    ],
    "apiextensions.k8s.io/v1": [
        {
            "name": "customresourcedefinitions", "singularName": "customresourcedefinition", "namespaced": False,
            "kind": "CustomResourceDefinition", "verbs": ["get", "list"], "shortNames": ["crd", "crds"],
        }
    ],
}  # fmt: skip


@cache
def documents() -> dict[str, Json]:
    """Path to document."""
    found: dict[str, Json] = {
        "/version": _version(),
        "/api": {
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]
        },
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in groups()]},
    }  # fmt: skip
    for name in groups():
        found[f"/apis/{name}"] = {**_group(name), "kind": "APIGroup", "apiVersion": "v1"}
    for group_version in group_versions():
        found[base(group_version)] = {
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": _resources(group_version)
        }  # fmt: skip
    return found


def base(group_version: str) -> str:
    """The path under which a group's version lives."""
    return f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"


def group_versions() -> list[str]:
    return list(dict.fromkeys([*(k.api_version for k in (*_core_first(), *kinds.ALL)), *_VIRTUAL]))


def groups() -> list[str]:
    """Named groups, in the order in which kubectl resolves an ambiguous name."""
    return list(dict.fromkeys(gv.split("/")[0] for gv in group_versions() if "/" in gv))


def _core_first() -> list[Kind[Any]]:
    return [k for k in kinds.ALL if not k.group] + [k for k in kinds.ALL if k.group == "apps"]


def _version() -> Json:
    major, minor, *_ = GIT_VERSION.removeprefix("v").split(".")
    return {
        "major": major, "minor": minor, "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "linux/amd64",
    }  # fmt: skip


def _group(name: str) -> Json:
    versions = [{"groupVersion": gv, "version": gv.split("/")[1]} for gv in group_versions() if gv.startswith(f"{name}/")]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resources(group_version: str) -> list[Json]:
    found: list[Json] = list(_VIRTUAL.get(group_version, ()))
    for kind in kinds.ALL:
        if kind.api_version != group_version:
            continue
        entry: Json = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": _VERBS,
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        found.append(entry)
        found += [_subresource(kind, name) for name in kind.subresources]
    return found


def _subresource(kind: Kind[Any], name: str) -> Json:
    entry: Json = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind}
    if name == "scale":
        entry |= {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    return {**entry, "verbs": ["get"] if name == "log" else ["get", "patch", "update"]}
