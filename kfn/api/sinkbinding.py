"""`sources.knative.dev/v1` SinkBinding: tells workloads, in their environment, where to send events. Fields and names are Knative's."""

import msgspec

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.shapes import Selector
from kfn.api.sourced import SourceSpec, SourceStatus
from kfn.api.sources import API_VERSION


class Subject(Base, frozen=True):
    """An object of the same namespace by its name, or all of its kind by their labels."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    selector: Selector | None = None


class SinkBindingSpec(SourceSpec, frozen=True):
    subject: Subject = Subject()


class BoundStatus(SourceStatus, frozen=True):
    """`sink_ca_certs` are those by which the sink is trusted."""

    sink_ca_certs: str = msgspec.field(name="sinkCACerts", default="")


class SinkBinding(Base, frozen=True):
    """Puts the address of a sink into the environment of workloads, as K_SINK."""

    api_version: str = API_VERSION
    kind: str = "SinkBinding"
    metadata: ObjectMeta = ObjectMeta()
    spec: SinkBindingSpec = SinkBindingSpec()
    status: BoundStatus = BoundStatus()
