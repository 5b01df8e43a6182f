"""Which events a Trigger wants: its filters as data, and whether an event passes. Pure. CloudEvents SQL is kfn/cesql.

`filters` (all of them must pass) take precedence over `filter.attributes`, as in Knative.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kfn import cesql
from kfn.api.eventing import TriggerSpec

DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not", "cesql")
MOST_TYPES = 16  # more subjects than this in one consumer cost the server more than they save
_NAME = re.compile(r"[a-z][a-z0-9]*")


class FilterError(ValueError):
    """The filter cannot be applied; the message names the field."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`how` is exact, prefix, suffix or present."""

    how: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple["Filter", ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Filter", ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


@dataclass(frozen=True, slots=True)
class Sql:
    expression: cesql.Expression


Filter = Attribute | AllOf | AnyOf | Not | Sql
Failed = Callable[[cesql.EvaluationError], None]


def _ignore(error: cesql.EvaluationError) -> None:
    pass


def parse(spec: TriggerSpec) -> Filter:
    """The filter of a Trigger. Raises `FilterError`."""
    if spec.filters:
        return AllOf(tuple(_one(item, f"spec.filters[{i}]") for i, item in enumerate(spec.filters)))
    wanted = spec.filter.attributes if spec.filter else {}
    path = "spec.filter.attributes"
    return AllOf(tuple(Attribute("exact" if value else "present", _name(name, path), value) for name, value in wanted.items()))


def matches(filter: Filter, attributes: Mapping[str, str], failed: Failed = _ignore) -> bool:
    """Whether an event with these attributes passes. An attribute that is not there passes no test on it; an expression that cannot be
    evaluated is not passed, and `failed` is told."""
    if isinstance(filter, AllOf):
        return all(matches(part, attributes, failed) for part in filter.parts)
    if isinstance(filter, AnyOf):
        return any(matches(part, attributes, failed) for part in filter.parts)
    if isinstance(filter, Not):
        return not matches(filter.part, attributes, failed)
    if isinstance(filter, Sql):
        try:
            return filter.expression.passes(attributes)
        except cesql.EvaluationError as error:
            failed(error)
            return False
    value = attributes.get(filter.name)
    if value is None:
        return False
    if filter.how == "prefix":
        return value.startswith(filter.value)
    if filter.how == "suffix":
        return value.endswith(filter.value)
    return bool(value) if filter.how == "present" else value == filter.value


def types(filter: Filter) -> frozenset[str] | None:
    """The only event types that can pass, so that the server sends no others; None when that cannot be said."""
    found = _types(filter)
    return found if found is not None and 0 < len(found) <= MOST_TYPES else None


def _types(filter: Filter) -> frozenset[str] | None:
    if isinstance(filter, Attribute):
        return frozenset((filter.value,)) if filter.how == "exact" and filter.name == "type" else None
    if isinstance(filter, Sql):
        return cesql.only(filter.expression.root, "type")
    if isinstance(filter, AllOf):
        known = [found for part in filter.parts if (found := _types(part)) is not None]
        return frozenset.intersection(*known) if known else None
    if isinstance(filter, AnyOf):
        parts = [_types(part) for part in filter.parts]
        return frozenset().union(*(p for p in parts if p is not None)) if parts and None not in parts else None
    return None


def _one(item: Any, path: str) -> Filter:
    dialects = list(item) if isinstance(item, dict) else []
    if len(dialects) != 1:
        raise FilterError(f"{path}: must have exactly one of {', '.join(DIALECTS)}")
    dialect, body = dialects[0], item[dialects[0]]
    path = f"{path}.{dialect}"
    if dialect not in DIALECTS:
        raise FilterError(f"{path}: unknown dialect; use {', '.join(DIALECTS)}")
    if dialect == "cesql":
        return _sql(body, path)
    if dialect == "not":
        return Not(_one(body, path))
    if dialect in ("all", "any"):
        if not isinstance(body, list) or not body:
            raise FilterError(f"{path}: must be a list of at least one filter")
        parts = tuple(_one(part, f"{path}[{i}]") for i, part in enumerate(body))
        return AllOf(parts) if dialect == "all" else AnyOf(parts)
    if not isinstance(body, dict) or not body or not all(isinstance(v, str) and v for v in body.values()):
        raise FilterError(f"{path}: must map attribute names to non-empty strings")
    return AllOf(tuple(Attribute(dialect, _name(name, path), value) for name, value in body.items()))


def _sql(text: Any, path: str) -> Filter:
    if not isinstance(text, str):
        raise FilterError(f"{path}: must be an expression, such as type = 'order.created'")
    try:
        return Sql(cesql.filter(text))
    except cesql.ParseError as error:
        raise FilterError(f"{path}: {error}") from None


def _name(name: str, path: str) -> str:
    if not _NAME.fullmatch(name):
        raise FilterError(
            f"{path}: {name!r} is not an attribute name; it starts with a lower-case letter, then lower-case letters and digits"
        )
    return name
