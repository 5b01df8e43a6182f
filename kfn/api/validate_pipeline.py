"""Rules for Pipelines: what its fields may hold. What its steps and expressions mean together is judged by `kfn.pipeline`."""

import re
from collections.abc import Callable
from typing import Any

from kfn import pipeline as meaning
from kfn.api import naming
from kfn.api.errors import FieldError
from kfn.api.limits import STEPS_MAX, too_many
from kfn.api.meta import Destination
from kfn.api.pipeline import Pipeline, PipelineStep, Start
from kfn.api.validate_eventing import destination, filters

_STEP = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_TYPE = re.compile(r"[\x21-\x7e]{1,200}")
# What expressions already know by these names, and CEL's own words.
_RESERVED = """
    event data run item index steps true false null in as break const continue else for function if import let loop package namespace return
    var void while bool int uint double string bytes list map null_type type dyn duration timestamp size has optional google
"""
RESERVED = frozenset(_RESERVED.split())


def pipeline(obj: Pipeline, old: Pipeline | None) -> list[FieldError]:
    wrong = naming.dns1123(obj.metadata.name) if obj.metadata.name else None if obj.metadata.generate_name else "missing; give it a name"
    errors = [FieldError("metadata.name", wrong)] if wrong else []
    spec = obj.spec
    if spec.on is None and spec.http is False:
        errors.append(FieldError("spec.http", "is false and there is no spec.on, so nothing could start it; set one of them"))
    if spec.on is not None:
        errors += _start(spec.on)
    if spec.key:
        errors.append(FieldError("spec.key", "is not taken yet: runs go on beside each other, in no order; remove it"))
    errors += too_many("spec.steps", spec.steps, STEPS_MAX)
    for name, step in spec.steps.items():
        errors += _step(name, step)
    return errors if len(spec.steps) > STEPS_MAX else errors + meaning.check(obj)


def _start(on: Start) -> list[FieldError]:
    errors = []
    if not on.type:
        errors.append(FieldError("spec.on.type", "missing; name the type of the events that start a run, such as com.acme.scan.uploaded"))
    for field, value in (("type", on.type), ("source", on.source)):
        if value and not _TYPE.fullmatch(value):
            errors.append(FieldError(f"spec.on.{field}", "has more than 200 characters, a space, or others than printable ASCII"))
    if on.broker and (wrong := naming.dns_name(on.broker)):
        errors.append(FieldError("spec.on.broker", wrong))
    return errors + filters(on.filters, "spec.on.filters")


def _step(name: str, step: PipelineStep) -> list[FieldError]:
    at, errors = f"spec.steps.{name}", list[FieldError]()
    if not _STEP.fullmatch(name):
        fixed = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lstrip("0123456789_")[:63]
        hint = f", such as {fixed!r}" if fixed else ""
        errors.append(
            FieldError(at, f"{name!r} is no name that expressions can read; use letters, digits and '_', and begin with a letter{hint}")
        )
    elif name in RESERVED:
        errors.append(FieldError(at, f"{name!r} is a word of the expressions themselves; choose another name, such as {name + '_step'!r}"))
    for field, value in (("fn", step.fn), ("broker", step.broker)):
        if value and (wrong := naming.dns_name(value)):
            errors.append(FieldError(f"{at}.{field}", wrong))
    if step.emit and not _TYPE.fullmatch(step.emit):
        errors.append(FieldError(f"{at}.emit", "has more than 200 characters, a space, or others than printable ASCII"))
    if step.broker and not step.emit:
        errors.append(FieldError(f"{at}.broker", "is where emit publishes; remove it, or set emit"))
    if step.emit and step.map:
        errors.append(FieldError(f"{at}.map", "a step that publishes has no map; give a function the map, and let it be what publishes"))
    return errors + destination(Destination(step.ref, step.uri), at)


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {"pipelines.kfn.dev": pipeline}
