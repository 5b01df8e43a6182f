"""Pure: objects as a `meta.k8s.io/v1` Table, which is what kubectl prints. The columns and cells are `kfn.api.tables`'."""

from datetime import datetime
from typing import Any

from embedded.api import status
from kfn.api import tables
from kfn.api.base import Json
from kfn.api.kinds import Kind


def wanted(accept: str) -> bool:
    """Whether the first media type that the client accepts is a Table."""
    first = accept.split(",")[0]
    return "as=Table" in first and "g=meta.k8s.io" in first and "v=v1" in first.split(";v=v1beta1")[0]


def of(kind: Kind[Any], items: list[Json], meta: Json, include: str, now: datetime) -> Json:
    """`include` is the query's includeObject: None, Metadata (the default) or Object."""
    if include not in ("", "None", "Metadata", "Object"):
        raise status.bad_request(f'invalid includeObject "{include}": must be None, Metadata or Object')
    rows = [{"cells": tables.row(kind, item, now), **_object(item, include)} for item in items]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": tables.columns(kind), "rows": rows}


def _object(item: Json, include: str) -> Json:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": item}
    return {"object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}}
