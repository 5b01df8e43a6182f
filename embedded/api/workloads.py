"""Pure: names in Pods, Deployments, Jobs, Secrets and ConfigMaps that Kubernetes restricts. On this machine they become parts of paths.

Knative's kinds have their own rules in `kfn.api`; what controllers make of them comes by here as well.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

from kfn.api.base import Json
from kfn.api.kinds import CONFIG_MAP, DEPLOYMENT, JOB, POD, SECRET, Kind

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEY = re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z0-9]{1,253}")
Fault = tuple[str, str, str]  # field, reason, message


def faults(kind: Kind[Any], obj: Json) -> list[Fault]:
    """What is wrong; empty for kinds that have no such names."""
    if kind == POD:
        return list(_pod(obj.get("spec"), "spec"))
    if kind in (DEPLOYMENT, JOB):
        template = _dict(_dict(obj.get("spec")).get("template"))
        return list(_pod(template.get("spec"), "spec.template.spec"))
    if kind in (SECRET, CONFIG_MAP):
        return list(_keys(obj, base64_in=("data",) if kind == SECRET else ("binaryData",)))
    return []


def _pod(spec: Any, at: str) -> Iterator[Fault]:
    for field in ("initContainers", "containers", "volumes"):
        items = _dict(spec).get(field)
        for i, item in enumerate(items if isinstance(items, list) else ()):
            name = _dict(item).get("name")
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                message = f"Invalid value: {str(name)[:80]!r}: a lowercase RFC 1123 label: at most 63 letters, digits or '-'"
                yield f"{at}.{field}[{i}].name", "FieldValueInvalid", message


def _keys(obj: Json, base64_in: tuple[str, ...]) -> Iterator[Fault]:
    for field in ("data", "binaryData"):
        for key, value in _dict(obj.get(field)).items():
            if not _KEY.fullmatch(key):
                message = f"Invalid value: {key[:80]!r}: a key is letters, digits, '-', '_' or '.', and must not start with '..'"
                yield f"{field}[{key[:80]}]", "FieldValueInvalid", message
            elif field in base64_in and isinstance(value, str) and not _is_base64(value):
                yield f"{field}[{key}]", "FieldValueInvalid", "Invalid value: must be base64; stringData takes plain text"


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return False
    return True


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
