"""The autoscaler: watches Revisions and Deployments, takes load from gateways, decides on pokes and on ticks, writes scales.

It is the only one that writes `spec.replicas` after a Deployment was created, and it does so through the scale subresource alone.
What it knows about one revision is in `tracked.py`.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any

import anyio
from anyio.abc import TaskGroup

from autoscaler.policy import policy_of
from autoscaler.settings import Settings
from autoscaler.tracked import Record, Tracked
from kfn.api import kinds, names
from kfn.api.conditions import is_true
from kfn.api.core import Deployment
from kfn.api.serving import Revision
from kfn.clock import utcnow
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.load import RevisionKey, Sample

log = logging.getLogger(__name__)


class Autoscaler:
    """A `kfn.load.LoadSink`. `run` works until it is cancelled; pokes and reports may come at any time, before it too.

    `before_less`, if somebody sets it, is called with a revision and how many instances it is to keep, before others are taken away.
    """

    before_less: Callable[[RevisionKey, int], Awaitable[None]] | None = None

    def __init__(self, client: Client, settings: Settings | None = None) -> None:
        self._client = client
        self._settings = settings or Settings()
        self._tracked: dict[RevisionKey, Tracked] = {}
        self._busy: set[RevisionKey] = set()
        self._early: dict[RevisionKey, dict[str, tuple[int, float]]] = {}  # pokes for what is not there yet, by gateway
        self._tasks: TaskGroup | None = None
        self._reporting: set[str] = set()
        self._waves = anyio.Event()
        self._heard_since: float | None = None if self._settings.hear_first else -inf
        self._revisions = Informer(client, kinds.REVISION)
        self._deployments = Informer(client, kinds.DEPLOYMENT, labels=names.REVISION)
        self._revisions.on_change(self._revision_changed)
        self._deployments.on_change(self._deployment_changed)

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._revisions.run)
                tasks.start_soon(self._deployments.run)
                await self._revisions.synced()
                await self._deployments.synced()
                await self._tick_for_ever()
        finally:
            self._tasks = None

    # The LoadSink. `gateway` tells several of them apart; what they say of one revision adds up.

    def poke(self, revision: RevisionKey, waiting: int, gateway: str = "") -> None:
        """A request waits and there is no instance: ask for one in this turn of the event loop."""
        now = anyio.current_time()
        tracked = self._tracked.get(revision)
        if tracked is None or tracked.asked is None:
            if revision in self._early or len(self._early) < self._settings.pokes_remembered:
                self._early.setdefault(revision, {})[gateway] = (waiting, now)
            return
        tracked.poke(waiting, now, gateway)
        self._busy.add(revision)
        if tracked.needs_more(now):
            self._decide(tracked, now, only_up=True)

    def report(self, samples: Sequence[Sample], gateway: str = "", age: float = 0.0) -> None:
        """Load of the last second or so, up to `age` seconds ago. A jump over the panic threshold is not left waiting for the tick."""
        now = anyio.current_time()
        by_revision: dict[RevisionKey, list[Sample]] = {}
        for sample in samples:
            by_revision.setdefault(sample.revision, []).append(sample)
        for key, of_one in by_revision.items():
            tracked = self._tracked.get(key)
            if tracked is None:
                continue
            tracked.record(of_one, now - age, gateway)
            self._busy.add(key)
            if tracked.needs_more(now) or tracked.jumped(now):
                self._decide(tracked, now, only_up=True)

    def arrived(self, gateway: str) -> None:
        """That gateway reports from now on."""
        self._reporting.add(gateway)
        if self._heard_since is None:
            self._heard(anyio.current_time())

    def gone(self, gateway: str) -> None:
        """That gateway has ended: what it held no longer waits, and it has no load from now on."""
        self._reporting.discard(gateway)
        if not self._reporting and self._settings.hear_first:
            self._heard(None)
        for pokes in self._early.values():
            pokes.pop(gateway, None)
        for tracked in self._tracked.values():
            tracked.gone(gateway)

    def _heard(self, since: float | None) -> None:
        self._heard_since = since
        for tracked in self._tracked.values():
            tracked.heard_since = since

    def waiting_in(self, revision: RevisionKey) -> list[str]:
        """The gateways in which requests wait for an instance."""
        tracked = self._tracked.get(revision)
        return tracked.waiting_in(anyio.current_time()) if tracked is not None else []

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return self._revisions, self._deployments

    @property
    def tracked(self) -> int:
        """How many Revisions are looked after."""
        return len(self._tracked)

    def decisions(self, revision: RevisionKey) -> list[Record]:
        """The last decisions for a revision, oldest first, each with its time and what it was based on."""
        tracked = self._tracked.get(revision)
        return list(tracked.records) if tracked is not None else []

    # Time.

    async def _tick_for_ever(self) -> None:
        tick = anyio.current_time()
        dues: dict[RevisionKey, float] = {}
        while True:
            now = anyio.current_time()
            if now >= tick:
                tick = now + self._settings.tick
                self._forget_early(now)
                turn = list(self._busy)
            else:
                turn = [key for key, due in dues.items() if due <= now]
            for key in turn:
                if (tracked := self._tracked.get(key)) is not None:
                    self._decide(tracked, now)
            dues = {key: due for key in self._busy if (due := self._tracked[key].next_due(now)) is not None}
            with anyio.move_on_after(max(0.0, min([tick, *dues.values()]) - anyio.current_time())):
                await self._waves.wait()
            self._waves = anyio.Event()

    def _forget_early(self, now: float) -> None:
        kept = ((k, {g: v for g, v in pokes.items() if now - v[1] < self._settings.poke_memory}) for k, pokes in self._early.items())
        self._early = {key: pokes for key, pokes in kept if pokes}

    # Objects.

    def _revision_changed(self, old: Revision | None, new: Revision | None) -> None:
        meta = (new or old or Revision()).metadata
        key = RevisionKey(meta.namespace, meta.name)
        tracked = self._tracked.get(key)
        if new is None:
            self._tracked.pop(key, None)
            self._busy.discard(key)
            return
        policy = policy_of(new, self._settings)
        if tracked is None:
            tracked = self._tracked[key] = Tracked(key, policy, anyio.current_time(), keep=self._settings.decisions_kept)
            tracked.heard_since = self._heard_since
        tracked.policy = policy
        tracked.reachable = meta.labels.get(names.ROUTING_STATE) != "reserve"
        tracked.initialized = tracked.initialized or is_true(new.status.conditions, "Ready")
        if old is None and (deployment := self._deployments.get(key.namespace, names.deployment(key.name))) is not None:
            self._deployed(tracked, deployment)
        self._busy.add(key)

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        meta = (new or old or Deployment()).metadata
        tracked = self._tracked.get(RevisionKey(meta.namespace, meta.labels.get(names.REVISION, "")))
        if tracked is None:
            return  # Its Revision comes later, and looks for it then.
        if new is None:
            tracked.undeployed()
        else:
            self._deployed(tracked, new)

    def _deployed(self, tracked: Tracked, deployment: Deployment) -> None:
        replicas = 1 if deployment.spec.replicas is None else deployment.spec.replicas
        tracked.deployed(replicas, deployment.status.ready_replicas, anyio.current_time())
        self._busy.add(tracked.key)
        for gateway, (waiting, _) in self._early.pop(tracked.key, {}).items():
            self.poke(tracked.key, waiting, gateway)

    # Deciding and doing.

    def _decide(self, tracked: Tracked, now: float, *, only_up: bool = False) -> None:
        """Decide for one revision, and have it done. One that fails does not keep the others from their turn."""
        if tracked.asked is None:
            return
        try:
            decision = tracked.decide(now, utcnow())
        except Exception:
            log.exception("%s: cannot decide", tracked.key)
            return
        if decision.replicas > tracked.asked or (decision.replicas < tracked.asked and not only_up):
            log.info("%s: %d -> %d: %s", tracked.key, tracked.asked, decision.replicas, decision.because)
            tracked.ask(decision.replicas, now)
            if not tracked.ready and tracked.policy.first_wave < 1:
                self._waves.set()  # the rest of them may be due before the next tick
            if tracked.choosing is not None:
                tracked.choosing.cancel()  # who should go is another question now, or none
            if not tracked.writing and self._tasks is not None:
                tracked.writing = True
                self._tasks.start_soon(self._write, tracked)
        if tracked.put_to_sleep(now):
            self._busy.discard(tracked.key)

    async def _write(self, tracked: Tracked) -> None:
        """Write what is asked for, the newest of it, until the API server has it."""
        pause = 0.05
        key = tracked.key
        try:
            while tracked.asked is not None and self._tracked.get(key) is tracked:
                replicas = tracked.asked
                await self._choose(tracked, replicas)
                if tracked.asked != replicas:
                    continue
                try:
                    with anyio.fail_after(self._settings.patch_timeout):
                        await self._client.scale(kinds.DEPLOYMENT, names.deployment(key.name), key.namespace, replicas)
                except errors.NotFound:
                    return  # It was deleted; the informer will say so.
                except (errors.KubeError, TimeoutError) as error:
                    log.warning("%s: cannot scale to %d, trying again in %.2gs: %s", key, replicas, pause, error or "no answer")
                    await anyio.sleep(pause)
                    pause = min(pause * 2, self._settings.retry_max)
                    continue
                if tracked.asked == replicas:
                    return
        finally:
            tracked.writing = False

    async def _choose(self, tracked: Tracked, replicas: int) -> None:
        """Have those chosen that go, where some stay. It is given up when it takes too long, or when something else is asked for."""
        known = self._deployments.get(tracked.key.namespace, names.deployment(tracked.key.name))
        if self.before_less is None or known is None or not 0 < replicas < (known.spec.replicas or 0):
            return
        try:
            with anyio.move_on_after(self._settings.mark) as tracked.choosing:
                await self.before_less(tracked.key, replicas)
        except Exception:
            log.exception("%s: cannot choose which instances go", tracked.key)
        finally:
            tracked.choosing = None
