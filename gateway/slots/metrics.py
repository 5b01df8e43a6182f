"""The numbers of leased slots (`lease`): what this gateway holds, whether it may use it, and how often it asks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.line import Line
    from gateway.slots.lease import Slots

Row = tuple[dict[str, str], float]


def numbers(slots: "Slots") -> Iterator[tuple[str, str, str, list[Row]]]:
    """Name, kind, meaning and samples of each."""
    instances = [instance for lease in slots.leases.values() for instance in lease.held]
    held, used = sum(i.slots for i in instances), sum(min(i.active, i.slots) for i in instances)
    states: list[Row] = [({"state": "used"}, used), ({"state": "unused"}, held - used)]
    yield "kfn_gateway_slots", "gauge", "Slots of limited instances that this gateway holds.", states
    yield "kfn_gateway_slots_valid", "gauge", "1: the keeper was heard of late enough for unused slots to be used.", [({}, int(slots.sure))]
    yield "kfn_gateway_slots_round_trips_total", "counter", "Answers of the keeper that brought slots.", [({}, slots.trips)]
    yield "kfn_gateway_slots_frames_total", "counter", "Words said to the keeper.", [({}, slots.said)]


def waits(name: str, of: str, line: "Line") -> str:
    return f"{name}{{{of}}} {line.lease.waits}\n" if line.lease is not None else ""


def waited(name: str, of: str, line: "Line") -> str:
    return f"{name}{{{of}}} {line.lease.waited}\n" if line.lease is not None else ""
