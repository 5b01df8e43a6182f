"""`sources.knative.dev/v1` ContainerSource: a program of one's own that sends events. Fields and names are Knative's."""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.sinkbinding import BoundStatus
from kfn.api.sourced import SourceSpec
from kfn.api.sources import API_VERSION


class ContainerSourceSpec(SourceSpec, frozen=True):
    """`template` is Kubernetes' pod template, all of it; its own API server judges it."""

    template: dict[str, Any] = {}


class ContainerSource(Base, frozen=True):
    """Runs one pod whose containers find the address of the sink in K_SINK."""

    api_version: str = API_VERSION
    kind: str = "ContainerSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: ContainerSourceSpec = ContainerSourceSpec()
    status: BoundStatus = BoundStatus()
