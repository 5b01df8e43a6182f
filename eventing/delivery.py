"""`spec.delivery` as a policy: how often, how long apart, how long to wait. A Trigger's replaces its Broker's whole. Pure."""

import re
from dataclasses import dataclass

from kfn.api.meta import DeliverySpec

DEFAULT = DeliverySpec(retry=10, backoff_policy="exponential", backoff_delay="PT0.2S")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class DeliveryError(ValueError):
    """A field of `delivery` is wrong; the message names it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`retry` attempts follow the first. Times are seconds; `timeout` 0 means the platform's limit. `retry_after_max` None means
    that the subscriber's Retry-After counts up to the platform's longest delay, 0 that it is ignored."""

    retry: int = 10
    exponential: bool = True
    delay: float = 0.2
    timeout: float = 0.0
    retry_after_max: float | None = None
    structured: bool = False


def effective(trigger: DeliverySpec | None, broker: DeliverySpec | None) -> DeliverySpec:
    """The one that counts: the Trigger's, else the Broker's, else Knative's default."""
    return trigger or broker or DEFAULT


def policy(spec: DeliverySpec, path: str = "spec.delivery") -> Policy:
    """Raises `DeliveryError`. A delivery that names only a dead-letter sink does not retry, as in Knative."""
    if spec.retry is not None and spec.retry < 0:
        raise DeliveryError(f"{path}.retry: must not be negative")
    if spec.backoff_policy not in ("", "linear", "exponential"):
        raise DeliveryError(f"{path}.backoffPolicy: {spec.backoff_policy!r} is neither linear nor exponential")
    if spec.format not in ("", "json", "binary"):
        raise DeliveryError(f"{path}.format: {spec.format!r} is neither json nor binary")
    return Policy(
        retry=spec.retry or 0,
        exponential=spec.backoff_policy != "linear",
        delay=seconds(spec.backoff_delay, f"{path}.backoffDelay") if spec.backoff_delay else 0.2,
        timeout=seconds(spec.timeout, f"{path}.timeout") if spec.timeout else 0.0,
        retry_after_max=seconds(spec.retry_after_max, f"{path}.retryAfterMax") if spec.retry_after_max else None,
        structured=spec.format == "json",
    )


def seconds(text: str, path: str) -> float:
    """An ISO-8601 duration of days and smaller. Raises `DeliveryError`."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise DeliveryError(f"{path}: {text!r} is not an ISO-8601 duration such as PT0.2S or PT1M")
    days, hours, minutes, secs = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + secs
