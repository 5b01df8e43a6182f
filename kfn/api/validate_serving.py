"""Rules for Service, Configuration, Revision and Route, over typed objects that have their defaults."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from kfn.api import annotations, naming, validate_pod
from kfn.api.base import encode
from kfn.api.errors import FieldError
from kfn.api.limits import CONCURRENCY_MAX, TIMEOUT_MAX_SECONDS
from kfn.api.serving import Configuration, Revision, RevisionSpec, RevisionTemplate, Route, Service
from kfn.api.validate_traffic import validate as validate_traffic


def service(obj: Service, old: Service | None) -> list[FieldError]:
    errors = naming.serving_name(obj.metadata)
    errors += annotations.validate_object(obj.metadata.annotations, obj.metadata.labels)
    errors += template(obj.spec.template, obj.metadata.name, old.spec.template if old else None)
    return errors + validate_traffic(obj.spec.traffic, "spec.traffic", obj.metadata.name, in_service=True)


def configuration(obj: Configuration, old: Configuration | None) -> list[FieldError]:
    errors = naming.serving_name(obj.metadata)
    errors += annotations.validate_object(obj.metadata.annotations, obj.metadata.labels)
    return errors + template(obj.spec.template, obj.metadata.name, old.spec.template if old else None)


def revision(obj: Revision, old: Revision | None) -> list[FieldError]:
    errors = naming.serving_name(obj.metadata)
    if old is not None and (changed := _differences(encode(old.spec), encode(obj.spec), "spec")):
        return [*errors, *(FieldError(path, "immutable; change the Service, which makes a new revision") for path in changed)]
    errors += annotations.validate_template(obj.metadata.annotations, "metadata.annotations")
    return errors + revision_spec(obj.spec, "spec")


def route(obj: Route, old: Route | None) -> list[FieldError]:
    errors = naming.serving_name(obj.metadata)
    errors += annotations.validate_object(obj.metadata.annotations, obj.metadata.labels)
    return errors + validate_traffic(obj.spec.traffic, "spec.traffic", obj.metadata.name, in_service=False)


def template(new: RevisionTemplate, parent: str, old: RevisionTemplate | None) -> list[FieldError]:
    errors: list[FieldError] = []
    at, name = "spec.template.metadata.name", new.metadata.name
    if name:
        if wrong := naming.dns1035(name) or naming.too_long(name):
            errors.append(FieldError(at, wrong))
        elif parent and not name.startswith(f"{parent}-"):
            errors.append(FieldError(at, f"{name!r} must begin with '{parent}-', such as '{parent}-{name}'"))
        elif old is not None and old.metadata.name == name and _bare(old) != _bare(new):
            errors.append(FieldError(at, f"the template changed but its name {name!r} did not; change it too, or leave it out"))
    errors += annotations.validate_template(new.metadata.annotations, "spec.template.metadata.annotations")
    return errors + revision_spec(new.spec, "spec.template.spec")


def revision_spec(spec: RevisionSpec, base: str) -> list[FieldError]:
    errors = validate_pod.validate(spec, base)
    errors += _range(f"{base}.containerConcurrency", spec.container_concurrency, CONCURRENCY_MAX)
    errors += _range(f"{base}.timeoutSeconds", spec.timeout_seconds, TIMEOUT_MAX_SECONDS)
    longest = spec.timeout_seconds or TIMEOUT_MAX_SECONDS
    errors += _range(f"{base}.responseStartTimeoutSeconds", spec.response_start_timeout_seconds, longest, " (timeoutSeconds)")
    errors += _range(f"{base}.idleTimeoutSeconds", spec.idle_timeout_seconds, longest, " (timeoutSeconds)")
    return errors


def _range(path: str, value: int | None, most: int, why: str = "") -> list[FieldError]:
    if value is None or 0 <= value <= most:
        return []
    return [FieldError(path, f"{value} is out of bounds; use 0 to {most}{why}")]


def _bare(template: RevisionTemplate) -> RevisionTemplate:
    meta = replace(template.metadata, creation_timestamp="")
    return replace(template, metadata=meta)


def _differences(old: Any, new: Any, path: str) -> list[str]:
    """The paths at which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [at for key in sorted({*old, *new}) for at in _differences(old.get(key), new.get(key), f"{path}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [at for i, (a, b) in enumerate(zip(old, new, strict=True)) for at in _differences(a, b, f"{path}[{i}]")]
    return [] if old == new else [path]


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {
    "services.serving.knative.dev": service,
    "configurations.serving.knative.dev": configuration,
    "revisions.serving.knative.dev": revision,
    "routes.serving.knative.dev": route,
}
