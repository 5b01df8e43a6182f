"""kfn deploy: build a folder, apply its Service, wait until it serves, print its address on the last line."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import build, objects, output, session
from cli.failures import CliError
from cli.waiting import NotReady, until_ready
from kfn.api import core, kinds, names, serving
from kfn.kube import errors
from kfn.kube.client import Client

if TYPE_CHECKING:
    from builder.project import Project


@click.command("deploy")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--name", help="The function's name (default: func.yaml's, or the folder's).")
@click.option("--image", help="Deploy this image instead of building one; PATH is then not read, and --name is needed.")
@click.option("-e", "--env", "envs", multiple=True, metavar="NAME=VALUE", help="Environment variable; may be repeated.")
@click.option("--wait-timeout", type=float, default=120, show_default=True, help="Seconds to wait until it serves.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the platform has accepted it.")
@build.flags
@session.options
def command(
    session: session.Session, path: Path, name: str | None, image: str | None, envs: tuple[str, ...], wait_timeout: float, no_wait: bool,
    offline: bool, locked: bool, no_cache: bool, quiet: bool,
) -> None:  # fmt: skip
    """Build and deploy the function in PATH; the last line of output is its URL."""
    from cli.session import run

    progress = output.Progress(quiet=quiet)
    project: Project | None = None
    if image:
        if not name:
            raise CliError("--image needs --name", 2)
        manifest: dict[str, Any] = {
            "apiVersion": serving.API_VERSION,
            "kind": "Service",
            "metadata": {"name": name, "namespace": session.namespace},
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        }
    else:
        from builder.options import BuildOptions
        from builder.service import service_manifest

        options = BuildOptions(
            store=build.store_of(session), name=name or "", namespace=session.namespace, offline=offline, locked=locked, no_cache=no_cache
        )
        result = build.build(path, options, progress)
        project, name = result.project, result.name
        manifest = service_manifest(project, result.reference, name=name, namespace=session.namespace)
    _add_envs(manifest, envs)
    url = run(_apply, session, manifest, project, progress, 0 if no_wait else wait_timeout)
    click.echo(url)


async def _apply(
    session: session.Session, manifest: dict[str, Any], project: "Project | None", progress: output.Progress, wait: float
) -> str:
    start = time.monotonic()
    async with session.client() as client:
        service, change = await _put(client, manifest)
        name, namespace = service.metadata.name, service.metadata.namespace
        if project is not None:
            await _subscribe(client, project, name, namespace)
        if wait:
            try:
                service = await until_ready(
                    client, kinds.SERVICE, name, namespace, timeout=wait, generation=service.metadata.generation, say=progress.say
                )
            except NotReady as error:
                progress.clear()
                raise NotReady(f"{error}{await _evidence(client, name, namespace)}") from None
        progress.done(
            "deploy", f"{name} {change}{', ' + service.status.latest_ready_revision_name if wait else ''}", time.monotonic() - start
        )
        return service.status.url


async def _put(client: Client, manifest: dict[str, Any]) -> tuple[serving.Service, str]:
    """Create or replace the Service; labels, annotations and traffic that others set on it stay."""
    meta = manifest["metadata"]
    for _ in range(5):
        try:
            old = await client.get(kinds.SERVICE, meta["name"], meta["namespace"])
        except errors.NotFound:
            try:
                return await client.create(kinds.SERVICE, manifest, meta["namespace"]), "created"
            except errors.AlreadyExists:
                continue
        merged = {**old.metadata.labels, **meta.get("labels", {})}
        notes = {**old.metadata.annotations, **meta.get("annotations", {})}
        body = {
            **manifest,
            "metadata": {**meta, "labels": merged, "annotations": notes, "resourceVersion": old.metadata.resource_version},
            "spec": {"traffic": [objects.encoded(t) for t in old.spec.traffic], **manifest["spec"]},
        }
        try:
            new = await client.update(kinds.SERVICE, body)
        except errors.Conflict:
            continue
        return new, "updated" if new.metadata.generation != old.metadata.generation else "unchanged"
    raise CliError(f"function {meta['name']!r} is being changed by somebody else all the time; try again", 75)


async def _subscribe(client: Client, project: "Project", name: str, namespace: str) -> None:
    """One Trigger for each subscription of func.yaml; those of subscriptions that were taken out go."""
    from builder.service import trigger_manifests

    label = f"function.knative.dev/name={name}"
    there = {t.metadata.name: t for t in (await client.list(kinds.TRIGGER, namespace, labels=label))[0]}
    for manifest in trigger_manifests(project, name=name, namespace=namespace):
        old = there.pop(manifest["metadata"]["name"], None)
        if old is not None and old.spec.broker != manifest["spec"]["broker"]:
            await client.delete(kinds.TRIGGER, old.metadata.name, namespace)  # a Trigger's broker cannot change
            old = None
        if old is None:
            await client.create(kinds.TRIGGER, manifest, namespace)
        else:
            meta = {**manifest["metadata"], "resourceVersion": old.metadata.resource_version}
            await client.update(kinds.TRIGGER, {**manifest, "metadata": meta})
    for leftover in there:
        await client.delete(kinds.TRIGGER, leftover, namespace)


async def _evidence(client: Client, name: str, namespace: str) -> str:
    """What the newest instance printed last, when the message does not have it already."""
    try:
        pods, _ = await client.list(kinds.POD, namespace, labels=f"{names.SERVICE}={name}")
        lines = [await _last_lines(client, pod) for pod in sorted(pods, key=lambda p: p.metadata.creation_timestamp)[-1:]]
    except errors.KubeError:
        return ""
    return f"\n\nlast log lines:\n{lines[0]}" if lines and lines[0] else f"\n\n`kfn describe {name}` and `kfn logs {name}` tell more"


async def _last_lines(client: Client, pod: core.Pod) -> str:
    text = b""
    async with client.logs(pod.metadata.name, pod.metadata.namespace, tail=10) as chunks:
        async for chunk in chunks:
            text += chunk
    return "\n".join(f"  {line}" for line in text.decode("utf-8", "replace").rstrip().splitlines())


def _add_envs(manifest: dict[str, Any], envs: tuple[str, ...]) -> None:
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    given = {}
    for item in envs:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CliError(f"-e {item!r} is not NAME=VALUE", 2)
        given[name] = value
    kept = [e for e in container.get("env", []) if e["name"] not in given]
    if kept or given:
        container["env"] = kept + [{"name": k, "value": v} for k, v in given.items()]
