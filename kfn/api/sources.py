"""`sources.knative.dev/v1`: PingSource. Fields and names are Knative's."""

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta
from kfn.api.sourced import SourceSpec, SourceStatus

GROUP = "sources.knative.dev"
API_VERSION = "sources.knative.dev/v1"
PING_TYPE = "dev.knative.sources.ping"


class PingSourceSpec(SourceSpec, frozen=True):
    """`schedule` is a cron expression (see `kfn.api.schedule`) in the time zone `timezone`; `data` and `data_base64` exclude each other."""

    schedule: str = ""
    timezone: str = ""
    content_type: str = ""
    data: str = ""
    data_base64: str = ""


class PingSource(Base, frozen=True):
    """Sends an event at the times of a schedule."""

    api_version: str = API_VERSION
    kind: str = "PingSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: PingSourceSpec = PingSourceSpec()
    status: SourceStatus = SourceStatus()
