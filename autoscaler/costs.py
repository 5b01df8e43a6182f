"""Which pods should go when some of a revision's are to end: the idle ones, by `controller.kubernetes.io/pod-deletion-cost`. Pure.

A ReplicaSet ends pods that are not ready first, then those with the lowest cost, then the newest. Costs that somebody else gave
to pods are left alone, and so is the choice where they differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

COST = "controller.kubernetes.io/pod-deletion-cost"
MARK = "-1000"  # below what anybody who does not mean it gives


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that is not on its way out. `busy` is the number of requests under way on it, `cost` its annotation."""

    name: str
    ready: bool
    busy: int
    cost: str = ""


def marks(pods: Sequence[Candidate], leave: int, most: int) -> dict[str, str | None]:
    """The annotations to write so that, when only `leave` of these are kept, those go that have least to finish; None takes one away.

    At most `most` are written. Where all ready pods have as much to do, nothing is: any of them may go.
    """
    ready = [pod for pod in pods if pod.ready]
    going = len(pods) - leave - (len(pods) - len(ready))
    if going <= 0 or leave <= 0 or going >= len(ready):
        return {}
    if len({pod.busy for pod in ready}) == 1 or any(pod.cost not in ("", MARK) for pod in ready):
        return {}
    order = sorted(ready, key=lambda pod: (pod.busy, pod.cost != MARK, pod.name))  # one that is marked already costs no write
    stay: dict[str, str | None] = {pod.name: None for pod in order[going:] if pod.cost == MARK}
    go: dict[str, str | None] = {pod.name: MARK for pod in order[:going] if pod.cost != MARK}
    return dict([*stay.items(), *go.items()][:most])
