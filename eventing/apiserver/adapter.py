"""Follows what one ApiServerSource watches and sends each change to its sink. The same code runs in eventing's process (`kfn up`) and in a
pod of its own (`kfn source-adapter apiserver`), there with the rights of the source's service account.

What is sent is `changes.py`'s, what waits `outbox.py`'s, how a watch goes on after a break the informers'.
"""

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from eventing import retry
from eventing.apiserver import changes
from eventing.apiserver.config import Config, Resource
from eventing.apiserver.numbers import Numbers
from eventing.apiserver.outbox import Change, Outbox
from eventing.courier import Courier, child_trace
from eventing.delivery import DEFAULT, policy
from eventing.match import AllOf, Filter, matches, parse
from eventing.retry import Outcome
from kfn.api.apiserversource import RESOURCE
from kfn.api.eventing import TriggerSpec
from kfn.api.kinds import Kind
from kfn.api.raw import Raw
from kfn.clock import micro_timestamp
from kfn.cloudevents import Event
from kfn.kube.client import Client
from kfn.kube.discover import NoSuchKind, discover
from kfn.kube.errors import KubeError
from kfn.kube.informer import Informer

log = logging.getLogger(__name__)

LANES = 8  # changes, each of another object, that are sent at once
LONGEST = 30.0  # seconds between two attempts
MOST = 12  # attempts where the sink is there and fails: about four minutes
LAST = 3.0  # seconds at the end for what still waits; a deletion would not be told again
AGAIN = 5.0  # seconds between looks for a kind that is not there
_AWAY = frozenset((0, 401, 403, 404, 408, 429, 502, 503, 504))  # what passes, or is mended: tried for as long as it takes
_POLICY = policy(DEFAULT)


