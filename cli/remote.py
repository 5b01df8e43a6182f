"""--remote of kfn build and kfn deploy: the source goes up, a Build is made of it, what it tells is shown, its image is what counts."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import output
from cli.failures import CliError

if TYPE_CHECKING:
    from builder.registry.reference import ImageRef
    from cli.session import Session
    from kfn.api.build import Build
    from kfn.kube.client import Client

FLAGS = ("remote", "detach", "timeout", "push_secret", "pull_secret", "index_secret", "git_secret")
POSSIBLE = {
    *FLAGS, "path", "name", "namespace", "platforms", "base", "tags", "compression", "locked", "no_cache", "allow_sdists", "strict",
    "extras", "quiet", "outputs", "push", "profile", "allow_secret_files", "plain_http", "registry_ca", "registry_auth",
    "registry_cache", "envs", "wait_timeout", "no_wait", "kubeconfig", "kube_context",
}  # fmt: skip


def flags(command: "output.F") -> "output.F":
    """The options of `kfn build` that are about a build in a cluster."""
    detach = click.option("--detach", is_flag=True, help="--remote: return once the platform has accepted it; Ctrl-C does not cancel.")
    return detach(followed(command))


def followed(command: "output.F") -> "output.F":
    """Those that `kfn deploy`, which goes on with the image, has too."""
    for option in (
        click.option("--git-secret", default="", metavar="SECRET", help="--remote: user and password for a git repository."),
        click.option("--index-secret", default="", metavar="SECRET", help="--remote: package index, its `url`, login, `ca.crt`."),
        click.option("--pull-secret", default="", metavar="SECRET", help="--remote: for the registry that has the base."),
        click.option("--push-secret", default="", metavar="SECRET", help="--remote: for the registry that gets the image."),
        click.option("--timeout", type=click.IntRange(1, 21600), default=600, metavar="SECONDS", help="--remote: of the build."),
        click.option("--remote", is_flag=True, help="Build on the platform, as a Build that runs without privileges there."),
    ):
        command = option(command)
    return command


def build(source: str, progress: output.Progress, form: str, given: dict[str, Any]) -> None:
    """Of `kfn build`: print the image's reference. Raises CliError with the build's own exit code."""
    from cli import session

    made, ended = followed_build(session.resolve(namespace=given["namespace"]), source, progress, given)
    image = ended.status.image if ended else ""
    if form == "json":
        output.data("json", {"image": image, "digest": ended.status.digest if ended else "", "build": made})
    else:
        click.echo(image or made)


def followed_build(session: "Session", source: str, progress: output.Progress, given: dict[str, Any]) -> "tuple[str, Build | None]":
    """Upload, create, follow: the Build's name, and the Build as it ended unless it was detached."""
    from cli.session import run

    _refuse(click.get_current_context())
    try:
        made, ended = run(_interruptible, session, source, progress, given)
    except KeyboardInterrupt:
        progress.clear()
        raise CliError("interrupted; a build that had been created was cancelled", 130) from None
    finally:
        progress.clear()
    for warning in ended.status.warnings if ended else ():
        output.warn(warning)
    return made, ended


def _refuse(context: click.Context) -> None:
    """What was asked for that only a build on this machine can do."""
    from click.core import ParameterSource

    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and (name not in POSSIBLE or (name == "outputs" and set(context.params[name]) - {"json", "text"})):
            raise CliError(f"--remote and {parameter.opts[0]} cannot be together: that is for a build on this machine", 2)


