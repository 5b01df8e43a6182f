"""Whether a Trigger or Subscription wants the events of one partition key one after the other, by its annotations. Pure.

`eventing.kfn.dev/ordering: partitionkey` is kfn's word for it. Knative's Kafka Broker has `kafka.eventing.knative.dev/delivery.order:
ordered`, which means the same here, so that a Trigger that was written for that one keeps its promise.
"""

from collections.abc import Mapping

from kfn.api import names

KAFKAS = "kafka.eventing.knative.dev/delivery.order"
GROUP = "kfn"  # the one group of pulls of an ordered consumer
KEY = "partitionkey"


class OrderingError(ValueError):
    """An annotation is wrong; the message names it."""


def wanted(annotations: Mapping[str, str]) -> bool:
    """Raises `OrderingError`: whoever wrote something meant something by it."""
    ours, kafkas = annotations.get(names.ORDERING, "").strip().lower(), annotations.get(KAFKAS, "").strip().lower()
    if ours not in ("", "none", KEY):
        raise OrderingError(f"annotation {names.ORDERING}: {ours[:60]!r} is neither {KEY} nor none")
    if kafkas not in ("", "unordered", "ordered"):
        raise OrderingError(f"annotation {KAFKAS}: {kafkas[:60]!r} is neither ordered nor unordered")
    return ours == KEY or (not ours and kafkas == "ordered")


def is_wanted(annotations: Mapping[str, str]) -> bool:
    """As `wanted`, where somebody else says what is wrong."""
    try:
        return wanted(annotations)
    except OrderingError:
        return False


def pin_time(ack_wait: float) -> float:
    """Seconds after which a replica that does not pull is not the pinned one any more. The next gets what that one had in work `ack_wait`
    after it last reported it alive, which it does every third of that; what is left is longer than it may wrongly believe itself pinned."""
    return 0.4 * ack_wait
