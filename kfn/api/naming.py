"""Rules for names: DNS labels, and how long a name may be so that the names derived from it still fit. Each says the fix."""

import re

from kfn.api import names
from kfn.api.errors import FieldError
from kfn.api.meta import ObjectMeta

LABEL_MAX = 63
_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

# A revision's longest derived name is its Deployment's, and that is a label value of every pod.
REVISION_MAX = LABEL_MAX - len(names.deployment(""))
CONFIGURATION_MAX = LABEL_MAX - len(names.deployment(names.revision("", 1)))


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


def serving_name(meta: ObjectMeta, longest: int, example: str) -> list[FieldError]:
    """The name of a Service, Configuration, Revision or Route: a DNS-1035 label of at most `longest` characters."""
    if not meta.name:
        return [] if meta.generate_name else [FieldError("metadata.name", "missing; give the object a name")]
    if wrong := dns1035(meta.name):
        return [FieldError("metadata.name", wrong)]
    if "." in meta.name or len(meta.name) > longest:
        return [FieldError("metadata.name", too_long(meta.name, longest, example))]
    return []


def too_long(name: str, longest: int, example: str) -> str:
    return (
        f"{name!r} has {len(name)} characters, at most {longest} are possible, because names such as {example!r} "
        f"must fit into {LABEL_MAX}; shorten it by {len(name) - longest}"
    )


def subdomain_name(meta: ObjectMeta) -> list[FieldError]:
    """The name of a resource without stricter rules: a DNS-1123 subdomain."""
    if not meta.name:
        return [] if meta.generate_name else [FieldError("metadata.name", "missing; give the object a name")]
    if len(meta.name) <= 253 and _SUBDOMAIN.fullmatch(meta.name):
        return []
    return [FieldError("metadata.name", f"{meta.name!r} is not a DNS name; use lower-case letters, digits, '-' and '.'")]
