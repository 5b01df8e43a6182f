"""An installation without helm: definitions first, then the rest by server-side apply; what an earlier version had is taken away.

What was installed is noted in the ConfigMap kfn-install, with what was asked for: so a second `kfn install` needs to be told only what is
to change, and `kfn uninstall` takes away exactly what is there.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from cli.failures import CliError
from cli.installing.cluster import MANAGER, Cluster, Json, named
from cli.installing.customise import MANAGED_BY, NATS_SECRET, PART_OF, TOKENS_SECRET, secret
from cli.installing.decide import RELEASE

NOTE = "kfn-install"
ESTABLISHED_WITHIN = 60.0  # seconds


def note(namespace: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NOTE, "namespace": namespace}}


async def noted(cluster: Cluster, namespace: str) -> tuple[dict[str, Any], list[Json]]:
    """What was asked for last time, and the objects that came of it."""
    found = await cluster.get(note(namespace))
    data = (found or {}).get("data") or {}
    return json.loads(data.get("asked", "{}")), json.loads(data.get("objects", "[]"))


async def apply_definitions(cluster: Cluster, definitions: Sequence[Json], say: Callable[[str], None]) -> None:
    """And wait until the API server serves them. They are kfn's own wholly, whoever put them there: an older kfn, or its chart."""
    for one in definitions:
        say(f"applying {one['metadata']['name']}")
        await cluster.apply(one, force=True)
    with anyio.move_on_after(ESTABLISHED_WITHIN) as time:
        for one in definitions:
            while not _established(await cluster.get(one) or {}):
                say(f"waiting for {one['metadata']['name']} to be served")
                await anyio.sleep(0.2)
    if time.cancelled_caught:
        raise CliError(f"the API server does not serve kfn's kinds after {ESTABLISHED_WITHIN:g} s: kubectl get crds -l {PART_OF}=kfn", 124)


async def hand_over(cluster: Cluster, definitions: Sequence[Json], namespace: str) -> None:
    """Definitions that stayed from an installation without helm to the release that is about to be made, which would else refuse them."""
    release = {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": namespace}
    for one in definitions:
        if await cluster.get(one) is None:
            continue
        meta = one["metadata"]
        theirs = {"labels": {**meta["labels"], MANAGED_BY: "Helm"}, "annotations": {**meta.get("annotations", {}), **release}}
        await cluster.apply({**one, "metadata": {**meta, **theirs}}, force=True, manager="helm")
        bare = {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": {"name": meta["name"]}}
        await cluster.apply(bare)  # which holds nothing of it any more


async def apply(
    cluster: Cluster, namespace: str, objects: Sequence[Json], asked: dict[str, Any], force: bool, say: Callable[[str], None]
) -> int:
    """All objects in order, then without what is no longer among them. Returns how many went."""
    _, before = await noted(cluster, namespace)
    await _secrets(cluster, namespace)
    kept = [_key(one) for one in objects]
    # Noted before they are made, and with those of before: what is cut off here is still known to whoever takes kfn away.
    await _write_note(cluster, namespace, asked, [*kept, *(one for one in before if one not in kept)])
    for one in objects:
        say(f"applying {named(one)}")
        await cluster.apply(one, force=force)
    gone = [one for one in before if one not in kept]
    for one in reversed(gone):
        say(f"removing {named(one)}")
        await cluster.delete(one)
    await _write_note(cluster, namespace, asked, kept)
    return len(gone)


async def remove(cluster: Cluster, namespace: str, say: Callable[[str], None]) -> int:
    """Everything that was noted, the last first. Returns how many there were."""
    _, before = await noted(cluster, namespace)
    removed = 0
    for one in reversed(before):
        say(f"removing {named(one)}")
        removed += await cluster.delete(one)
    for name in (TOKENS_SECRET, NATS_SECRET):
        removed += await cluster.delete({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}})
    await cluster.delete(note(namespace))
    return removed


async def _write_note(cluster: Cluster, namespace: str, asked: dict[str, Any], objects: Sequence[Json]) -> None:
    labels = {"app.kubernetes.io/name": "kfn", PART_OF: "kfn", MANAGED_BY: "kfn"}
    metadata = {**note(namespace)["metadata"], "labels": labels}
    data = {"asked": json.dumps(asked, sort_keys=True), "objects": json.dumps(objects, sort_keys=True)}
    await cluster.apply({**note(namespace), "metadata": metadata, "data": data}, force=True)


async def _secrets(cluster: Cluster, namespace: str) -> None:
    """Made once and kept: gateways of before and after an upgrade have to know each other."""
    wanted = {
        TOKENS_SECRET: ("tokens", {key: secrets.token_urlsafe(32) for key in ("autoscaler", "slots", "events")}),
        NATS_SECRET: ("nats", {"user": "kfn", "password": secrets.token_urlsafe(32), "secret": secrets.token_urlsafe(48)}),
    }
    for name, (component, values) in wanted.items():
        made = secret(name, namespace, values, component)
        there = await cluster.get(made)
        if there is None:
            await cluster.apply(made)
            continue
        added = {key: value for key, value in values.items() if key not in there.get("data", {})}
        if added:  # what an older kfn did not need; another manager, so that this one does not let go of the rest
            await cluster.apply({**made, "stringData": added}, manager=f"{MANAGER}-added")


def _key(thing: Json) -> Json:
    meta = thing["metadata"]
    place = {"namespace": meta["namespace"]} if meta.get("namespace") else {}
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": {"name": meta["name"], **place}}


def _established(definition: Json) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
