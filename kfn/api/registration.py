"""`admissionregistration.k8s.io/v1`: which webhooks an API server asks. What kfn does not look at passes through."""

from typing import Any

from kfn.api.base import Base
from kfn.api.meta import ObjectMeta

GROUP = "admissionregistration.k8s.io"
API_VERSION = "admissionregistration.k8s.io/v1"


class Mutating(Base, frozen=True):
    api_version: str = API_VERSION
    kind: str = "MutatingWebhookConfiguration"
    metadata: ObjectMeta = ObjectMeta()
    webhooks: list[dict[str, Any]] = []


class Validating(Base, frozen=True):
    api_version: str = API_VERSION
    kind: str = "ValidatingWebhookConfiguration"
    metadata: ObjectMeta = ObjectMeta()
    webhooks: list[dict[str, Any]] = []
