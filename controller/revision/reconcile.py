"""Keep a Revision true: load, plan, apply. Who else writes to the Deployment: the autoscaler, its replicas."""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio

from controller import apply
from controller.owner import Ownership, ownership
from controller.resolving import Answer
from controller.revision import images, resources
from controller.revision.plan import Seen, plan
from controller.world import World
from kfn.api import core, kinds, names
from kfn.api.serving import Revision
from kfn.clock import timestamp
from kfn.kube import errors
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)

# `selector` cannot be changed, and `replicas` is the autoscaler's from the moment the Deployment exists. `template` stays as it was made:
# a Revision never changes, and another kfn or another setting must not replace its instances.
LEAVE = ("replicas", "selector", "template")

LOG_LINES = 10
LOG_BYTES = 2048  # as much as the kubelet puts into a termination message
LOG_SECONDS = 2.0  # how long a status may wait for a log


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    revision = world.revisions.get(namespace, name)
    if revision is None or revision.metadata.deletion_timestamp:
        if world.resolving is not None:
            world.resolving.forget(key)
        return Done()
    seen, again = await _children(world, revision)
    state = plan(seen, world.settings, world.now())
    if state.log_of or state.events_of:
        log = await _last_lines(world, namespace, state.log_of) if state.log_of else ""
        seen = replace(seen, log=log, events=await _events(world, state.events_of) if state.events_of else ())
        state = plan(seen, world.settings, world.now())
    await apply.show(world.client, kinds.REVISION, revision, state.status, world.recorder)
    if state.retry_pods and seen.deployment is not None:
        # A change of the Deployment reaches its ReplicaSet, whose controller then forgets for how long it wanted to wait.
        note = {"metadata": {"annotations": {names.PODS_RETRIED: timestamp(world.now())}}}
        await apply.annotate(world.client, kinds.DEPLOYMENT, seen.deployment, note)
    due = [at for at in (apply.AGAIN if seen.refused or seen.foreign else None, state.look_again, again) if at is not None]
    return Done(min(due, default=None))


async def _children(world: World, revision: Revision) -> tuple[Seen, float | None]:
    """Have the Deployment and the Service, as far as they are ours to write. What is there, and in how many seconds to ask for digests."""
    namespace = revision.metadata.namespace
    deployment = world.deployments.get(namespace, names.deployment(revision.metadata.name))
    have, answer = _images(world, revision, deployment)
    wanted_deployment = resources.deployment(images.pinned(revision, have), world.settings)
    expected = wanted_deployment if answer.digests is not None else None
    seen = Seen(
        revision, deployment or expected, world.pods_of_revision(revision),
        followed_since=world.now() - timedelta(seconds=world.pods.followed),
        images=have, resolving=answer.digests is None, trouble=answer.trouble,
    )  # fmt: skip
    try:
        if _is_foreign(deployment, revision):
            seen = replace(seen, foreign=f'Deployment "{wanted_deployment.metadata.name}"')
        elif expected is not None and _is_ours(deployment, revision):
            await apply.part(world.client, kinds.DEPLOYMENT, wanted_deployment, deployment, leave=LEAVE)
        wanted = resources.service(revision)
        current = world.revision_services.get(namespace, wanted.metadata.name)
        if _is_foreign(current, revision):
            seen = replace(seen, foreign=seen.foreign or f'Service "{wanted.metadata.name}"')
        elif _is_ours(current, revision):
            await apply.part(world.client, kinds.CORE_SERVICE, wanted, current, leave=("clusterIP",))  # which cannot be changed
    except apply.Taken as error:
        seen = replace(seen, foreign=str(error))
    except apply.Refused as error:
        seen = replace(seen, refused=str(error))
    return seen, answer.again


def _images(world: World, revision: Revision, deployment: core.Deployment | None) -> tuple[dict[str, str], Answer]:
    """The images known by digest, by container, and what is being asked for. A Deployment that is there was made of what was known."""
    key = f"{revision.metadata.namespace}/{revision.metadata.name}"
    have = images.known(revision, deployment if _is_ours(deployment, revision) else None)
    missing = images.open_names(revision, have, world.settings.registries_skipping_tag_resolving)
    if world.resolving is None or deployment is not None or not missing:
        if world.resolving is not None:
            world.resolving.forget(key)
        return have, Answer({})
    answer = world.resolving.ask(key, revision, missing)
    return have | images.by_container(revision, answer.digests or {}), answer


def _is_ours(child: Any, revision: Revision) -> bool:
    return child is None or ownership(child.metadata, revision) is Ownership.OURS


def _is_foreign(child: Any, revision: Revision) -> bool:
    return child is not None and ownership(child.metadata, revision) is Ownership.FOREIGN


async def _last_lines(world: World, namespace: str, pod: str) -> str:
    """The end of a pod's log. A status is worth showing without it."""
    said = bytearray()
    try:
        with anyio.move_on_after(LOG_SECONDS):
            async with world.client.logs(pod, namespace, tail=LOG_LINES) as lines:
                async for chunk in lines:
                    said += chunk
    except errors.KubeError:
        return ""
    return said[-LOG_BYTES:].decode(errors="replace").strip()


async def _events(world: World, pod: core.Pod) -> list[core.Event]:
    """What the cluster tells of a pod. A status is worth showing without it."""
    meta = pod.metadata
    try:
        with anyio.move_on_after(LOG_SECONDS):
            return (await world.client.list(kinds.EVENT, meta.namespace, fields=f"involvedObject.uid={meta.uid}"))[0]
    except errors.KubeError as error:
        log.info("events of the pod %s/%s, which does not start, cannot be read: %s", meta.namespace, meta.name, error)
    return []
