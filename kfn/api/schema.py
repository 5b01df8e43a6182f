"""Structural OpenAPI v3 schemas, derived from the types: nothing is written twice.

What a type cannot say (bounds, list keys, rules) is `kfn.api.rules`' affair, what a field is for `kfn.api.described`'s; whole
CustomResourceDefinitions are `kfn.api.crd`'s. A cluster's API server and `kfn up` describe resources by the same schemas.
"""

import copy
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from kfn.api import rules
from kfn.api.base import Base, Json
from kfn.api.described import describe
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta
from kfn.api.unknown import fields_of

ANY: Json = {"x-kubernetes-preserve-unknown-fields": True}
_SCALARS: dict[Any, Json] = {
    str: {"type": "string"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}
# What a template may say of its children. A Go client writes its empty creationTimestamp as null.
_TEMPLATE_META: Json = {
    "type": "object",
    "description": "Labels, annotations and, if you want to give it yourself, the name of what is made from this template.",
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "creationTimestamp": {"type": "string", "nullable": True},
    },
    **ANY,
}


def openapi(type_: Any) -> Json:
    """The structural schema of a type, without references and without rules."""
    return _schema(type_, ruled=False)


def resource(kind: Kind[Any], *, ruled: bool = True) -> Json:
    """The schema of a whole resource. Its metadata is Kubernetes' business, so a schema may not say more than `object`."""
    schema = _schema(kind.type, ruled=ruled)
    schema["properties"]["metadata"] = {"type": "object"}
    if "status" in schema["properties"]:
        schema["properties"]["status"] |= ANY
    return schema


def _schema(type_: Any, *, ruled: bool) -> Json:
    if type_ in _SCALARS:
        return dict(_SCALARS[type_])
    if get_origin(type_) in (Union, UnionType):
        return _union(get_args(type_), ruled=ruled)
    if get_origin(type_) is list:
        return {"type": "array", "items": _schema(get_args(type_)[0], ruled=ruled)}
    if get_origin(type_) is dict:
        value = get_args(type_)[1]
        return {"type": "object", **ANY} if value is Any else {"type": "object", "additionalProperties": _schema(value, ruled=ruled)}
    if type_ is ObjectMeta and ruled:
        return copy.deepcopy(_TEMPLATE_META)
    if isinstance(type_, type) and issubclass(type_, Base):
        return _struct(type_, ruled=ruled)
    return dict(ANY)


def _struct(type_: type[Base], *, ruled: bool) -> Json:
    is_status = type_.__name__.endswith("Status")  # only controllers write it: what is there, is there
    properties = {}
    for name, field in fields_of(type_).items():
        properties[name] = _schema(field, ruled=ruled and (name == "conditions" or not is_status))
        if said := describe(type_, name):
            properties[name]["description"] = said
        if ruled:
            properties[name] |= rules.of_field(type_, name)
    schema: Json = {"type": "object", "properties": properties}
    if said := describe(type_):
        schema["description"] = said
    return schema | rules.of_type(type_) if ruled else schema


def _union(members: tuple[Any, ...], *, ruled: bool) -> Json:
    """`T | None` is an absent T. Text or integer has a form of its own; a number that may be fractional as well has none."""
    kinds = [m for m in members if m is not NoneType]
    if len(kinds) == 1:
        return _schema(kinds[0], ruled=ruled)
    return {"x-kubernetes-int-or-string": True} if set(kinds) == {int, str} else dict(ANY)
