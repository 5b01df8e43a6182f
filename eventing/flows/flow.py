"""The reconciler of Sequences and of Parallels: makes their Channels and Subscriptions, changes them in an order in which no event passes
by, and takes away what is not wanted any more once it is empty."""

import logging
from typing import Any

import anyio
import msgspec

from eventing import errors, subjects
from eventing.attached import Consumers
from eventing.channel import is_on
from eventing.conditions import false
from eventing.flows.plan import Flow, Link, Plan, plan
from eventing.flows.status import added, is_of, report
from kfn.api import kinds, messaging
from kfn.api.base import encode
from kfn.api.kinds import Kind
from kfn.api.meta import Condition
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)


_SURE = 1.0  # seconds


class _Foreign(Exception):
    """A name is taken by an object that is not the flow's."""

    def __init__(self, condition: str, kind: str, name: str) -> None:
        said = f"{kind} {name} is not of this object; rename one of them, or delete the {kind}"
        super().__init__(said)
        self.condition = false(condition, f"{kind}NotOwned", said)


class Flows:
    """One of these looks after Sequences, another after Parallels."""

    def __init__(
        self, client: Client, kind: Kind[Any], informer: Informer[Any], channels: Informer[messaging.Channel],
        subscriptions: Informer[messaging.Subscription], consumers: Consumers,
    ) -> None:  # fmt: skip
        self._client, self._kind, self._informer = client, kind, informer
        self._channels, self._subscriptions, self._consumers = channels, subscriptions, consumers
        self._marks: dict[str, dict[str, int]] = {}  # of a leftover's uid: how far each Subscription was when it had taken its change over
        self._empty: dict[str, float] = {}  # since when a leftover is found empty

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        flow: Flow | None = self._informer.get(namespace, name)
        if flow is None or flow.metadata.deletion_timestamp:
            return Done()  # what it owns is collected by the API server
        wanted = plan(flow)
        problem: Condition | None = None
        retiring = False
        try:
            await self._make(flow, wanted)
            retiring = await self._retire(flow, wanted)
        except _Foreign as error:
            problem = error.condition
        except (kube.Conflict, kube.AlreadyExists):
            return Done(again_after=0.05)
        await self._report(flow, wanted, problem)
        return Done(again_after=2.0) if retiring or problem is not None else Done()

    async def _make(self, flow: Flow, wanted: Plan) -> None:
        namespace = flow.metadata.namespace
        for channel in wanted.channels:
            there = self._channels.get(namespace, channel.metadata.name)
            if there is None:
                await self._client.create(kinds.CHANNEL, channel, namespace)
            elif not is_of(there.metadata, flow):
                raise _Foreign("ChannelsReady", "Channel", channel.metadata.name)
        for link in wanted.links:
            if not link.after or added(self._subscriptions.get(namespace, link.after)):
                await self._link(flow, link)

    async def _link(self, flow: Flow, link: Link) -> None:
        there = self._subscriptions.get(flow.metadata.namespace, link.name)
        if there is None:
            await self._client.create(kinds.SUBSCRIPTION, link.subscription, flow.metadata.namespace)
        elif not is_of(there.metadata, flow):
            raise _Foreign("SubscriptionsReady", "Subscription", link.name)
        elif there.spec != link.subscription.spec and not there.metadata.deletion_timestamp:
            await self._client.update(kinds.SUBSCRIPTION, msgspec.structs.replace(there, spec=link.subscription.spec))

    async def _retire(self, flow: Flow, wanted: Plan) -> bool:
        """Remove what a step or branch that is gone has left. Whether something is left still."""
        namespace = flow.metadata.namespace
        links, channels = {link.name for link in wanted.links}, {channel.metadata.name for channel in wanted.channels}
        mine = [one for one in self._subscriptions.list(namespace) if is_of(one.metadata, flow)]
        over = [one for one in mine if one.metadata.name not in links]
        for one in over:
            # On a channel that stays, it is a branch's filter: that branch gets nothing any more.
            if not one.metadata.deletion_timestamp and (one.spec.channel.name in channels or await self._drained(one, mine, links)):
                await self._delete(kinds.SUBSCRIPTION, one)
                self._marks.pop(one.metadata.uid, None)
                self._empty.pop(one.metadata.uid, None)
        empty = [one for one in self._channels.list(namespace) if is_of(one.metadata, flow) and one.metadata.name not in channels]
        for channel in empty:
            if not channel.metadata.deletion_timestamp and not any(is_on(one, channel.metadata.name) for one in mine):
                await self._delete(kinds.CHANNEL, channel)
        return bool(over or empty)

    async def _drained(self, over: messaging.Subscription, mine: list[messaging.Subscription], links: set[str]) -> bool:
        """Whether nothing is in its channel, and nothing can come into it any more.

        Nobody may have it for a reply, and every attempt that began while somebody had must be over: so each of the others has to settle
        what it had been given when its change was taken over. It stays empty for a moment, for replicas that learn of changes later.
        """
        uid, kept = over.metadata.uid, [one for one in mine if one.metadata.name in links]
        if any(_replies_to(one, over.spec.channel.name) for one in mine) or not all(added(one) for one in kept):
            self._marks.pop(uid, None)
            return False
        try:
            now = {one.metadata.uid: await self._progress(one) for one in kept}
            marks = self._marks.setdefault(uid, {of: given for of, (given, _, _) in now.items()})
            left = (await self._progress(over))[2]
        except errors.NoStream:
            return True
        except errors.BusError as error:
            log.debug("subscription %s: %s", over.metadata.name, error)
            return False
        if left or any(settled < marks.get(of, 0) for of, (_, settled, _) in now.items()):
            self._empty.pop(uid, None)
            return False
        return anyio.current_time() - self._empty.setdefault(uid, anyio.current_time()) >= _SURE

    async def _progress(self, one: messaging.Subscription) -> tuple[int, int, int]:
        return await self._consumers.progress((one.metadata.namespace, subjects.channel(one.spec.channel.name)), one.metadata.uid)

    async def _delete(self, kind: Kind[Any], one: messaging.Channel | messaging.Subscription) -> None:
        try:
            await self._client.delete(kind, one.metadata.name, one.metadata.namespace, uid=one.metadata.uid)
        except kube.NotFound:
            return
        log.info("removed %s %s/%s, which has nothing to do any more", kind.singular, one.metadata.namespace, one.metadata.name)

    async def _report(self, flow: Flow, wanted: Plan, problem: Condition | None) -> None:
        meta = flow.metadata
        told = report(
            flow, wanted, lambda name: self._channels.get(meta.namespace, name), lambda name: self._subscriptions.get(meta.namespace, name),
            problem, timestamp(),
        )  # fmt: skip
        if told.status == flow.status:
            return
        try:
            patch = {"status": {"address": None, **encode(told.status)}}
            await self._client.patch(self._kind, meta.name, meta.namespace, patch, subresource="status")
        except kube.NotFound:
            log.debug("%s %s/%s went away", self._kind.singular, meta.namespace, meta.name)


def _replies_to(subscription: messaging.Subscription, channel: str) -> bool:
    ref = subscription.spec.reply.ref if subscription.spec.reply else None
    return ref is not None and (ref.kind, ref.name) == ("Channel", channel)
