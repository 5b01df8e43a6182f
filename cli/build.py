"""kfn build: a source folder becomes an image in the running platform's image store, or in a folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import output
from cli.failures import CliError

if TYPE_CHECKING:
    from builder.options import BuildOptions, BuildResult, Step
    from cli.session import Session

NEXT = {
    "project": "source: reading and compiling",
    "source": "deps: resolving, downloading and unpacking",
    "deps": "runtime: collecting kfn's own files",
    "runtime": "image: writing",
}  # what follows the step of that name


def flags(command: "output.F") -> "output.F":
    """The options that `kfn build` and `kfn deploy` share."""
    for option in (
        click.option("--offline", is_flag=True, help="Never ask a package index."),
        click.option("--locked", is_flag=True, help="Fail rather than change kfn.lock."),
        click.option("--no-cache", is_flag=True, help="Make every layer anew."),
        click.option("-q", "--quiet", is_flag=True, help="Print only the result."),
    ):
        command = option(command)
    return command


@click.command("build")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--name", help="The function's name (default: func.yaml's, or the folder's).")
@click.option("-n", "--namespace", help="Namespace that the image's name begins with (default: func.yaml's, or default).")
@click.option("--store", type=click.Path(file_okay=False, path_type=Path), help="Image store (default: the running platform's).")
@click.option("-o", "--output", "form", type=click.Choice(("text", "json")), default="text", help="Output format.")
@flags
def command(
    path: Path,
    name: str | None,
    namespace: str | None,
    store: Path | None,
    form: str,
    offline: bool,
    locked: bool,
    no_cache: bool,
    quiet: bool,
) -> None:
    """Build the function in PATH; print its image's reference, by digest, on the last line.

    \b
    kfn build greet
    kfn build greet --locked -o json
    """
    from builder.options import BuildOptions

    options = BuildOptions(
        store=store or _store(), name=name or "", namespace=namespace or "", offline=offline, locked=locked, no_cache=no_cache
    )
    result = build(path, options, output.Progress(quiet=quiet))
    if form == "json":
        layers = [{"digest": b.layer.digest, "size": b.layer.size, "title": b.title, "cached": b.cached} for b in result.layers]
        output.data("json", {"image": result.reference, "handler": result.handler, "layers": layers, "warnings": list(result.warnings)})
    else:
        click.echo(result.reference)


def build(path: Path, options: "BuildOptions", progress: output.Progress) -> "BuildResult":
    """Build and show each phase. Raises `builder.errors.BuildError`, which carries its exit code."""
    from builder.app import build as work
    from cli.session import run

    require_folder(path)

    def show(step: "Step") -> None:
        progress.done(step.name, f"{step.detail}{'   cached' if step.cached else ''}", step.seconds)
        if doing := NEXT.get(step.name):
            progress.say(doing)

    try:
        result = run(work, path, options, show)
    finally:
        progress.clear()
    for warning in result.warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)
    return result


def require_folder(path: Path) -> None:
    if not path.is_dir():
        raise CliError(f"{path}: no such folder" if not path.exists() else f"{path} is not a folder; give the function's folder", 2)


def store_of(session: "Session") -> Path:
    """The image store of an embedded platform."""
    if session.facts is None:
        raise CliError(
            "this platform is a cluster, and images for it must be in a registry: build and push one, then `kfn deploy --image IMAGE NAME`",
            2,
        )
    return Path(session.facts["images"])


def _store() -> Path:
    """Without a running platform, a store in the cache: the layers are found there by the next deploy."""
    from cli import session
    from kfn.kube.config import ConfigError

    try:
        found = session.resolve()
    except ConfigError:
        found = None
    if found and found.facts:
        return store_of(found)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kfn" / "images"
