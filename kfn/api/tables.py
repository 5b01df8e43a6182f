"""Rows and columns of `meta.k8s.io/v1` Tables, which is what kubectl asks for to print `kubectl get`."""

from datetime import datetime
from typing import Any

from kfn.api.base import Json
from kfn.api.columns import AGE, BY_KIND, NAME, Column
from kfn.api.kinds import Kind


def columns(kind: Kind[Any]) -> list[Json]:
    """The `columnDefinitions` of a kind's Table."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": "name" if column is NAME else "",
            "description": f"{column.json_path}" if column.json_path else column.name,
            "priority": 1 if column.wide else 0,
        }
        for column in _of(kind)
    ]


def row(kind: Kind[Any], obj: Json, now: datetime) -> list[str | int | None]:
    """The `cells` of one object, in the order of `columns`."""
    return [column.read(obj, now) for column in _of(kind)]


def printer_columns(kind: Kind[Any]) -> list[Json]:
    """The same columns as a CRD writes them; a CRD always shows the name first by itself."""
    return [
        {"name": c.name, "type": c.type, "jsonPath": c.json_path, **({"priority": 1} if c.wide else {})} for c in _of(kind) if c is not NAME
    ]


def _of(kind: Kind[Any]) -> tuple[Column, ...]:
    found = BY_KIND.get(kind.qualified, (AGE,))
    # Events lead with the time, as kubectl's do.
    return found if kind.qualified == "events" else (NAME, *found)
