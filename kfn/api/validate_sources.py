"""Rules for sources."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from kfn.api import naming, schedule
from kfn.api.containersource import ContainerSource
from kfn.api.errors import FieldError
from kfn.api.shapes import Selector
from kfn.api.sinkbinding import SinkBinding
from kfn.api.sourced import CloudEventOverrides
from kfn.api.sources import PingSource
from kfn.api.validate_eventing import destination
from kfn.api.webhooksource import WebhookSource

MAX_DATA = 512 * 1024  # bytes; the object that carries it has 1.5 MiB in all
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_WORD = re.compile(r"[\x21-\x7e]{0,200}")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_LABEL = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_OWN = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "subject", "data"})


def ping(obj: PingSource, old: PingSource | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    errors += destination(spec.sink, "spec.sink", required=True)
    errors += _schedule(spec.schedule, spec.timezone)
    if spec.data and spec.data_base64:
        errors.append(FieldError("spec.data", "is set beside dataBase64; keep one"))
    if max(len(spec.data), len(spec.data_base64)) > MAX_DATA:
        errors.append(FieldError("spec.data" if spec.data else "spec.dataBase64", f"is larger than {MAX_DATA // 1024} KiB"))
    try:
        base64.b64decode(spec.data_base64, validate=True)
    except (binascii.Error, ValueError):
        errors.append(FieldError("spec.dataBase64", "is not base64; put text into spec.data"))
    return errors + overrides(spec.ce_overrides)


def sink_binding(obj: SinkBinding, old: SinkBinding | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    errors += destination(obj.spec.sink, "spec.sink", required=True)
    subject = obj.spec.subject
    for field, given, fix in (("apiVersion", subject.api_version, "such as apps/v1"), ("kind", subject.kind, "such as Deployment")):
        if not given:
            errors.append(FieldError(f"spec.subject.{field}", f"missing; {fix}"))
    if subject.api_version and not _API_VERSION.fullmatch(subject.api_version):
        errors.append(FieldError("spec.subject.apiVersion", f"{subject.api_version!r} is no API's group and version; such as apps/v1"))
    if subject.kind and not _KIND.fullmatch(subject.kind):
        errors.append(FieldError("spec.subject.kind", f"{subject.kind!r} is no kind; such as Deployment"))
    if subject.namespace and subject.namespace != obj.metadata.namespace:
        errors.append(FieldError("spec.subject.namespace", f"must be the object's own, {obj.metadata.namespace!r}; remove it"))
    if bool(subject.name) == (subject.selector is not None):
        both = "is set beside selector; keep one" if subject.name else "missing; set name (one workload) or selector (their labels)"
        errors.append(FieldError("spec.subject.name", both))
    if subject.name and (wrong := naming.dns_name(subject.name)):
        errors.append(FieldError("spec.subject.name", wrong))
    if subject.selector is not None:
        errors += selector(subject.selector, "spec.subject.selector")
    return errors + overrides(obj.spec.ce_overrides)


def container(obj: ContainerSource, old: ContainerSource | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    errors += destination(obj.spec.sink, "spec.sink", required=True)
    pod = obj.spec.template.get("spec")
    containers = pod.get("containers") if isinstance(pod, dict) else None
    at = "spec.template.spec.containers"
    if not isinstance(containers, list) or not containers:
        errors.append(FieldError(at, "missing; give at least one container with a name and an image"))
        containers = []
    for i, one in enumerate(containers):
        for field in ("name", "image"):
            if not isinstance(one, dict) or not isinstance(one.get(field), str) or not one[field]:
                errors.append(FieldError(f"{at}[{i}].{field}", "missing; give the container's " + field))
    return errors + overrides(obj.spec.ce_overrides)


def selector(given: Selector, at: str) -> list[FieldError]:
    errors = []
    for name, value in given.match_labels.items():
        if not (_LABEL.fullmatch(name) and _VALUE.fullmatch(value)):
            errors.append(FieldError(f"{at}.matchLabels[{name}]", "is no label; use letters, digits, '-', '_' and '.'"))
    for i, one in enumerate(given.match_expressions):
        here = f"{at}.matchExpressions[{i}]"
        if not _LABEL.fullmatch(one.key):
            errors.append(FieldError(f"{here}.key", f"{one.key!r} is no name of a label"))
        if one.operator not in _OPERATORS:
            errors.append(FieldError(f"{here}.operator", f"{one.operator!r} is not known; use one of {', '.join(_OPERATORS)}"))
        elif bool(one.values) != (one.operator in ("In", "NotIn")):
            errors.append(FieldError(f"{here}.values", "is for In and NotIn, which need at least one"))
        if not all(_VALUE.fullmatch(value) for value in one.values):
            errors.append(FieldError(f"{here}.values", "has what is no value of a label; use letters, digits, '-', '_' and '.'"))
    return errors


def webhook(obj: WebhookSource, old: WebhookSource | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    errors += destination(spec.sink, "spec.sink", required=True)
    for field, name in (("signatureHeader", spec.signature_header), ("typeHeader", spec.type_header), ("idHeader", spec.id_header)):
        if name and not _HEADER.fullmatch(name):
            errors.append(FieldError(f"spec.{field}", f"{name!r} is no name of an HTTP header"))
    for field, value in (("eventType", spec.event_type), ("eventSource", spec.event_source)):
        if not _WORD.fullmatch(value):
            errors.append(FieldError(f"spec.{field}", "has more than 200 characters, a space, or others than printable ASCII"))
    if spec.secret.key and not _KEY.fullmatch(spec.secret.key):
        errors.append(FieldError("spec.secret.key", f"{spec.secret.key!r} is no key of a Secret; use letters, digits, '-', '_' and '.'"))
    if spec.secret.name and (wrong := naming.dns_name(spec.secret.name)):
        errors.append(FieldError("spec.secret.name", wrong))
    return errors + overrides(spec.ce_overrides)


def overrides(given: CloudEventOverrides | None) -> list[FieldError]:
    errors = []
    for name in given.extensions if given else ():
        at = f"spec.ceOverrides.extensions[{name}]"
        if name in _OWN:
            errors.append(FieldError(at, "is an attribute of CloudEvents' own and no extension; choose another name"))
        elif not _ATTRIBUTE.fullmatch(name):
            errors.append(FieldError(at, "is no name for an extension; use up to 20 lower-case letters and digits"))
    return errors


def _schedule(text: str, timezone: str) -> list[FieldError]:
    try:
        schedule.parse(text, timezone)
    except schedule.BadSchedule as error:
        return [FieldError("spec.timezone" if str(error).startswith("time zone") else "spec.schedule", str(error))]
    return []


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {
    "pingsources.sources.knative.dev": ping,
    "sinkbindings.sources.knative.dev": sink_binding,
    "containersources.sources.knative.dev": container,
    "webhooksources.kfn.dev": webhook,
}
