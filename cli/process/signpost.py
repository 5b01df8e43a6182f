"""Where the leader is: an EndpointSlice of a Service without a selector, which the leader writes and nobody else.

It is looked at again every few seconds: one that was deleted or changed sends gateways nowhere. At a stop in order the address is taken
out, unless a successor has written its own by then, so that no gateway shows its token to a pod that was given the address since.
"""

import ipaddress
import logging
from collections.abc import Mapping

import anyio
from msgspec.structs import replace

from kfn.api import kinds
from kfn.api.core import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)

SERVICE, MANAGED_BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"
LOOK = 10.0  # seconds between two looks
AGAIN = 0.5  # after one that failed: gateways wait


class Signpost:
    """`ports` are the Service's, by name."""

    def __init__(self, client: Client, namespace: str, service: str, address: str, ports: Mapping[str, int]) -> None:
        self._client, self._namespace, self._name = client, namespace, f"{service}-leader"
        self._wanted = EndpointSlice(
            metadata=ObjectMeta(
                name=self._name,
                namespace=namespace,
                labels={SERVICE: service, MANAGED_BY: "kfn-autoscaler", "app.kubernetes.io/part-of": "kfn"},
            ),
            address_type="IPv6" if ipaddress.ip_address(address).version == 6 else "IPv4",
            endpoints=[Endpoint(addresses=[address], conditions=EndpointConditions(ready=True))],
            ports=[EndpointPort(name=name, port=port, protocol="TCP") for name, port in ports.items()],
        )

    async def run(self) -> None:
        """Until cancelled."""
        said = ""
        while True:
            try:
                await self._put_up()
                said = ""
            except errors.KubeError as error:
                if str(error) != said:
                    log.warning("gateways cannot be told where the leader is: EndpointSlice %s/%s: %s", self._namespace, self._name, error)
                    said = str(error)
                await anyio.sleep(AGAIN)
                continue
            await anyio.sleep(LOOK)

    async def take_down(self) -> None:
        """Take the address out, if it is still ours."""
        try:
            found = await self._client.get(kinds.ENDPOINT_SLICE, self._name, self._namespace)
            if found.endpoints == self._wanted.endpoints:
                await self._client.update(kinds.ENDPOINT_SLICE, replace(found, endpoints=[]))
        except errors.KubeError as error:
            log.info("EndpointSlice %s/%s keeps an address that nobody listens on: %s", self._namespace, self._name, error)

    async def _put_up(self) -> None:
        wanted = self._wanted
        try:
            found = await self._client.get(kinds.ENDPOINT_SLICE, self._name, self._namespace)
        except errors.NotFound:
            await self._client.create(kinds.ENDPOINT_SLICE, wanted, self._namespace)
        else:
            if found.address_type != wanted.address_type:  # it cannot be changed
                await self._client.delete(kinds.ENDPOINT_SLICE, self._name, self._namespace, uid=found.metadata.uid)
                await self._client.create(kinds.ENDPOINT_SLICE, wanted, self._namespace)
                return
            labels = {**found.metadata.labels, **wanted.metadata.labels}
            if (found.endpoints, found.ports, found.metadata.labels) == (wanted.endpoints, wanted.ports, labels):
                return
            meta = replace(found.metadata, labels=labels)
            await self._client.update(kinds.ENDPOINT_SLICE, replace(wanted, metadata=meta))
        log.info("the leader is at %s", ", ".join(wanted.endpoints[0].addresses))
