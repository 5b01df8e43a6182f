"""Admission: an object as a user sent it becomes the object that is stored, or is refused with every reason at once.

The embedded API server calls this on create and update (not for status); on a cluster the webhook does (`controller.webhook`).
"""

import copy
import re
from typing import Any

import msgspec

from kfn.api import (
    annotations,
    defaults,
    kinds,
    names,
    validate_apiserver,
    validate_build,
    validate_eventing,
    validate_jobsink,
    validate_messaging,
    validate_pipeline,
    validate_queues,
    validate_serving,
    validate_sources,
)
from kfn.api.base import Json, decode
from kfn.api.errors import FieldError, Invalid
from kfn.api.kinds import Kind
from kfn.api.unknown import find_mistyped, find_unknown

_VALIDATE = {
    **validate_serving.BY_KIND,
    **validate_eventing.BY_KIND,
    **validate_messaging.BY_KIND,
    **validate_sources.BY_KIND,
    **validate_queues.BY_KIND,
    **validate_pipeline.BY_KIND,
    **validate_apiserver.BY_KIND,
    **validate_jobsink.BY_KIND,
    **validate_build.BY_KIND,
}
_SIGNED = ("services.serving.knative.dev", "configurations.serving.knative.dev", "routes.serving.knative.dev")
_TYPE_PATH = re.compile(r"^(?P<said>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*?)`)?$", re.DOTALL)


def admit(kind: Kind[Any], operation: str, new: Json, old: Json | None, user: str) -> Json:
    """Fill in defaults, validate, and return the object to store; `new` is left as it is.

    `operation` is CREATE or UPDATE, `old` the stored object on UPDATE. Raises `Invalid`. Kinds without rules pass unchanged.
    """
    if kind.qualified not in _VALIDATE:
        return new
    meta = _at(new, "metadata")
    subject = f'{kind.kind}.{kind.group} "{meta.get("name") or meta.get("generateName") or ""}"'
    obj = _without_nulls(copy.deepcopy(new))
    previous = _without_nulls(old) if operation == "UPDATE" and old is not None else None
    if meta.get("deletionTimestamp"):
        return obj  # Only finalizers still change; rules that came later must not keep it from going.
    kept = previous is not None and (obj.get("spec") or {}) == (previous.get("spec") or {})
    errors = _illegible(kind, obj)
    if errors and kept and previous is not None and errors == _illegible(kind, previous):
        return obj
    if not errors:
        errors = _fill_in_and_judge(kind, obj, previous, user, kept=kept)
        if errors and previous is not None and not _illegible(kind, previous):
            # What was wrong before may stay: a rule that came later must not keep other fields from being changed.
            standing = set(_fill_in_and_judge(kind, copy.deepcopy(previous), None, None, kept=kept))
            errors = [error for error in errors if error not in standing]
    if errors:
        raise Invalid(errors, subject)
    return obj


def rules() -> list[Json]:
    """The kinds that have rules, as a webhook's configuration lists them: the objects themselves, not their status."""
    groups: dict[tuple[str, str], list[str]] = {}
    for kind in kinds.ALL:
        if kind.qualified in _VALIDATE:
            groups.setdefault((kind.group, kind.version), []).append(kind.plural)
    return [
        {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": plurals, "scope": "Namespaced"}
        for (group, version), plurals in groups.items()
    ]


def _illegible(kind: Kind[Any], obj: Json) -> list[FieldError]:
    """What has the wrong type, or is no field at all: nothing more can be said of such an object."""
    try:
        decode(kind.type, obj)
    except msgspec.ValidationError as error:
        return [_type_error(str(error), obj)]
    mistyped = [_type_error(f"{said} - at `$.{path}`", obj) for path, said in find_mistyped(kind.type, obj)]
    return mistyped or _unknown(kind, obj)


def _fill_in_and_judge(kind: Kind[Any], obj: Json, previous: Json | None, user: str | None, *, kept: bool) -> list[FieldError]:
    """A spec that is `kept` as it is stored gets no defaults that came later either: a new label would otherwise make a new revision,
    and a Revision of an older kfn could never be labelled."""
    spec = copy.deepcopy(obj.get("spec")) if kept else None
    defaults.BY_KIND[kind.qualified](obj)
    if spec is not None:
        obj["spec"] = spec
    errors = _sign(obj, previous, user) if kind.qualified in _SIGNED and user is not None else []
    typed_old = decode(kind.type, previous) if previous is not None and not _illegible(kind, previous) else None
    return errors + _VALIDATE[kind.qualified](decode(kind.type, obj), typed_old)


def _unknown(kind: Kind[Any], obj: Json) -> list[FieldError]:
    """Unknown fields of what a user writes. Metadata and status belong to Kubernetes and to controllers."""
    written = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    errors = []
    for found in find_unknown(kind.type, written):
        fix = f'did you mean "{found.suggestion}"?' if found.suggestion else f"remove it; known here: {', '.join(found.known)}"
        fix += " Quote it: YAML reads on as true." if (found.name, found.suggestion) == ("true", "on") else ""
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
    changed = (old.get("spec") or {}) != (obj.get("spec") or {})
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
