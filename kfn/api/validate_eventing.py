"""Rules for Broker and Trigger, and for the destinations and delivery specs that they share with other resources."""

import re
from collections.abc import Callable
from typing import Any

from kfn import cesql
from kfn.api import naming
from kfn.api.annotations import path as annotation
from kfn.api.duration import BadDuration, parse_iso
from kfn.api.errors import FieldError
from kfn.api.eventing import Broker, Trigger
from kfn.api.meta import DeliverySpec, Destination
from kfn.api.names import AUTH, BROKER_CLASS

_ATTRIBUTE = re.compile(r"[a-z][a-z0-9]*")
_BY_ATTRIBUTE = ("exact", "prefix", "suffix")
DIALECTS = (*_BY_ATTRIBUTE, "all", "any", "not", "cesql")


def broker(obj: Broker, old: Broker | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    errors += naming.secret_annotation(obj.metadata.annotations, AUTH)
    if not obj.metadata.annotations.get(BROKER_CLASS):
        errors.append(FieldError(annotation("metadata.annotations", BROKER_CLASS), "missing; remove it to get the default class"))
    if obj.spec.config is not None and not (obj.spec.config.kind and obj.spec.config.name):
        errors.append(FieldError("spec.config", "needs a kind and a name"))
    errors += delivery(obj.spec.delivery, "spec.delivery")
    if old is not None:
        if old.metadata.annotations.get(BROKER_CLASS, "") not in ("", obj.metadata.annotations.get(BROKER_CLASS)):
            at = annotation("metadata.annotations", BROKER_CLASS)
            errors.append(FieldError(at, "immutable; delete the Broker and create it with the other class"))
        if old.spec.config != obj.spec.config:
            errors.append(FieldError("spec.config", "immutable; delete the Broker and create it anew"))
    return errors


def trigger(obj: Trigger, old: Trigger | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    if not spec.broker and spec.broker_ref is None:
        errors.append(FieldError("spec.broker", "missing; name the Broker, such as 'default'"))
    if spec.broker and spec.broker_ref is not None:
        errors.append(FieldError("spec.broker", "is set beside brokerRef; keep one"))
    if old is not None and (old.spec.broker, old.spec.broker_ref) != (spec.broker, spec.broker_ref):
        errors.append(FieldError("spec.broker", f"immutable: it is {old.spec.broker!r}; delete the Trigger and create it anew"))
    if spec.filter is not None:
        errors += _attributes(spec.filter.attributes, "spec.filter.attributes")
    errors += filters(spec.filters, "spec.filters")
    errors += destination(spec.subscriber, "spec.subscriber", required=True)
    return errors + delivery(spec.delivery, "spec.delivery")


def filters(value: list[dict[str, Any]], at: str) -> list[FieldError]:
    return [error for i, one in enumerate(value) for error in _filter(one, f"{at}[{i}]")]


def destination(value: Destination, at: str, *, required: bool = False) -> list[FieldError]:
    """An object or a URI, or both: then the URI is relative."""
    if value.ref is None and not value.uri:
        return [FieldError(at, "missing; set ref (an object) or uri")] if required else []
    errors = []
    if value.ref is not None:
        for field, given, fix in (
            ("kind", value.ref.kind, "such as Service"),
            ("name", value.ref.name, "the object's name"),
            ("apiVersion", value.ref.api_version or value.ref.group or value.ref.address, "such as serving.knative.dev/v1"),
        ):
            if not given:
                errors.append(FieldError(f"{at}.ref.{field}", f"missing; {fix}"))
        if "://" in value.uri:
            errors.append(FieldError(f"{at}.uri", "is absolute beside a ref; make it a path, or remove the ref"))
    else:
        errors += absolute(value.uri, f"{at}.uri")
    return errors


def absolute(url: str, at: str) -> list[FieldError]:
    if re.match(r"[a-z][a-z0-9+.-]*://[^/]", url):
        return []
    return [FieldError(at, f"{url!r} is not an absolute URL; write http://host/path")]


def delivery(value: DeliverySpec | None, at: str) -> list[FieldError]:
    if value is None:
        return []
    errors = destination(value.dead_letter_sink, f"{at}.deadLetterSink", required=True) if value.dead_letter_sink is not None else []
    if value.retry is not None and value.retry < 0:
        errors.append(FieldError(f"{at}.retry", f"{value.retry} is negative; use 0 or more"))
    if value.backoff_policy not in ("", "linear", "exponential"):
        errors.append(FieldError(f"{at}.backoffPolicy", f"{value.backoff_policy!r} is not known; use linear or exponential"))
    if value.format not in ("", "json", "binary"):
        errors.append(FieldError(f"{at}.format", f"{value.format!r} is not known; use json or binary"))
    for field, text, positive in (
        ("backoffDelay", value.backoff_delay, False),
        ("timeout", value.timeout, True),
        ("retryAfterMax", value.retry_after_max, False),
    ):
        if not text:
            continue
        try:
            seconds = parse_iso(text)
        except BadDuration as error:
            errors.append(FieldError(f"{at}.{field}", str(error)))
        else:
            if positive and seconds <= 0:
                errors.append(FieldError(f"{at}.{field}", "must be more than zero"))
    return errors


def _attributes(attributes: dict[str, Any], at: str) -> list[FieldError]:
    errors = []
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            fix = re.sub(r"[^a-z0-9]", "", name.lower()).lstrip("0123456789")
            hint = f", such as {fix!r}" if fix else ""
            errors.append(FieldError(f"{at}[{name}]", f"is no CloudEvents attribute; use lower-case letters and digits{hint}"))
        if not isinstance(value, str):
            errors.append(FieldError(f"{at}[{name}]", "must be a string; put the value in quotes"))
    return errors


def _filter(one: Any, at: str) -> list[FieldError]:
    """One entry of `filters`: an object with exactly one dialect."""
    if not isinstance(one, dict) or len(one) != 1 or next(iter(one)) not in DIALECTS:
        return [FieldError(at, f"set exactly one of {', '.join(DIALECTS)}")]
    dialect, value = next(iter(one.items()))
    here = f"{at}.{dialect}"
    if dialect in _BY_ATTRIBUTE:
        if not isinstance(value, dict) or not value:
            return [FieldError(here, "missing; give attributes and values, such as {type: order.created}")]
        empty = [FieldError(f"{here}[{k}]", "is empty; give a value") for k, v in value.items() if v == ""]
        return _attributes(value, here) + empty
    if dialect == "not":
        return _filter(value, here)
    if dialect == "cesql":
        return _expression(value, here)
    if not isinstance(value, list) or not value:
        return [FieldError(here, "missing; give a list of filters")]
    return [error for i, inner in enumerate(value) for error in _filter(inner, f"{here}[{i}]")]


def _expression(value: Any, at: str) -> list[FieldError]:
    if not isinstance(value, str):
        return [FieldError(at, "must be an expression, such as type = 'order.created'")]
    try:
        cesql.filter(value)
    except cesql.ParseError as error:
        return [FieldError(at, str(error))]
    return []


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {
    "brokers.eventing.knative.dev": broker,
    "triggers.eventing.knative.dev": trigger,
}
