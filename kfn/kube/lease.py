"""Leader election on a coordination.k8s.io Lease: at most one holder acts; the others wait. The rules are client-go's:
a lease is taken over only after its duration has passed on the observer's own clock without a renewal."""

import asyncio
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

    def __init__(
        self, client: Client, namespace: str, name: str, identity: str, terms: Terms | None = None, *,
        overran: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """`overran` is called when work has not ended at the moment in which another may begin it, although it was cancelled."""
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._terms = terms or Terms()
        self._overran = overran
        self._seen: tuple[str, float] = ("", 0.0)  # the last renewal seen, and when by our clock
        self._until = 0.0  # by our clock; until then nobody else acts, whatever happens to us
        self._said = ""  # what was last said to be wrong
        self._ours: Lease | None = None  # as the API server has it, if we wrote it last

    def holds(self) -> bool:
        """Whether what is written now is written by the one holder. It reads the clock: a process that was stopped for a while and
        goes on does not know yet that it has lost."""
        return anyio.current_time() < self._until

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait until elected, then run `work` while the lease is held. Raises LostLease when it cannot be kept. When this is cancelled,
        the lease is let go after `work` has ended."""
        while not await self._try():  # noqa: ASYNC110 - the lease lives on a server, no event tells of it
            await anyio.sleep(self._terms.retry)
        log.info("elected: %s holds %s/%s", self._identity, self._namespace, self._name)
        try:
            async with self._renewing():
                await work()
        finally:
            if self.holds():
                with anyio.CancelScope(shield=True), anyio.move_on_after(self._terms.retry):
                    await self._release()
            self._until = 0.0

    @asynccontextmanager
    async def _renewing(self) -> AsyncIterator[None]:
        """Renew while the block runs, and cancel it in time when that fails: at `renew_deadline` after the last renewal began, as the
        others count `duration` from when they saw it, which was later."""
        lost = False
        watch: asyncio.TimerHandle | None = None

        async def renew(scope: anyio.CancelScope) -> None:
            nonlocal lost, watch
            terms = self._terms
            with anyio.CancelScope(deadline=self._until) as kept:
                while True:
                    await anyio.sleep(terms.retry)
                    if await self._try():
                        kept.deadline = self._until
            lost = True
            if self._overran is not None:
                watch = asyncio.get_running_loop().call_later(terms.duration - terms.renew_deadline, self._overran)
            scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(renew, tasks.cancel_scope)
                yield
                tasks.cancel_scope.cancel()
        finally:
            if watch is not None:
                watch.cancel()
        if lost:
            raise LostLease(f"{self._identity} lost the lease {self._namespace}/{self._name}")

    async def _try(self) -> bool:
        """One attempt to take or renew. Any failure is a no; the deadlines above judge how many are too many."""
        began = anyio.current_time()
        try:
            with anyio.fail_after(max(self._terms.retry * 2, self._terms.renew_deadline / 2)):  # a slow answer is better than none
                taken = await self._take()
        except (errors.KubeError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            level = logging.DEBUG if why == self._said or isinstance(error, errors.Conflict) else logging.WARNING
            log.log(level, "the lease %s/%s cannot be had or held: %s", self._namespace, self._name, why)
            self._ours, self._said = None, why
            return False
        self._said = ""
        if taken:
            self._until = began + self._terms.renew_deadline
        return taken

    async def _take(self) -> bool:
        """A holder renews with one request; whoever wrote meanwhile makes it a Conflict, and the next attempt looks."""
        now = clock.micro_timestamp()
        if self._ours is not None:
            renewed = replace(self._ours.spec, renew_time=now)
            self._ours = await self._client.update(kinds.LEASE, replace(self._ours, spec=renewed))
            return True
        spec = LeaseSpec(
            holder_identity=self._identity, lease_duration_seconds=max(1, round(self._terms.duration)), acquire_time=now, renew_time=now
        )
        try:
            lease = await self._client.get(kinds.LEASE, self._name, self._namespace)
        except errors.NotFound:
            lease = Lease(metadata=ObjectMeta(name=self._name, namespace=self._namespace), spec=spec)
            self._ours = await self._client.create(kinds.LEASE, lease, self._namespace)
            return True
        held = lease.spec
        if held.holder_identity == self._identity:
            spec = replace(spec, acquire_time=held.acquire_time, lease_transitions=held.lease_transitions)
        elif held.holder_identity and not self._expired(held):
            return False
        else:
            spec = replace(spec, lease_transitions=held.lease_transitions + 1)
        self._ours = await self._client.update(kinds.LEASE, replace(lease, spec=spec))
        return True

    def _expired(self, held: LeaseSpec) -> bool:
        mark = f"{held.holder_identity} {held.renew_time}"
        if self._seen[0] != mark:
            self._seen = (mark, anyio.current_time())
        return anyio.current_time() - self._seen[1] > (held.lease_duration_seconds or self._terms.duration)

    async def _release(self) -> None:
        """Let go at once, so that a successor need not wait for the lease to run out."""
        self._ours = None
        try:
            lease = await self._client.get(kinds.LEASE, self._name, self._namespace)
            if lease.spec.holder_identity == self._identity:
                await self._client.update(
                    kinds.LEASE, replace(lease, spec=replace(lease.spec, holder_identity="", lease_duration_seconds=1))
                )
        except errors.KubeError as error:
            log.debug("lease %s not released: %s", self._name, error)
