"""Condition sets as Knative's: one happy condition that follows from the ones it depends on. Pure; the time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from kfn.api.meta import Condition
from kfn.clock import timestamp

TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"
INFO = "Info"


@dataclass(frozen=True, slots=True)
class ConditionSet:
    """`happy` (Ready) is True when all of `dependents` are. A condition outside both has severity Info and does not count."""

    happy: str
    dependents: tuple[str, ...] = ()

    def initial(self, conditions: Sequence[Condition], now: datetime) -> list[Condition]:
        """The conditions, with every one of the set that is missing added as Unknown."""
        present = {c.type for c in conditions}
        added = [Condition(t, UNKNOWN, last_transition_time=timestamp(now)) for t in (*self.dependents, self.happy) if t not in present]
        return sorted([*conditions, *added], key=lambda c: c.type)

    def mark(self, conditions: Sequence[Condition], type: str, status: str, reason: str, message: str, now: datetime) -> list[Condition]:
        """The conditions after `type` became `status`: the happy one recomputed, sorted, and the same times where nothing changed."""
        severity = "" if type == self.happy or type in self.dependents else INFO
        after = _put(conditions, Condition(type, status, severity, reason=reason, message=message), now)
        if type in self.dependents:
            after = _put(after, self._happiness(after), now)
        return sorted(after, key=lambda c: c.type)

    def _happiness(self, conditions: Sequence[Condition]) -> Condition:
        dependents = [find(conditions, t) or Condition(t, UNKNOWN) for t in self.dependents]
        for status in (FALSE, UNKNOWN):
            for cause in dependents:
                if cause.status == status:
                    return Condition(self.happy, status, reason=cause.reason, message=cause.message)
        return Condition(self.happy, TRUE)


SERVICE = ConditionSet("Ready", ("ConfigurationsReady", "RoutesReady"))
CONFIGURATION = ConditionSet("Ready")
REVISION = ConditionSet("Ready", ("ResourcesAvailable", "ContainerHealthy"))
ROUTE = ConditionSet("Ready", ("AllTrafficAssigned", "IngressReady", "CertificateProvisioned"))
BROKER = ConditionSet(
    "Ready", ("IngressReady", "TriggerChannelReady", "FilterReady", "Addressable", "DeadLetterSinkResolved", "EventPoliciesReady")
)
TRIGGER = ConditionSet(
    "Ready", ("BrokerReady", "DependencyReady", "SubscriberResolved", "SubscriptionReady", "DeadLetterSinkResolved", "OIDCIdentityCreated")
)

BUILD = ConditionSet("Succeeded")


def find(conditions: Sequence[Condition], type: str) -> Condition | None:
    """The condition of that type."""
    return next((c for c in conditions if c.type == type), None)


def is_true(conditions: Sequence[Condition], type: str) -> bool:
    """Whether the condition of that type is there and True."""
    return (found := find(conditions, type)) is not None and found.status == TRUE


def is_false(conditions: Sequence[Condition], type: str) -> bool:
    """Whether the condition of that type is there and False."""
    return (found := find(conditions, type)) is not None and found.status == FALSE


def _put(conditions: Sequence[Condition], new: Condition, now: datetime) -> list[Condition]:
    """Replace the condition of that type. As in Knative, any change of it, also of its reason or message, is a transition."""
    old = find(conditions, new.type)
    rest = [c for c in conditions if c.type != new.type]
    if old is not None and replace(old, last_transition_time="") == new:
        return [*rest, old]
    return [*rest, replace(new, last_transition_time=timestamp(now))]