async def _interruptible(session: "Session", source: str, progress: output.Progress, given: dict[str, Any]) -> "tuple[str, Build | None]":
    """Ctrl-C by a cancel scope, which cancels again until all has ended: asyncio's own cancels once, and a library that takes that for
    its own timeout went on following the build."""
    import signal

    import anyio

    from builder.together import single

    result: list[tuple[str, Build | None]] = []
    with single():
        async with anyio.create_task_group() as tasks:

            async def interrupted(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                with anyio.open_signal_receiver(signal.SIGINT) as signals:
                    task_status.started()
                    async for _ in signals:
                        tasks.cancel_scope.cancel("interrupted")

            await tasks.start(interrupted)
            result.append(await _remote(session, source, progress, given))
            tasks.cancel_scope.cancel("done")
    if not result:
        raise KeyboardInterrupt
    return result[0]


async def _remote(session: "Session", source: str, progress: output.Progress, given: dict[str, Any]) -> "tuple[str, Build | None]":
    """The Build's name and, unless it was detached, the Build in the end."""
    import anyio

    from cli import buildlog, objects
    from kfn.api import kinds

    async with session.client() as client:
        await objects.require_namespace(client, session.namespace)
        await _require_builds(client, session.namespace)
        await _require_secrets(client, session.namespace, given)
        made = await client.create(kinds.BUILD, await _manifest(source, session.namespace, progress, given), session.namespace)
        name = made.metadata.name
        progress.done("build", f"{name} in namespace {session.namespace}")
        if given["detach"]:
            return name, None
        try:
            ended = await buildlog.follow(client, name, session.namespace, _shower(progress), progress.say)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await client.patch(kinds.BUILD, name, session.namespace, {"spec": {"cancel": True}})
            raise
    if buildlog.condition(ended).status == "False":
        progress.clear()
        raise buildlog.failure(ended)
    return name, ended


def _shower(progress: output.Progress) -> Any:
    def show(line: dict[str, Any]) -> None:
        if "result" in line or not line.get("msg"):
            return
        cached = "   cached" if line.get("cache") == "hit" else ""
        seconds = line.get("seconds")
        progress.done(str(line.get("phase") or ""), f"{line['msg']}{cached}", seconds if isinstance(seconds, int | float) else None)

    return show


async def _require_builds(client: "Client", namespace: str) -> None:
    from kfn.api import kinds
    from kfn.kube import errors

    try:
        await client.list(kinds.BUILD, namespace)
    except errors.NotFound:
        raise CliError("this platform has no builds (kfn.dev/v1alpha1 Build is not installed); build here, without --remote", 1) from None


async def _require_secrets(client: "Client", namespace: str, given: dict[str, Any]) -> None:
    """A pod waits for a Secret that is not there until the build's time is over, and says so in an event only."""
    from kfn.api import kinds
    from kfn.kube import errors

    for kind in ("push", "pull", "index", "git"):
        if name := given[f"{kind}_secret"]:
            try:
                await client.get(kinds.SECRET, name, namespace)
            except errors.NotFound:
                raise CliError(f"--{kind}-secret {name}: there is no Secret of that name in namespace {namespace}", 2) from None
            except errors.Forbidden:
                pass  # who may not look may still build


async def _manifest(source: str, namespace: str, progress: output.Progress, given: dict[str, Any]) -> dict[str, Any]:
    """The Build to create, with its source uploaded."""
    from builder.sources import giturl

    if giturl.is_git(source):
        url = giturl.parse(source)
        if url.password is not None:
            raise CliError("the git URL has a password in it; put it into a Secret and name that with --git-secret", 2)
        refs = _refs(given["tags"], "", "", "")
        name = given["name"] or refs[0].repository.rpartition("/")[2]
        wanted = {"git": {"url": url.url, "ref": url.ref, "subdir": url.folder}}
    else:
        from builder.project import load_project
        from cli.source import require_folder

        require_folder(Path(source))
        project = load_project(Path(source))
        name = given["name"] or project.name
        refs = _refs(given["tags"], project.image, project.registry or os.environ.get("KFN_REGISTRY", ""), name)
        wanted = await _upload(Path(source), refs[0], progress, given)
    return {
        "apiVersion": "kfn.dev/v1alpha1",
        "kind": "Build",
        "metadata": {"generateName": f"{name[:40]}-", "namespace": namespace},
        "spec": {
            "source": wanted,
            "image": {"repository": refs[0].name, "tags": sorted({ref.tag for ref in refs if ref.tag})},
            "name": name,
            "platforms": [str(one) for one in _platforms(given["platforms"])],
            "base": given["base"],
            "options": {
                "allowSdists": given["allow_sdists"],
                "compression": given["compression"],
                "registryCache": given.get("registry_cache", ""),
                "noCache": given["no_cache"],
                "locked": given["locked"],
                "strict": given["strict"],
                "allowSecretFiles": list(given.get("allow_secret_files", ())),
                "extras": list(given["extras"]),
            },
            "timeoutSeconds": given["timeout"],
            **{f"{kind}Secret": given[f"{kind}_secret"] for kind in ("push", "pull", "index", "git")},
        },
    }


async def _upload(folder: Path, ref: "ImageRef", progress: output.Progress, given: dict[str, Any]) -> dict[str, Any]:
    """A few small texts travel in the Build itself; anything else goes into the registry, where the same source is there already."""
    import anyio
    import anyio.to_thread

    from builder.cache import Cache
    from builder.cluster import source_artifact
    from builder.options import BuildOptions, count, size
    from builder.registry.client import Registries

    start = anyio.current_time()
    asked = {name: given[name] for name in ("allow_secret_files", "plain_http", "registry_ca", "registry_auth") if given.get(name)}
    options = BuildOptions(store=None, **asked)
    collected = await anyio.to_thread.run_sync(source_artifact.collect, folder, options)
    for warning in collected.source.warnings:
        output.warn(warning)
    if (files := source_artifact.inline(collected)) is not None:
        progress.done("upload", f"{count(len(files), 'file')}, {size(collected.source.size)}, in the Build itself")
        return {"inline": files}
    made = await anyio.to_thread.run_sync(source_artifact.assemble, collected, Cache(options.cache))
    async with Registries(options.registry_settings()) as registries:
        sent = await source_artifact.upload(registries, made, ref.bare, lambda step: None)
    text = f"{count(made.files, 'file')}, {size(made.size)}{'' if sent else '   cached'}"
    progress.done("upload", text, anyio.current_time() - start)
    return {"artifact": f"{ref.name}@{made.content.digest}"}


def _refs(tags: tuple[str, ...], image: str, registry: str, name: str) -> "list[ImageRef]":
    """The names of the image, all in one repository: those of -t, else func.yaml's, else the registry's and the function's."""
    from builder.registry.reference import parse_ref

    own = image or (f"{registry.rstrip('/')}/{name}" if registry else "")
    refs = [parse_ref(text) for text in tags or ((own,) if own else ())]
    if not refs:
        raise CliError("--remote: where to? Give -t REGISTRY/NAME, or write `image:` or `registry:` in func.yaml, or set KFN_REGISTRY", 2)
    if len({ref.name for ref in refs}) > 1:
        raise CliError(f"--remote: all of -t must name one repository, not {' and '.join(sorted({ref.name for ref in refs}))}", 2)
    if any(ref.digest for ref in refs):
        raise CliError("-t: an image cannot be pushed under a digest of your choice; leave it out", 2)
    return refs


def _platforms(given: Any) -> tuple[Any, ...]:
    from builder.platform import parse_all

    return parse_all(tuple(given))