class Adapter:
    """`run` until cancelled. `url` may change meanwhile; `token` gives what the sink is shown.

    `waiting_for` says what it has not found yet, "" once it follows everything."""

    def __init__(
        self,
        client: Client,
        courier: Courier,
        numbers: Numbers,
        config: Config,
        url: str,
        outbox: Outbox | None = None,
        token: Callable[[], str] = str,
    ) -> None:
        self._client, self._courier, self._numbers, self._config, self.url = client, courier, numbers, config, url
        self._filter: Filter = parse(TriggerSpec(filters=list(config.filters))) if config.filters else AllOf()
        self._outbox = Outbox() if outbox is None else outbox
        self._token = token
        self._more = anyio.Event()
        self._full, self._room = anyio.Event(), anyio.Event()
        self._missing: dict[Resource, str] = dict.fromkeys(config.resources, "not asked for yet")
        self._found = {resource: anyio.Event() for resource in config.resources}
        self.informers: list[Informer[Raw]] = []
        self.following = anyio.Event()

    @property
    def waiting_for(self) -> str:
        if self.following.is_set():
            return ""
        missing = [f"{one.api_version} {one.kind}: {why}" for one, why in self._missing.items()]
        unheard = {one.kind.qualified for one in self.informers if not one.has_synced}
        return "; ".join(missing) or f"no list yet of {', '.join(sorted(unheard))}; may service account and network reach the API server?"

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(LANES):
                    tasks.start_soon(self._lane)
                for resource in self._config.resources:
                    tasks.start_soon(self._watch, resource, tasks)
                tasks.start_soon(self._began)
                await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST):
                await self._last()

    # From the API server into the outbox.

    async def _watch(self, resource: Resource, tasks: TaskGroup) -> None:
        kind = await self._discovered(resource)
        namespaces = self._config.namespaces if kind.namespaced else None
        for namespace in (None,) if namespaces is None else namespaces:
            keep = None if self._config.mode == RESOURCE else changes.without_body
            informer = Informer(self._client, kind, namespace=namespace, labels=resource.labels, keep=keep)
            informer.on_change(self._heard(kind))
            self.informers.append(informer)
            tasks.start_soon(self._follow, informer)
        self._missing.pop(resource, None)
        self._found[resource].set()

    async def _discovered(self, resource: Resource) -> Kind[Raw]:
        while True:
            try:
                return await discover(self._client, resource.api_version, resource.kind)
            except (NoSuchKind, KubeError) as error:
                if self._missing[resource] != str(error):
                    log.warning("api server source %s: %s; looking again", self._config.key, error)
                self._missing[resource] = str(error)
            await anyio.sleep(AGAIN)

    async def _follow(self, informer: Informer[Raw]) -> None:
        """Follow, but for the time in which too much waits; then go on where it stopped, which the API server remembers for minutes.
        After that, what has changed is found by comparing."""
        while True:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(informer.run)
                await self._full.wait()
                tasks.cancel_scope.cancel()
            await self._room.wait()

    async def _began(self) -> None:
        """Everything is listed, or as much as may wait."""
        for found in self._found.values():
            await found.wait()
        async with anyio.create_task_group() as tasks:

            async def listed() -> None:
                for informer in self.informers:
                    await informer.synced()
                tasks.cancel_scope.cancel()

            tasks.start_soon(listed)
            await self._full.wait()
            tasks.cancel_scope.cancel()
        self.following.set()

    def _heard(self, kind: Kind[Raw]) -> Callable[[Raw | None, Raw | None], None]:
        def heard(old: Raw | None, new: Raw | None) -> None:
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                self._put(kind, "delete", old)
                old = None
            if new is not None:
                self._put(kind, "add" if old is None else "update", new)

        return heard

    def _put(self, kind: Kind[Raw], verb: str, obj: Raw) -> None:
        config = self._config
        if not changes.is_owned(config.owner, obj.metadata):
            return
        change = Change(kind, verb, obj if config.mode == RESOURCE else changes.without_body(obj), micro_timestamp())
        if not matches(self._filter, self._event(change).attributes):
            return
        if folded := self._outbox.add(change):
            self._numbers.counted(config.key, "folded", folded)
        if self._outbox.full and not self._full.is_set():
            log.warning("api server source %s: %d changes wait for the sink; not following meanwhile", config.key, len(self._outbox))
            self._numbers.paused(config.key, True)
            self._room = anyio.Event()
            self._full.set()
        self._tell_more()

    def _event(self, change: Change) -> Event:
        return changes.event(self._config, change.kind, change.verb, change.obj, change.time)

    # From the outbox to the sink.

    async def _lane(self) -> None:
        while True:
            change = self._outbox.take()
            if change is None:
                await self._more.wait()
                continue
            try:
                outcome = await self._sent(change)
            except BaseException:
                self._outbox.put_back(change)
                raise
            self._end(change, outcome)

    async def _sent(self, change: Change) -> str:
        """Try until there is nothing more to try; how it ended."""
        event, attempt = self._event(change), 1
        while True:
            outcome = await self._attempt(event)
            if 200 <= outcome.status < 300:
                return "sent"
            if outcome.status not in _AWAY and not retry.retriable(outcome):
                return self._lost(event, "refused", outcome)
            if outcome.status not in _AWAY and attempt >= MOST:
                return self._lost(event, "given_up", outcome)
            self._numbers.retried(self._config.key)
            await anyio.sleep(max(min(retry.backoff(_POLICY, attempt), LONGEST), min(outcome.retry_after or 0.0, LONGEST)))
            attempt += 1

    async def _attempt(self, event: Event) -> Outcome:
        """What it answers beside a status is nobody's."""
        token = self._token()
        extra = {"authorization": f"Bearer {token}"} if token else {}
        sender = "" if token else self._config.namespace
        outcome, _ = await self._courier.call(event, self.url, _POLICY, child_trace({}), sender=sender, extra=extra)
        return outcome

    def _lost(self, event: Event, how: str, outcome: Outcome) -> str:
        why = outcome.problem or f"the sink answered {outcome.status}"
        log.warning("api server source %s: event %s (%s) is %s: %s", self._config.key, event.id, event.type, how, why)
        return how

    async def _last(self) -> None:
        """Send what waits, each once, for as long as the sink takes it."""
        while change := self._outbox.take():
            outcome = await self._attempt(self._event(change))
            if not 200 <= outcome.status < 300:
                self._outbox.put_back(change)
                log.warning("api server source %s: %d changes are not sent as it ends", self._config.key, len(self._outbox))
                return
            self._end(change, "sent")

    def _end(self, change: Change, outcome: str) -> None:
        self._outbox.done(change)
        self._numbers.counted(self._config.key, outcome)
        self._numbers.waiting(self._config.key, len(self._outbox))
        if self._full.is_set() and self._outbox.roomy:
            self._numbers.paused(self._config.key, False)
            self._full = anyio.Event()
            self._room.set()
        if len(self._outbox):
            self._tell_more()  # another of the same object can go now

    def _tell_more(self) -> None:
        self._numbers.waiting(self._config.key, len(self._outbox))
        more, self._more = self._more, anyio.Event()
        more.set()
