"""Taking an instance out of service: nothing new goes to it from this call on, and its end is told when nothing is under way on it.

Who asks is about to stop the instance: the local node before SIGTERM, on a cluster whoever delays a pod's SIGTERM, over the admin port.
Each gateway answers for itself (`fleet_admin` asks all workers of one), and an instance may be stopped when all have said yes. A pod that
a gateway does not know has nothing under way. Over the admin port nothing is changed, only waited for: the slice says that a pod goes.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import anyio

from gateway.instance import Instance
from kfn.load import RevisionKey

if TYPE_CHECKING:
    from gateway.chain import Chain

LOOK = 0.01  # seconds between two looks at what is under way; an event for each request that ends would cost every request
REMEMBERED = 900.0  # seconds: a pod is gone by then, or whoever asked has changed his mind


class Cordons:
    """Pods that get nothing new although their slices do not say so yet."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, dict[str, float]] = {}  # by namespace, then pod

    def add(self, namespace: str, pod: str) -> None:
        self._until.setdefault(namespace, {})[pod] = self._clock() + REMEMBERED

    def of(self, namespace: str) -> Collection[str]:
        return self._until.get(namespace, ())

    def expired(self) -> list[str]:
        """Forget the old ones; the namespaces of those that are forgotten."""
        now = self._clock()
        changed = []
        for namespace, pods in list(self._until.items()):
            left = {pod: until for pod, until in pods.items() if until > now}
            if len(left) < len(pods):
                changed.append(namespace)
                self._until[namespace] = left
            if not left:
                del self._until[namespace]
        return changed


async def drained(chain: "Chain", namespace: str, pod: str, timeout: float, *, cordon: bool) -> bool:
    """Wait until nothing new goes to the pod, which `cordon` sees to at once, and no request is under way on it. False: that is not
    so after `timeout` seconds."""
    if cordon:
        chain.cordon(namespace, pod)
    instances = {i for line in chain.lines.values() if line.key.namespace == namespace for i in line.instances.values() if i.name == pod}
    for exchange in chain.active:  # an instance may have left the slices before its requests are over
        if exchange.instance is not None and exchange.instance.name == pod and exchange.line and exchange.line.key.namespace == namespace:
            instances.add(exchange.instance)
    with anyio.move_on_after(timeout):
        while not chain.closed and any(_in_service(instance) for instance in instances):  # noqa: ASYNC110 - see LOOK
            await anyio.sleep(LOOK)
        return True
    return not any(_in_service(instance) for instance in instances)


def _in_service(instance: Instance) -> bool:
    return instance.active > 0 or not instance.terminating


def in_flight(chain: "Chain", revision: RevisionKey) -> Counter[str]:
    """Requests under way on each pod of a revision."""
    line = chain.lines.get(revision)
    return Counter({i.name: i.active for i in line.instances.values()} if line else {})
