"""Who knows what is under way on a pod: the gateway, which the node does not know. `embedded/app.py` joins them."""

from collections.abc import Mapping
from typing import Protocol

from kfn.load import RevisionKey


class Traffic(Protocol):
    """What the node asks before it ends a pod."""

    async def drained(self, namespace: str, pod: str, timeout: float) -> bool:
        """Nothing new goes to the pod from now on. True once nothing is under way on it, False if `timeout` seconds were not enough."""
        ...

    def in_flight(self, revision: RevisionKey) -> Mapping[str, int]:
        """Requests under way on each pod of a revision."""
        ...


class NoTraffic:
    """Nobody sends anything through us."""

    async def drained(self, namespace: str, pod: str, timeout: float) -> bool:
        return True

    def in_flight(self, revision: RevisionKey) -> Mapping[str, int]:
        return {}
