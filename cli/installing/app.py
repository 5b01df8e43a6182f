"""The way of an installation, top to bottom, and back. Read this first.

preflight.py (may it be, and how) -> namespace -> helm.py, or customise.py and plain.py -> rollout.py (until it runs) -> how to reach it
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cli.failures import CliError
from cli.installing import customise, decide, files, helm, plain, preflight, rollout
from cli.installing.cluster import Cluster, Json
from cli.installing.customise import Wanted
from cli.output import Progress
from kfn.kube.client import Client
from kfn.version import VERSION

CLAIMS = "app.kubernetes.io/name=kfn,app.kubernetes.io/component=nats"  # a StatefulSet gives its claims the labels of its selector


@dataclass(frozen=True, slots=True)
class Asked:
    """One `kfn install`. `said` are the fields of `wanted` that the command line names; the others stay as they are at an upgrade."""

    wanted: Wanted
    said: tuple[str, ...]
    target: helm.Target
    nats_replicas: int = 0  # 0: not said
    files: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    without_helm: bool = False
    force: bool = False
    wait: bool = True
    timeout: float = 300.0
    helm: str = field(default_factory=helm.program)

    @property
    def only_helm(self) -> list[str]:
        return ["--values"] * bool(self.files) + ["--set"] * bool(self.sets)


async def install(client: Client, asked: Asked, progress: Progress) -> Json:
    """Returns where requests come in. Raises CliError."""
    cluster, namespace = Cluster(client), asked.wanted.namespace
    definitions = customise.definitions(files.definitions(), VERSION)
    progress.say("asking the cluster")
    there = await preflight.check(cluster, namespace, definitions)
    chosen = _way(asked, there)
    progress.done("check", f"{'an upgrade' if there else 'a new installation'}, {'with helm' if chosen == decide.HELM else 'without helm'}")
    if chosen == decide.HELM:
        _named(asked, bool(there))
        older = bool(there and there.version != VERSION)
        await _namespace(cluster, namespace)
        if not there:
            await plain.hand_over(cluster, definitions, namespace)
        progress.say("helm upgrade --install")
        await _helm(asked, helm.upgrade(files.chart(), asked.target), older)
        progress.done("apply", f"the release {decide.RELEASE}")
    else:
        asked = replace(asked, **await _as_before(cluster, asked))
        _named(asked, False)
        objects = customise.objects(files.manifests(_file(asked)), asked.wanted)
        await _namespace(cluster, namespace)
        await plain.apply_definitions(cluster, definitions, progress.say)
        progress.done("kinds", ", ".join(one["spec"]["names"]["kind"] for one in definitions))
        remembered = {**asdict(asked.wanted), "nats_replicas": asked.nats_replicas}
        gone = await plain.apply(cluster, namespace, objects, remembered, asked.force, progress.say)
        progress.done("apply", f"{len(objects)} objects" + (f", {gone} of before taken away" if gone else ""))
    if asked.wait:
        await rollout.wait(cluster, namespace, asked.timeout, progress.say)
        progress.done("ready", "every part runs")
    return await rollout.reach(cluster, namespace)


async def rendered(client: Client, asked: Asked) -> str:
    """What an installation would apply, as YAML. Nothing is changed; without helm no cluster is needed for it."""
    import yaml

    if _way(asked, None if asked.without_helm else await preflight.installed(Cluster(client))) == decide.HELM:
        return await _helm(asked, helm.upgrade(files.chart(), asked.target, dry_run=True))
    _named(asked, False)
    definitions = customise.definitions(files.definitions(), VERSION)
    return yaml.safe_dump_all([*definitions, *customise.objects(files.manifests(_file(asked)), asked.wanted)], width=140)


@dataclass(frozen=True, slots=True)
class Removal:
    """What an uninstallation would take away, to be told before it does. `users` are objects of users by kind, `volumes` NATS' claims."""

    there: decide.Found | None
    users: dict[str, int]
    volumes: tuple[str, ...]


async def look(client: Client) -> Removal:
    cluster = Cluster(client)
    there = await preflight.installed(cluster)
    users = {}
    for one in files.definitions():
        spec = one["spec"]
        version = next(each["name"] for each in spec["versions"] if each["served"])
        if count := len(await cluster.list(f"{spec['group']}/{version}", spec["names"]["kind"])):
            users[spec["names"]["kind"]] = count
    claims = await cluster.list("v1", "PersistentVolumeClaim", there.namespace, CLAIMS) if there else []
    return Removal(there, users, tuple(one["metadata"]["name"] for one in claims))


async def uninstall(client: Client, asked: Asked, found: Removal, *, definitions: bool, data: bool, progress: Progress) -> None:
    """Users' objects first, while there still is who can end them; then the parts, then what they wrote themselves."""
    cluster, namespace = Cluster(client), asked.wanted.namespace
    if definitions:
        await _remove_users(cluster, asked.timeout, progress)
    if found.there and found.there.way == decide.HELM:
        if not asked.helm:
            raise CliError("kfn was installed here with helm, and helm is not on PATH: install it, or run this where it is")
        progress.say("helm uninstall")
        await _run(asked.helm, helm.uninstall(asked.target, asked.timeout), asked.timeout + 30)
        progress.done("remove", f"the release {decide.RELEASE}")
    elif found.there:
        count = await plain.remove(cluster, namespace, progress.say)
        progress.done("remove", f"{count} objects")
    if definitions:
        for one in files.definitions():
            await cluster.delete(one)
        progress.done("kinds", "removed")
    await _leftovers(cluster, namespace, data, asked.timeout, progress)


