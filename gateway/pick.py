"""Which instance takes the next request. Pure.

Small limits: the first that has room, so that the others can idle and go. Otherwise the less loaded of two taken
at random, which is nearly as even as looking at all and does not send every gateway to the same one.
"""

from collections.abc import Sequence
from typing import Protocol

SMALL = 3  # Knative's activator: first free up to this containerConcurrency


class Loaded(Protocol):
    active: int


class Held(Loaded, Protocol):
    slots: int


def pick(instances: Sequence[Loaded], limit: int, chance: float) -> int:
    """The index of an instance with room, or -1. `limit` 0 is unlimited; `chance` in [0, 1) chooses among equals."""
    count = len(instances)
    if count == 0:
        return -1
    if count == 1:
        return 0 if not limit or instances[0].active < limit else -1
    if 0 < limit <= SMALL:
        return _first_free(instances, limit)
    one = int(chance * count)
    rest = chance * count - one  # what is left of the chance picks the second
    two = int(rest * (count - 1))
    if two >= one:
        two += 1
    best = one if instances[one].active <= instances[two].active else two
    if not limit or instances[best].active < limit:
        return best
    return _first_free(instances, limit)


def pick_held(instances: Sequence[Held], limit: int, chance: float) -> int:
    """The same where each instance has its own number of `slots`, of which those that are not in use are room."""
    count = len(instances)
    if count > 1 and limit > SMALL:
        one = int(chance * count)
        two = int((chance * count - one) * (count - 1))
        if two >= one:
            two += 1
        best = one if instances[one].active <= instances[two].active else two
        if instances[best].active < instances[best].slots:
            return best
    return next((i for i, instance in enumerate(instances) if instance.active < instance.slots), -1)


def _first_free(instances: Sequence[Loaded], limit: int) -> int:
    return next((i for i, instance in enumerate(instances) if instance.active < limit), -1)
