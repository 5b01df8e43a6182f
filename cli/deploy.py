"""kfn deploy: build a folder, apply its Service, wait until it serves, print its address on the last line."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import build, combined, grouped, objects, output, reach, reasons, remote, session, source, supply
from cli.failures import CliError
from cli.waiting import NotReady, until_ready
from kfn.api import core, kinds, names, serving
from kfn.kube import errors
from kfn.kube.client import Client

if TYPE_CHECKING:
    from builder.project import Project


@click.command("deploy", cls=grouped.Command)
@click.argument("path", type=source.SourceType(), default=".")
@click.option("--name", help="The function's name (default: func.yaml's, or the folder's).")
@click.option("--image", help="Deploy this image instead of building one; PATH is then not read, and --name is needed.")
@click.option("-e", "--env", "envs", multiple=True, metavar="NAME=VALUE", help="Environment variable; may be repeated.")
@click.option(
    "--wait-timeout", type=click.FloatRange(min=0, min_open=True), default=120, show_default=True, help="Seconds to wait until it serves."
)
@click.option("--no-wait", is_flag=True, help="Return as soon as the platform has accepted it.")
@build.targets
@supply.flags
@remote.followed
@build.flags
@session.options
def command(
    session: session.Session, path: "Path | str", name: str | None, image: str | None, envs: tuple[str, ...], wait_timeout: float,
    no_wait: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Build and deploy the function in PATH, a folder or a git URL; the last line of output is its URL.

    On a cluster the image is pushed to the registry that -t, func.yaml or $KFN_REGISTRY names, and --remote builds it there.

    \b
    kfn deploy greet
    kfn deploy greet --remote -t registry.example/team/greet
    kfn deploy greet -e LOG_LEVEL=debug -n staging
    kfn deploy --image kfn.local/default/greet@sha256:... --name greet-copy
    """
    from cli.session import run

    progress = output.Progress(quiet=quiet)
    environment = env_vars(envs)
    if image and not name:
        raise CliError("--image needs --name, which names the function", 2)
    namespace = session.namespace if image else _namespace(session, path, given)
    run(_require_platform, session, namespace)
    elsewhere = {name: given.pop(name) for name in remote.FLAGS if name in given}
    project: Project | None = None
    if image:
        manifest: dict[str, Any] = {
            "apiVersion": serving.API_VERSION,
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        }
    else:
        from builder.service import service_manifest

        make = _remotely if elsewhere["remote"] else _here
        project, name, made = make(session, path, progress, {"name": name, "namespace": namespace, **elsewhere, **given})
        manifest = service_manifest(project, made, name=name, namespace=namespace)
    _add_envs(manifest, environment)
    try:
        url = run(_apply, session, manifest, project, progress, 0 if no_wait else wait_timeout)
    except KeyboardInterrupt:
        progress.clear()
        raise CliError(f"interrupted. What the platform has accepted goes on; `kfn describe {name}` shows it", 130) from None
    if not quiet and session.facts is None and (hint := reach.hint(session, url, str(name))):
        click.echo(hint, err=True)
    click.echo(url)


def _here(session: session.Session, path: "Path | str", progress: output.Progress, given: dict[str, Any]) -> "tuple[Project, str, str]":
    """Build on this machine: the project, the function's name and the image's reference."""
    given = {name: value for name, value in given.items() if name not in remote.FLAGS}
    cluster = session.facts is None  # its nodes take images from a registry
    if not cluster:
        combined.refuse_here(click.get_current_context(), given)
    options = build.build_options(store=None if cluster else build.store_of(session), push=cluster, **given)
    result = build.build(path, options, progress)
    return result.project, result.name, result.reference


def _remotely(session: session.Session, path: "Path | str", progress: output.Progress, given: dict[str, Any]) -> "tuple[Project, str, str]":
    """Build on the platform, as `_here`."""
    from builder.project import load_project

    if isinstance(path, str):
        raise CliError("--remote takes a folder here: what a repository's func.yaml asks for is only known where it was fetched. "
                       "Clone it and deploy the folder: `git clone URL && kfn deploy --remote FOLDER`", 2)  # fmt: skip
    project = load_project(path)
    name = given["name"] or project.name
    _, ended = remote.followed_build(session, str(path), progress, {**given, "name": name, "detach": False})
    assert ended is not None, "it was not detached"
    return project, name, ended.status.image


def _namespace(session: session.Session, path: "Path | str", given: dict[str, Any]) -> str:
    """-n, else func.yaml's, else the context's."""
    from builder.project import load_project

    if isinstance(path, str):  # what its func.yaml says is known once it was fetched
        return session.asked or session.namespace
    source.require_folder(path)
    return session.asked or load_project(path, builder=given["builder"], binary=given["binary"]).namespace or session.namespace


async def _require_platform(session: session.Session, namespace: str) -> None:
    """Before a build is made for it."""
    async with session.client() as client:
        await objects.require_namespace(client, namespace)


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
                    client, kinds.SERVICE, name, namespace, timeout=wait, generation=service.metadata.generation,
                    say=lambda why: progress.say(f"deploy: {why}"),
                )  # fmt: skip
            except NotReady as error:
                progress.clear()
                raise NotReady(f"{error}{await _evidence(client, service, str(error))}") from None
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


async def _evidence(client: Client, service: serving.Service, told: str) -> str:
    """What the newest instance printed last, unless the message has it already; and what serves meanwhile."""
    name, namespace = service.metadata.name, service.metadata.namespace
    parts = []
    try:
        pods, _ = await client.list(kinds.POD, namespace, labels=f"{names.SERVICE}={name}")
        newest = sorted(pods, key=lambda p: p.metadata.creation_timestamp)[-1:]
        if newest and (lines := reasons.news(await _last_lines(client, newest[0]), told)):
            parts.append("last log lines:\n" + "\n".join(f"  {line}" for line in lines))
        serving_now = (await client.get(kinds.SERVICE, name, namespace)).status.latest_ready_revision_name
    except errors.KubeError:
        serving_now = ""
    if serving_now:
        parts.append(f"{serving_now} goes on serving")
    parts.append(f"`kfn describe {name}` and `kfn logs {name}` tell more")
    return "\n\n" + "\n".join(parts)


async def _last_lines(client: Client, pod: core.Pod) -> list[str]:
    text = b""
    async with client.logs(pod.metadata.name, pod.metadata.namespace, tail=10) as chunks:
        async for chunk in chunks:
            text += chunk
    return text.decode("utf-8", "replace").rstrip().splitlines()


def env_vars(given: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` texts; the last of a name counts."""
    parsed = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CliError(f"-e {item!r} is not NAME=VALUE", 2)
        parsed[name] = value
    return parsed


def _add_envs(manifest: dict[str, Any], given: dict[str, str]) -> None:
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    kept = [e for e in container.get("env", []) if e["name"] not in given]
    if kept or given:
        container["env"] = kept + [{"name": k, "value": v} for k, v in given.items()]
