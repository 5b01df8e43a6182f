"""Rules for ApiServerSource."""

import re
from collections.abc import Callable
from typing import Any

from kfn.api import naming
from kfn.api.apiserversource import REFERENCE, RESOURCE, ApiServerSource
from kfn.api.errors import FieldError
from kfn.api.validate_eventing import destination, filters
from kfn.api.validate_sources import overrides, selector

MOST = 50  # resources of one source: each is a watch
_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+")


def api_server(obj: ApiServerSource, old: ApiServerSource | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    errors += destination(spec.sink, "spec.sink", required=True)
    if spec.mode not in ("", REFERENCE, RESOURCE):
        errors.append(FieldError("spec.mode", f"{spec.mode!r} is not known; use {REFERENCE} or {RESOURCE}"))
    if not spec.resources:
        errors.append(FieldError("spec.resources", "missing; name at least one, such as {apiVersion: v1, kind: ConfigMap}"))
    if len(spec.resources) > MOST:
        errors.append(FieldError("spec.resources", f"has {len(spec.resources)}; at most {MOST} go into one source"))
    for i, one in enumerate(spec.resources):
        errors += _kind(one.api_version, one.kind, f"spec.resources[{i}]")
        if one.selector is not None:
            errors += selector(one.selector, f"spec.resources[{i}].selector")
    if spec.owner is not None:
        errors += _kind(spec.owner.api_version, spec.owner.kind, "spec.owner")
    if spec.service_account_name and (wrong := naming.dns_name(spec.service_account_name)):
        errors.append(FieldError("spec.serviceAccountName", wrong))
    if spec.namespace_selector is not None:
        errors += selector(spec.namespace_selector, "spec.namespaceSelector")
    return errors + filters(spec.filters, "spec.filters") + overrides(spec.ce_overrides)


def _kind(api_version: str, kind: str, at: str) -> list[FieldError]:
    errors = []
    if not _VERSION.fullmatch(api_version):
        errors.append(FieldError(f"{at}.apiVersion", f"{api_version!r} is no group and version; write v1, apps/v1 or alike"))
    if not kind.strip():
        errors.append(FieldError(f"{at}.kind", "missing; such as Pod"))
    return errors


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {"apiserversources.sources.knative.dev": api_server}
