"""`sources.knative.dev/v1`: ApiServerSource. Fields and names are Knative's."""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.shapes import Selector
from kfn.api.sourced import SourceSpec, SourceStatus

REFERENCE, RESOURCE = "Reference", "Resource"
VERBS = ("add", "update", "delete")
DEFAULT_ACCOUNT = "default"


class ApiVersionKind(Base, frozen=True):
    """A kind of objects; of an owner, either may be left out."""

    api_version: str = ""
    kind: str = ""


class ApiVersionKindSelector(ApiVersionKind, frozen=True):
    """A kind of objects, and which of them."""

    selector: Selector | None = None


class ApiServerSourceSpec(SourceSpec, frozen=True):
    """`mode` is Reference or Resource; without a `namespace_selector` the source's own namespace is watched, with an empty one all are."""

    resources: list[ApiVersionKindSelector] = []
    owner: ApiVersionKind | None = None
    mode: str = ""
    service_account_name: str = ""
    namespace_selector: Selector | None = None
    filters: list[dict[str, Any]] = []


class ApiServerSourceStatus(SourceStatus, frozen=True):
    namespaces: list[str] = []


class ApiServerSource(Base, frozen=True):
    """Tells of every object of some kinds that is added, changed or removed."""

    api_version: str = "sources.knative.dev/v1"
    kind: str = "ApiServerSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: ApiServerSourceSpec = ApiServerSourceSpec()
    status: ApiServerSourceStatus = ApiServerSourceStatus()


def type_of(mode: str, verb: str) -> str:
    """The type of its events."""
    return f"dev.knative.apiserver.{'resource' if mode == RESOURCE else 'ref'}.{verb}"
