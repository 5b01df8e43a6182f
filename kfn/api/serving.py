"""`serving.knative.dev/v1`: Service, Configuration, Revision, Route. Fields and names are Knative's."""

from kfn.api.base import Base
from kfn.api.core import PodSpec
from kfn.api.meta import Addressable, Condition, ObjectMeta

GROUP = "serving.knative.dev"
API_VERSION = "serving.knative.dev/v1"


class RevisionSpec(PodSpec, frozen=True):
    """A pod plus what Knative adds. Times in seconds; `container_concurrency` 0 is unlimited."""

    container_concurrency: int | None = None
    timeout_seconds: int | None = None
    response_start_timeout_seconds: int | None = None
    idle_timeout_seconds: int | None = None


class RevisionTemplate(Base, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: RevisionSpec = RevisionSpec()


class TrafficTarget(Base, frozen=True):
    """One receiver of requests: a Revision, or the newest one, and its part."""

    tag: str = ""
    revision_name: str = ""
    configuration_name: str = ""
    latest_revision: bool | None = None
    percent: int | None = None
    url: str = ""


class ServiceSpec(Base, frozen=True):
    template: RevisionTemplate = RevisionTemplate()
    traffic: list[TrafficTarget] = []


class ServiceStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    url: str = ""
    address: Addressable | None = None
    traffic: list[TrafficTarget] = []
    latest_created_revision_name: str = ""
    latest_ready_revision_name: str = ""


class Service(Base, frozen=True):
    """A function: one address, and behind it the newest of its revisions, or a split between several."""

    api_version: str = API_VERSION
    kind: str = "Service"
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class ConfigurationSpec(Base, frozen=True):
    template: RevisionTemplate = RevisionTemplate()


class ConfigurationStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    latest_created_revision_name: str = ""
    latest_ready_revision_name: str = ""


class Configuration(Base, frozen=True):
    """The wanted state of a function; each change of its template makes a Revision."""

    api_version: str = API_VERSION
    kind: str = "Configuration"
    metadata: ObjectMeta = ObjectMeta()
    spec: ConfigurationSpec = ConfigurationSpec()
    status: ConfigurationStatus = ConfigurationStatus()


class ContainerDigest(Base, frozen=True):
    name: str = ""
    image_digest: str = ""


class RevisionStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    log_url: str = ""
    container_statuses: list[ContainerDigest] = []
    init_container_statuses: list[ContainerDigest] = []
    actual_replicas: int | None = None
    desired_replicas: int | None = None


class Revision(Base, frozen=True):
    """A function's code and settings at one point in time. It never changes; it scales from nothing to many instances and back."""

    api_version: str = API_VERSION
    kind: str = "Revision"
    metadata: ObjectMeta = ObjectMeta()
    spec: RevisionSpec = RevisionSpec()
    status: RevisionStatus = RevisionStatus()


class RouteSpec(Base, frozen=True):
    traffic: list[TrafficTarget] = []


class RouteStatus(Base, frozen=True):
    """`traffic` is resolved: every target names a revision, and a tagged one has its own `url`."""

    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    url: str = ""
    address: Addressable | None = None
    traffic: list[TrafficTarget] = []


class Route(Base, frozen=True):
    """An address, and the Revisions that its requests go to."""

    api_version: str = API_VERSION
    kind: str = "Route"
    metadata: ObjectMeta = ObjectMeta()
    spec: RouteSpec = RouteSpec()
    status: RouteStatus = RouteStatus()
