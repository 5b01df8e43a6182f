"""Admission: an object as a user sent it becomes the object that is stored, or is refused with every reason at once.

The embedded API server calls this on create and update (not for status); on a cluster the webhook does.
"""

import copy
import re
from typing import Any

import msgspec

from kfn.api import annotations, defaults, names, validate_build, validate_eventing, validate_serving, validate_sources
from kfn.api.base import Json, decode
from kfn.api.errors import FieldError, Invalid
from kfn.api.kinds import Kind
from kfn.api.unknown import find_unknown

_VALIDATE = {**validate_serving.BY_KIND, **validate_eventing.BY_KIND, **validate_sources.BY_KIND, **validate_build.BY_KIND}
_SIGNED = ("services.serving.knative.dev", "configurations.serving.knative.dev", "routes.serving.knative.dev")
_TYPE_PATH = re.compile(r"^(?P<said>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*?)`)?$", re.DOTALL)


def admit(kind: Kind[Any], operation: str, new: Json, old: Json | None, user: str) -> Json:
    """Fill in defaults, validate, and return the object to store; `new` is left as it is.

    `operation` is CREATE or UPDATE, `old` the stored object on UPDATE. Raises `Invalid`. Kinds without rules pass unchanged.
    """
    rules = _VALIDATE.get(kind.qualified)
    if rules is None:
        return new
    subject = (
        f'{kind.kind}.{kind.group} "{(new.get("metadata") or {}).get("name") or (new.get("metadata") or {}).get("generateName") or ""}"'
    )
    obj = _without_nulls(copy.deepcopy(new))
    previous = old if operation == "UPDATE" else None
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return obj  # Only finalizers still change; rules that came later must not keep it from going.
    try:
        decode(kind.type, obj)
    except msgspec.ValidationError as error:
        raise Invalid([_type_error(str(error), obj)], subject) from None
    if errors := _unknown(kind, obj):
        raise Invalid(errors, subject)
    defaults.BY_KIND[kind.qualified](obj)
    errors = _sign(obj, previous, user) if kind.qualified in _SIGNED else []
    typed_old = decode(kind.type, previous) if previous is not None else None
    errors += rules(decode(kind.type, obj), typed_old)
    if errors:
        raise Invalid(errors, subject)
    return obj


def _unknown(kind: Kind[Any], obj: Json) -> list[FieldError]:
    """Unknown fields of what a user writes. Metadata and status belong to Kubernetes and to controllers."""
    written = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    errors = []
    for found in find_unknown(kind.type, written):
        fix = f'did you mean "{found.suggestion}"?' if found.suggestion else f"remove it; known here: {', '.join(found.known)}"
        errors.append(FieldError(found.path, f"unknown field; {fix}"))
    return errors


def _sign(obj: Json, old: Json | None, user: str) -> list[FieldError]:
    """Note who made and who last changed it. What a controller owns carries its owner's annotations instead."""
    meta = obj.setdefault("metadata", {})
    if any(owner.get("controller") for owner in meta.get("ownerReferences", [])):
        return []
    notes = meta.setdefault("annotations", {})
    if old is None:
        notes[names.CREATOR] = notes[names.LAST_MODIFIER] = user
        return []
    before = (old.get("metadata") or {}).get("annotations") or {}
    creator = before.get(names.CREATOR, user)
    if notes.setdefault(names.CREATOR, creator) != creator:
        path = annotations.path("metadata.annotations", names.CREATOR)
        return [FieldError(path, f"immutable: it is {creator!r}; leave it as it is")]
    changed = _without_nulls(old.get("spec") or {}) != obj.get("spec")
    notes[names.LAST_MODIFIER] = user if changed else before.get(names.LAST_MODIFIER, user)
    return []


def _type_error(text: str, obj: Json) -> FieldError:
    match = _TYPE_PATH.match(text)
    said, path = (match["said"], match["path"] or "") if match else (text, "")
    said = said.replace("`", "").replace("Expected str", "expected a string").replace("Expected", "expected")
    if "expected a string" in said and re.search(r"got (int|float|bool)", said):
        said += "; put the value in quotes"
    if path.endswith("[...]"):  # A map's value: the decoder does not say of which key.
        path = path.removesuffix("[...]")
        values = _at(obj, path)
        path += next((f"[{key}]" for key, value in values.items() if not isinstance(value, str)), "")
    return FieldError(path, said)


def _at(obj: Any, path: str) -> Json:
    """The JSON object at a path such as `spec.containers[0].env`; an empty one when there is none."""
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(obj, list):
            obj = obj[int(step)] if step.isdecimal() and int(step) < len(obj) else None
        else:
            obj = obj.get(step) if isinstance(obj, dict) else None
    return obj if isinstance(obj, dict) else {}


def _without_nulls(value: Json) -> Json:
    """A JSON null means absent, as everywhere in Kubernetes."""
    cleaned = {}
    for name, child in value.items():
        if child is not None:
            cleaned[name] = _clean(child)
    return cleaned


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return _without_nulls(value)
    return [_clean(item) for item in value] if isinstance(value, list) else value
