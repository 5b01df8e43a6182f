"""Leader election on a coordination.k8s.io Lease: at most one holder acts; the others wait. The rules are client-go's:
a lease is taken over only after its duration has passed on the observer's own clock without a renewal."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from msgspec.structs import replace

from kfn import clock
from kfn.api import kinds
from kfn.api.core import Lease, LeaseSpec
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. A holder that cannot renew for `renew_deadline` stops acting before anyone may take over at `duration`."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class LostLease(Exception):
    """The lease could not be renewed in time: another process may act now."""


class Elector:
    """Contends for one Lease under one identity."""

    def __init__(self, client: Client, namespace: str, name: str, identity: str, terms: Terms | None = None) -> None:
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._terms = terms or Terms()
        self._seen: tuple[str, float] = ("", 0.0)  # the last renewal seen, and when by our clock

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait until elected, then run `work` while the lease is held. Raises LostLease when it cannot be kept."""
        while not await self._try():  # noqa: ASYNC110 - the lease lives on a server, no event tells of it
            await anyio.sleep(self._terms.retry)
        log.info("elected: %s holds %s/%s", self._identity, self._namespace, self._name)
        async with self._renewing():
            await work()
        await self._release()

    @asynccontextmanager
    async def _renewing(self) -> AsyncIterator[None]:
        lost = False

        async def renew(scope: anyio.CancelScope) -> None:
            nonlocal lost
            last = anyio.current_time()
            while anyio.current_time() - last < self._terms.renew_deadline:
                await anyio.sleep(self._terms.retry)
                if await self._try():
                    last = anyio.current_time()
            lost = True
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(renew, tasks.cancel_scope)
            yield
            tasks.cancel_scope.cancel()
        if lost:
            raise LostLease(f"{self._identity} lost the lease {self._namespace}/{self._name}")

    async def _try(self) -> bool:
        """One attempt to take or renew. Any failure is a no; the deadlines above judge how many are too many."""
        try:
            with anyio.fail_after(self._terms.retry * 2):
                return await self._take()
        except (errors.KubeError, TimeoutError) as error:
            log.debug("lease %s: %s", self._name, error)
            return False

    async def _take(self) -> bool:
        now = clock.micro_timestamp()
        spec = LeaseSpec(
            holder_identity=self._identity, lease_duration_seconds=max(1, round(self._terms.duration)), acquire_time=now, renew_time=now
        )
        try:
            lease = await self._client.get(kinds.LEASE, self._name, self._namespace)
        except errors.NotFound:
            await self._client.create(kinds.LEASE, Lease(metadata=ObjectMeta(name=self._name), spec=spec), self._namespace)
            return True
        held = lease.spec
        if held.holder_identity == self._identity:
            spec = replace(spec, acquire_time=held.acquire_time, lease_transitions=held.lease_transitions)
        elif held.holder_identity and not self._expired(held):
            return False
        else:
            spec = replace(spec, lease_transitions=held.lease_transitions + 1)
        await self._client.update(kinds.LEASE, replace(lease, spec=spec))
        return True

    def _expired(self, held: LeaseSpec) -> bool:
        mark = f"{held.holder_identity} {held.renew_time}"
        if self._seen[0] != mark:
            self._seen = (mark, anyio.current_time())
        return anyio.current_time() - self._seen[1] > (held.lease_duration_seconds or self._terms.duration)

    async def _release(self) -> None:
        """Let go at once, so that a successor need not wait for the lease to run out."""
        try:
            lease = await self._client.get(kinds.LEASE, self._name, self._namespace)
            if lease.spec.holder_identity == self._identity:
                await self._client.update(
                    kinds.LEASE, replace(lease, spec=replace(lease.spec, holder_identity="", lease_duration_seconds=1))
                )
        except errors.KubeError as error:
            log.debug("lease %s not released: %s", self._name, error)
