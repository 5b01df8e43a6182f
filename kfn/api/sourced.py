"""What every source has, as Knative's duck type lays it out: a sink, attributes for its events, and a status that says where they go."""

from kfn.api.base import Base
from kfn.api.meta import Condition, DeliverySpec, Destination


class CloudEventOverrides(Base, frozen=True):
    """Extension attributes that every event of the source gets, or gets anew."""

    extensions: dict[str, str] = {}


class CloudEventAttributes(Base, frozen=True):
    type: str = ""
    source: str = ""


class SourceSpec(Base, frozen=True):
    sink: Destination = Destination()
    ce_overrides: CloudEventOverrides | None = None

    @property
    def extensions(self) -> dict[str, str]:
        """The attributes that `ce_overrides` gives; none where it is missing."""
        return self.ce_overrides.extensions if self.ce_overrides is not None else {}


class DeliveringSpec(SourceSpec, frozen=True):
    """Of a source that says itself how its events are delivered."""

    delivery: DeliverySpec | None = None


class SourceStatus(Base, frozen=True):
    observed_generation: int = 0
    conditions: list[Condition] = []
    annotations: dict[str, str] = {}
    sink_uri: str = ""
    ce_attributes: list[CloudEventAttributes] = []
