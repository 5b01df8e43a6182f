"""Addresses of pods that start, as the autoscaler saw them, until a slice names the pod. Pure but for the clock it is given.

The kubelet tells the API server of a pod's address when its containers have started. From there the way through the EndpointSlice
controller takes some 10 ms more than the autoscaler's own look at the pod, and requests are waiting.
"""

from collections.abc import Callable, Sequence

from gateway.addresses import Address
from kfn.load import RevisionKey

BELIEVED = 60.0  # seconds; whoever said so says when the pod is gone, unless he is gone himself


class Early:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pods: dict[RevisionKey, dict[str, tuple[Address, float]]] = {}

    def add(self, key: RevisionKey, address: Address) -> None:
        self._pods.setdefault(key, {})[address.pod] = (address, self._clock() + BELIEVED)

    def of(self, key: RevisionKey) -> tuple[Address, ...]:
        return tuple(address for address, _ in self._pods.get(key, {}).values())

    def confirm(self, key: RevisionKey, found: Sequence[Address]) -> None:
        """A slice names these: from now on it is to be believed."""
        if key in self._pods:
            for address in found:
                self.drop(key, address.pod)

    def drop(self, key: RevisionKey, pod: str) -> bool:
        """Whether it was there."""
        pods = self._pods.get(key)
        if pods is None or pods.pop(pod, None) is None:
            return False
        if not pods:
            del self._pods[key]
        return True

    def expired(self) -> list[RevisionKey]:
        """Forget the old ones; the revisions of those that are forgotten."""
        now = self._clock()
        old = [(key, pod) for key, pods in self._pods.items() for pod, (_, until) in pods.items() if until <= now]
        return [key for key, pod in old if self.drop(key, pod)]
