"""Rules for names: DNS labels and their length. Each says the fix. Derived names shorten themselves (`names.child`)."""

import re
from collections.abc import Mapping

from kfn.api.errors import FieldError
from kfn.api.meta import ObjectMeta
from kfn.api.names import LABEL_MAX

_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def dns1035(value: str) -> str | None:
    """What is wrong with `value` as a DNS-1035 label (starts with a letter), or None."""
    if _1035.fullmatch(value):
        return None
    fixed = re.sub(r"-{2,}", "-", re.sub(r"[^-a-z0-9]", "-", value.lower())).strip("-").lstrip("0123456789-")
    hint = f", such as {fixed!r}" if fixed else ""
    return f"{value!r} is not a DNS label; use lower-case letters, digits and '-', and begin with a letter{hint}"


def dns1123(value: str) -> str | None:
    """What is wrong with `value` as a DNS-1123 label (may start with a digit), or None."""
    if len(value) <= LABEL_MAX and _1123.fullmatch(value):
        return None
    return f"{value!r} is not a DNS label; use at most {LABEL_MAX} lower-case letters, digits and '-'"


def dns_name(value: str) -> str | None:
    """What is wrong with `value` as a whole DNS name, or None."""
    if len(value) > 253:
        return f"it has {len(value)} characters, at most 253 are possible"
    if not _SUBDOMAIN.fullmatch(value):
        return "use lower-case letters, digits, '-' and '.', with a '*.' at most at the beginning"
    long = next((label for label in value.split(".") if len(label) > LABEL_MAX), None)
    return f"{long!r} has {len(long)} characters, at most {LABEL_MAX} are possible between two dots" if long else None


def secret_annotation(annotations: Mapping[str, str], key: str) -> list[FieldError]:
    """An annotation that names a Secret, if it is there."""
    value = annotations.get(key)
    if value is None or (len(value) <= 253 and _SUBDOMAIN.fullmatch(value)):
        return []
    return [FieldError(f"metadata.annotations[{key}]", f"{value[:60]!r} is not the name of a Secret; remove it to ask for nothing")]


def service_account(value: str, path: str) -> str | None:
    """What is wrong with `value` as a ServiceAccount's name, or None. The end is what Knative answers, to the letter, with
    Kubernetes' words about a name: its conformance suite looks for that."""
    if len(value) <= 253 and _SUBDOMAIN.fullmatch(value):
        return None
    rule = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        f"alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN.pattern}')"
    )
    return f"not a ServiceAccount's name; use one such as 'default': invalid value: {value}: {path}\n{rule}"


def serving_name(meta: ObjectMeta) -> list[FieldError]:
    """The name of a Service, Configuration, Revision or Route: a DNS-1035 label."""
    if not meta.name:
        return [] if meta.generate_name else [FieldError("metadata.name", "missing; give the object a name")]
    wrong = dns1035(meta.name) or too_long(meta.name)
    return [FieldError("metadata.name", wrong)] if wrong else []


def too_long(name: str, longest: int = LABEL_MAX, because: str = "") -> str | None:
    """What is wrong with the length of `name`, or None. `because` is the longer name that is made of it."""
    over = len(name) - longest
    if over <= 0:
        return None
    why = f", because {because!r} must fit into {LABEL_MAX}" if because else ""
    return f"{name!r} has {len(name)} characters, at most {longest} are possible{why}; shorten it by {over}"


def subdomain_name(meta: ObjectMeta) -> list[FieldError]:
    """The name of a resource without stricter rules: a DNS-1123 subdomain."""
    if not meta.name:
        return [] if meta.generate_name else [FieldError("metadata.name", "missing; give the object a name")]
    if len(meta.name) <= 253 and _SUBDOMAIN.fullmatch(meta.name):
        return []
    return [FieldError("metadata.name", f"{meta.name!r} is not a DNS name; use lower-case letters, digits, '-' and '.'")]