def _way(asked: Asked, there: decide.Found | None) -> str:
    chosen = decide.way(
        there, asked.wanted.namespace, helm=bool(asked.helm), plain=asked.without_helm, only_helm=asked.only_helm
    )  # fmt: skip
    if chosen.refused:
        raise CliError(chosen.refused, 2)
    return chosen.way


def _named(asked: Asked, upgrade: bool) -> None:
    """An installation has to be told where the images are; helm keeps that of an upgrade by itself."""
    if upgrade or asked.wanted.registry or asked.files or asked.sets or set(asked.wanted.images) >= set(helm.NAMED):
        return
    raise CliError(
        "--image-registry: say where kfn's images are; kfn has no public registry. `kfn images --registry HOST/PATH` makes and pushes them",
        2,
    )


async def _as_before(cluster: Cluster, asked: Asked) -> dict[str, Any]:
    before, _ = await plain.noted(cluster, asked.wanted.namespace)
    wanted = customise.as_before(asked.wanted, asked.said, before)
    return {"wanted": wanted, "nats_replicas": asked.nats_replicas or before.get("nats_replicas", 1)}


def _file(asked: Asked) -> str:
    try:
        return customise.FILES[asked.nats_replicas or 1]
    except KeyError:
        raise CliError(f"--nats-replicas {asked.nats_replicas}: {' or '.join(map(str, customise.FILES))}", 2) from None


async def _namespace(cluster: Cluster, name: str) -> None:
    """One that is there stays as it is."""
    labels = {customise.MANAGED_BY: "kfn", customise.PART_OF: "kfn", "pod-security.kubernetes.io/enforce": "restricted"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    if await cluster.get(wanted) is None:
        await cluster.apply(wanted)


async def _helm(asked: Asked, argv: Sequence[str], older: bool = False) -> str:
    """With the values of the flags in a file, under those that the user gives. `older`: the kfn that is there is another one."""
    with tempfile.NamedTemporaryFile("w", prefix="kfn-values-", suffix=".json") as own:
        json.dump(helm.values(asked.wanted, asked.said, asked.nats_replicas, older), own)
        own.flush()
        flags = [word for file in (own.name, *asked.files) for word in ("--values", file)]
        flags += [word for one in asked.sets for word in ("--set", one)]
        return await _run(asked.helm, [*argv, *flags], asked.timeout)


async def _run(program: str, argv: Sequence[str], timeout: float) -> str:
    """Its stdout. Raises CliError with its words."""
    from builder import process

    ended = await process.run([program, *argv], timeout=timeout, env=dict(os.environ))
    if ended.code:
        said = ended.stderr.decode("utf-8", "replace").strip() or ended.stdout.decode("utf-8", "replace").strip()
        raise CliError(f"helm {argv[0]} failed: {said[-4000:]}")
    return ended.stdout.decode("utf-8", "replace")


async def _remove_users(cluster: Cluster, timeout: float, progress: Progress) -> None:
    import anyio

    kinds = [(f"{one['spec']['group']}/{one['spec']['versions'][0]['name']}", one["spec"]["names"]["kind"]) for one in files.definitions()]
    with anyio.move_on_after(timeout) as time:
        while left := [thing for version, kind in kinds for thing in await cluster.list(version, kind)]:
            progress.say(f"removing {len(left)} objects of users")
            for thing in left:
                if not thing["metadata"].get("deletionTimestamp") and not thing["metadata"].get("ownerReferences"):
                    await cluster.delete(thing)
            await anyio.sleep(0.5)
    if time.cancelled_caught:
        names = ", ".join(f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in left[:5])
        raise CliError(f"{len(left)} objects of users were not gone after {timeout:g} s: {names}. kfn is still installed", 124)
    progress.done("users", "their objects are gone")


async def _leftovers(cluster: Cluster, namespace: str, data: bool, timeout: float, progress: Progress) -> None:
    """What the parts wrote themselves, and the namespace if kfn made it and nothing else is in it."""
    import anyio

    meta = {"namespace": namespace}
    kinds = [("coordination.k8s.io/v1", "Lease"), ("v1", "Secret"), ("discovery.k8s.io/v1", "EndpointSlice")]
    for version, kind in kinds:
        for one in await cluster.list(version, kind, namespace):
            if one["metadata"]["name"].startswith("kfn-") and not one["metadata"]["name"].startswith("kfn-registry"):
                await cluster.delete({**one, "metadata": {**meta, "name": one["metadata"]["name"]}})
    if data:
        for one in await cluster.list("v1", "PersistentVolumeClaim", namespace, CLAIMS):
            await cluster.delete(one)
    with anyio.move_on_after(timeout) as time:
        while left := await cluster.list("v1", "Pod", namespace, rollout.SELECTOR):
            progress.say(f"waiting for {len(left)} pods to end")
            await anyio.sleep(0.5)
    if time.cancelled_caught:
        raise CliError(f"{len(left)} pods have not ended after {timeout:g} s: kubectl -n {namespace} get pods", 124)
    space = await cluster.get({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    if space and (space["metadata"].get("labels") or {}).get(customise.MANAGED_BY) == "kfn" and not await _inhabited(cluster, namespace):
        await cluster.delete(space)
        progress.done("space", f"namespace {namespace} removed")


async def _inhabited(cluster: Cluster, namespace: str) -> bool:
    """Whether something of somebody's is in a namespace: what Kubernetes itself puts there is not."""
    for version, kind in (
        ("v1", "Pod"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"),
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("apps/v1", "Deployment"),
    ):
        for one in await cluster.list(version, kind, namespace):
            if one["metadata"]["name"] != "kube-root-ca.crt":
                return True
    return False
