"""Structural OpenAPI v3 schemas and CustomResourceDefinitions, derived from the types: nothing is written twice."""

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from kfn.api.base import Base, Json
from kfn.api.kinds import Kind
from kfn.api.tables import printer_columns
from kfn.api.unknown import fields_of

_ANY: Json = {"x-kubernetes-preserve-unknown-fields": True}
_SCALARS: dict[Any, Json] = {
    str: {"type": "string"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}


def openapi(type_: Any) -> Json:
    """The structural schema of a type, without references."""
    if type_ in _SCALARS:
        return dict(_SCALARS[type_])
    if get_origin(type_) in (Union, UnionType):
        return _union(get_args(type_))
    if get_origin(type_) is list:
        return {"type": "array", "items": openapi(get_args(type_)[0])}
    if get_origin(type_) is dict:
        value = get_args(type_)[1]
        return {"type": "object", **_ANY} if value is Any else {"type": "object", "additionalProperties": openapi(value)}
    if isinstance(type_, type) and issubclass(type_, Base):
        return {"type": "object", "properties": {name: openapi(field) for name, field in fields_of(type_).items()}}
    return dict(_ANY)


def resource(kind: Kind[Any]) -> Json:
    """The schema of a whole resource. Its metadata is Kubernetes' business, so a schema may not say more than `object`."""
    schema = openapi(kind.type)
    schema["properties"]["metadata"] = {"type": "object"}
    for name in ("apiVersion", "kind"):
        schema["properties"][name] = {"type": "string"}
    if "status" in schema["properties"]:
        schema["properties"]["status"] |= _ANY
    schema["description"] = " ".join((kind.type.__doc__ or kind.kind).split())
    return schema


def crd(kind: Kind[Any]) -> Json:
    """The `apiextensions.k8s.io/v1` CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": kind.qualified,
            "labels": {"app.kubernetes.io/part-of": "kfn", "knative.dev/crd-install": "true", **dict.fromkeys(kind.roles, "true")},
        },
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            },
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}} if "status" in kind.subresources else {},
                    "additionalPrinterColumns": printer_columns(kind),
                    "schema": {"openAPIV3Schema": resource(kind)},
                }
            ],
        },
    }


def _union(members: tuple[Any, ...]) -> Json:
    """`T | None` is an absent T. Text or integer has a form of its own; a number that may be fractional as well has none."""
    kinds = [m for m in members if m is not NoneType]
    if len(kinds) == 1:
        return openapi(kinds[0])
    return {"x-kubernetes-int-or-string": True} if set(kinds) == {int, str} else dict(_ANY)
