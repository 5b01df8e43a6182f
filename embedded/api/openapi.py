"""Pure: OpenAPI v3, as far as kubectl reads it: schemas for `explain`, and which patch parameters `apply` may use."""

import hashlib
from functools import cache
from typing import Any

import msgspec

from embedded.api import discovery
from embedded.api.paths import built_in
from kfn.api import kinds, schema
from kfn.api.base import Json
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta

PREFIX = "/openapi/v3"
V2 = "/openapi/v2"
V2_MEDIA = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Strategic merge is not announced: kubectl would then want merge keys in the schema; without, it uses those it was compiled with.
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


@cache
def index() -> Json:
    """Every document's path, with a hash by which clients cache it."""
    paths: Json = {}
    for group_version in discovery.group_versions():
        digest = hashlib.sha256(msgspec.json.encode(document(group_version))).hexdigest().upper()
        where = discovery.base(group_version)
        paths[where.removeprefix("/")] = {"serverRelativeURL": f"{PREFIX}{where}?hash={digest}"}
    return {"paths": paths}


@cache
def document(group_version: str) -> Json:
    """The schemas and paths of one group's version."""
    paths: Json = {}
    schemas: Json = {}
    for kind in kinds.ALL:
        if kind.api_version == group_version:
            schemas[_name(kind)] = _schema(kind)
            paths |= _paths(kind)
    info = {"title": "kfn", "version": discovery.GIT_VERSION}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


@cache
def documents() -> dict[str, str]:
    """Path to group version."""
    return {f"{PREFIX}{discovery.base(gv)}": gv for gv in discovery.group_versions()}


def v2() -> bytes:
    """OpenAPI v2 in protobuf, as small as it may be: swagger, and info's title and version.

    kubectl asks for it only to check a manifest of kind List; finding no schema in it, it leaves the check to the server.
    """
    info = _text(1, "kfn") + _text(2, discovery.GIT_VERSION)
    return _text(1, "2.0") + bytes([2 << 3 | 2, len(info)]) + info


def _text(number: int, value: str) -> bytes:
    """One protobuf string field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value.encode()


def _name(kind: Kind[Any]) -> str:
    """`dev.knative.serving.v1.Service`: the group's labels turned around."""
    group = ".".join(reversed(kind.group.split("."))) if kind.group else "io.k8s.api.core"
    return f"{group}.{kind.version}.{kind.kind}"


def _gvk(kind: Kind[Any]) -> Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema(kind: Kind[Any]) -> Json:
    found = schema.resource(kind, ruled=not built_in(kind))
    metadata = {**schema.openapi(ObjectMeta), "description": "Standard object's metadata."}
    return {**found, "properties": {**found["properties"], "metadata": metadata}, "x-kubernetes-group-version-kind": [_gvk(kind)]}


def _paths(kind: Kind[Any]) -> Json:
    collection = kind.path("{namespace}" if kind.namespaced else None)
    whole = {"$ref": f"#/components/schemas/{_name(kind)}"}
    answer = {"200": {"description": "OK", "content": {"application/json": {"schema": whole}}}}
    body = {"content": {"application/json": {"schema": whole}}}

    def operation(action: str, *, request: Json | None = None, queries: tuple[str, ...] = ()) -> Json:
        entry: Json = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": _gvk(kind), "responses": answer}
        entry["parameters"] = [{"name": q, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for q in queries]
        return {**entry, "requestBody": request} if request else entry

    written = ("dryRun", "fieldManager", "fieldValidation")
    patch = {"content": {media: {"schema": {"type": "object"}} for media in _PATCHES}}
    return {
        collection: {
            "get": operation("list", queries=("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "watch")),
            "post": operation("post", request=body, queries=written),
        },
        f"{collection}/{{name}}": {
            "get": operation("get"),
            "put": operation("put", request=body, queries=written),
            "patch": operation("patch", request=patch, queries=(*written, "force")),
            "delete": operation("delete", queries=("dryRun", "gracePeriodSeconds", "propagationPolicy")),
        },
    }
