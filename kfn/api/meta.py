"""What every resource carries: metadata, owner references, conditions; and the duck types that resources share."""

from typing import Any

import msgspec

from kfn.api.base import Base


class OwnerReference(Base, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Base, frozen=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []
    finalizers: list[str] = []
    managed_fields: list[Any] = []
    self_link: str = ""


class Condition(Base, frozen=True):
    """Knative's condition: `status` is "True", "False" or "Unknown"; `severity` "" means error."""

    type: str = ""
    status: str = ""
    severity: str = ""
    last_transition_time: str = ""
    reason: str = ""
    message: str = ""


class KReference(Base, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    group: str = ""
    address: str = ""


class Destination(Base, frozen=True):
    """Where events go: an addressable object, a URI, or a URI relative to the object's address."""

    ref: KReference | None = None
    uri: str = ""
    ca_certs: str = msgspec.field(name="CACerts", default="")
    audience: str = ""


class Addressable(Base, frozen=True):
    url: str = ""
    name: str = ""
    ca_certs: str = msgspec.field(name="CACerts", default="")
    audience: str = ""


class DeliverySpec(Base, frozen=True):
    """How an event is delivered. Durations are ISO-8601 (`PT0.2S`); `backoff_policy` is linear or exponential."""

    dead_letter_sink: Destination | None = None
    retry: int | None = None
    backoff_policy: str = ""
    backoff_delay: str = ""
    timeout: str = ""
    retry_after_max: str = ""
    format: str = ""
