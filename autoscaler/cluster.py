"""The autoscaler as it is on a cluster, where gateways are other processes: what scales, where they report, and who follows pods."""

from dataclasses import dataclass
from typing import Any

import anyio

from autoscaler.app import Autoscaler
from autoscaler.pods import Pods
from autoscaler.receive import Receiver
from autoscaler.settings import Settings
from kfn.kube.client import Client
from kfn.kube.informer import Informer


@dataclass(frozen=True, slots=True)
class Parts:
    """`receiver.route` is to be served where gateways report, and `receiver.end()` called before that server is stopped."""

    scaler: Autoscaler
    receiver: Receiver
    pods: Pods

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return *self.scaler.informers, *self.pods.informers

    async def run(self) -> None:
        """Decide and write until cancelled. Only one process of a cluster may."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pods.run)
            tasks.start_soon(self.scaler.run)


def assembled(client: Client, token: str, settings: Settings | None = None) -> Parts:
    settings = settings or Settings()
    scaler = Autoscaler(client, settings)
    receiver = Receiver(scaler, token, settings)
    pods = Pods(client, receiver, scaler, settings)
    scaler.before_less = pods.mark
    return Parts(scaler, receiver, pods)
