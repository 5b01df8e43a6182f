"""`kfn.dev/v1alpha1` WebhookSource: an address that turns signed requests into events."""

from kfn.api.base import Base
from kfn.api.meta import Addressable, ObjectMeta
from kfn.api.sourced import SourceSpec, SourceStatus

GROUP = "kfn.dev"
API_VERSION = "kfn.dev/v1alpha1"
SECRET = "kfn-webhooks"  # noqa: S105 - the one name that eventing may read in every namespace without being given more
TYPE = "dev.kfn.sources.webhook"
SIGNATURE_HEADER, TYPE_HEADER, ID_HEADER = "X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery"


class SecretKey(Base, frozen=True):
    """A key of a Secret in the same namespace."""

    name: str = ""
    key: str = ""


class WebhookSourceSpec(SourceSpec, frozen=True):
    """Every request must be signed: HMAC-SHA256 of its body under `secret`, as `sha256=` and hex in `signature_header`."""

    secret: SecretKey = SecretKey()
    signature_header: str = SIGNATURE_HEADER
    event_type: str = TYPE
    type_header: str = TYPE_HEADER
    id_header: str = ID_HEADER
    event_source: str = ""


class WebhookSourceStatus(SourceStatus, frozen=True):
    address: Addressable | None = None


class WebhookSource(Base, frozen=True):
    """Receives signed HTTP requests and sends each as an event."""

    api_version: str = API_VERSION
    kind: str = "WebhookSource"
    metadata: ObjectMeta = ObjectMeta()
    spec: WebhookSourceSpec = WebhookSourceSpec()
    status: WebhookSourceStatus = WebhookSourceStatus()


def source_of(source: WebhookSource) -> str:
    """The `source` attribute of its events."""
    meta = source.metadata
    return source.spec.event_source or f"/apis/{API_VERSION}/namespaces/{meta.namespace}/webhooksources/{meta.name}"
