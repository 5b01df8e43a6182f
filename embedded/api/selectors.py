"""Pure: label and field selectors, parsed once and matched against stored objects."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from embedded.api.status import bad_request
from kfn.api.base import Json

_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s*\(([^()]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s=!(),]+)\s*$")

_MARK = re.compile(r"[(),]")
_LONGEST = 16 * 1024  # characters: parsed selectors are kept

_ANY_KIND = frozenset({"metadata.name", "metadata.namespace"})
_BY_KIND: dict[str, frozenset[str]] = {
    "pods": frozenset({"status.phase", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.podIP"}),
    "namespaces": frozenset({"status.phase"}),
    "secrets": frozenset({"type"}),
    "events": frozenset(
        {f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")}
        | {"reason", "type", "reportingComponent", "source"}
    ),
}


@dataclass(frozen=True, slots=True)
class Selector:
    """What a list or watch asked for. `name` is set when the fields pin one object, which makes it a lookup."""

    labels: tuple[tuple[str, str, frozenset[str]], ...] = ()
    fields: tuple[tuple[tuple[str, ...], bool, str], ...] = ()
    name: str = ""

    def matches(self, obj: Json) -> bool:
        if self.labels:
            have = obj["metadata"].get("labels") or {}
            if not all(_TESTS[op](have, key, values) for key, op, values in self.labels):
                return False
        return all((_field(obj, path) == value) is wanted for path, wanted, value in self.fields)


EVERYTHING = Selector()

_TESTS: dict[str, Callable[[dict[str, str], str, frozenset[str]], bool]] = {
    "in": lambda have, key, values: have.get(key) in values,
    "notin": lambda have, key, values: have.get(key) not in values,  # absent counts as not in, as in Kubernetes
    "exists": lambda have, key, _: key in have,
    "absent": lambda have, key, _: key not in have,
}


def parse(labels: str, fields: str, plural: str) -> Selector:
    """The selector for `labelSelector` and `fieldSelector`. Raises a 400 that names what it could not read."""
    if not labels and not fields:
        return EVERYTHING
    if len(labels) + len(fields) > _LONGEST:
        raise bad_request(f"the selector has {len(labels) + len(fields)} characters; at most {_LONGEST} are accepted")
    return _parsed(labels, fields, plural)


@lru_cache(maxsize=1024)
def _parsed(labels: str, fields: str, plural: str) -> Selector:
    parsed_fields = tuple(_parse_field(term, plural) for term in fields.split(",") if term.strip())
    name = next((value for path, wanted, value in parsed_fields if wanted and path == ("metadata", "name")), "")
    return Selector(tuple(_parse_label(term) for term in _terms(labels)), parsed_fields, name)


def _terms(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    terms, start, inside = [], 0, False
    for found in _MARK.finditer(text):
        if found[0] != ",":
            inside = found[0] == "("
        elif not inside:
            terms.append(text[start : found.start()])
            start = found.end()
    return [t for t in (*terms, text[start:]) if t.strip()]


def _parse_label(term: str) -> tuple[str, str, frozenset[str]]:
    if m := _SET.match(term):
        return m[1], m[2], frozenset(v.strip() for v in m[3].split(","))
    if m := _EQUAL.match(term):
        return m[1], "notin" if m[2] == "!=" else "in", frozenset({m[3]})
    if m := _EXISTS.match(term):
        return m[2], "absent" if m[1] else "exists", frozenset()
    raise bad_request(f'unable to parse requirement: "{term.strip()}" is not a label selector')


def _parse_field(term: str, plural: str) -> tuple[tuple[str, ...], bool, str]:
    m = _EQUAL.match(term)
    if m is None:
        raise bad_request(f'invalid field selector: "{term.strip()}"; can\'t understand it')
    if m[1] not in _ANY_KIND and m[1] not in _BY_KIND.get(plural, frozenset()):
        raise bad_request(f"field label not supported: {m[1]}")
    return tuple(m[1].split(".")), m[2] != "!=", m[3]


def _field(obj: Json, path: tuple[str, ...]) -> str:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return ""
    return str(value)
