"""`sources.knative.dev/v1`: PingSource. Fields and names are Knative's."""

from kfn.api.base import Base
from kfn.api.meta import Condition, Destination, ObjectMeta

GROUP = "sources.knative.dev"
API_VERSION = "sources.knative.dev/v1"
PING_TYPE = "dev.knative.sources.ping"


class CloudEventOverrides(Base, frozen=True):
    """Extension attributes that every event of the source gets, or gets anew."""

    extensions: dict[str, str] = {}


class CloudEventAttributes(Base, frozen=True):
    type: str = ""
    source: str = ""


class PingSourceSpec(Base, frozen=True):
    """`schedule` is a cron expression (see `kfn.api.schedule`) in the time zone `timezone`; `data` and `data_base64` exclude each other."""

    sink: Destination = Destination()
    ce_overrides: CloudEventOverrides | None = None
    schedule: str = ""
    timezone: str = ""
    content_type: str = ""
    data: str = ""
    data_base64: str = ""


class PingSourceStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    sink_uri: str = ""
    ce_attributes: list[CloudEventAttributes] = []


class PingSource(Base, frozen=True):
    """Sends an event at the times of a schedule."""

    api_version: str = API_VERSION
    kind: str = "PingSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: PingSourceSpec = PingSourceSpec()
    status: PingSourceStatus = PingSourceStatus()
