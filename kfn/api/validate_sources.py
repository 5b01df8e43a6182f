"""Rules for sources."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from kfn.api import naming, schedule
from kfn.api.errors import FieldError
from kfn.api.sources import PingSource
from kfn.api.validate_eventing import destination

MAX_DATA = 512 * 1024  # bytes; the object that carries it has 1.5 MiB in all
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
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
    for name in spec.ce_overrides.extensions if spec.ce_overrides else ():
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


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {"pingsources.sources.knative.dev": ping}
