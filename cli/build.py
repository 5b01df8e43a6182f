"""kfn build: a source folder becomes an image, in the running platform's image store, a registry, a folder or an archive."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import combined, grouped, output, remote, source, supply
from cli.failures import CliError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.options import BuildOptions, BuildResult, Step
    from cli.session import Session

NEXT = {
    "project": "source: reading and compiling",
    "source": "deps: resolving, downloading and unpacking",
    "deps": "runtime: collecting kfn's own files",
    "runtime": "image: writing",
}  # what follows the step of that name
FORMATS = ("text", "json")


def flags(command: "output.F") -> "output.F":
    """The options that `kfn build` and `kfn deploy` share."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Print only the result."),
        click.option(
            "--profile/--no-profile", default=None, help="Import the handler, to see what its start costs (default: yes for a folder)."
        ),
        click.option("--strict", is_flag=True, help="Fail where the function is over its own budget, instead of warning."),
        click.option("--allow-sdists", is_flag=True, help="Build source distributions, which runs their code."),
        click.option("--extra", "extras", multiple=True, metavar="NAME", help="Also install these optional dependencies; may be repeated."),
        click.option("--no-cache", is_flag=True, help="Make every layer anew."),
        click.option("--locked", is_flag=True, help="Fail rather than change a lock file."),
        click.option("--offline", is_flag=True, help="Never ask a package index."),
    ):
        command = option(command)
    return source.flags(command)


def targets(command: "output.F") -> "output.F":
    """The options about what image is made and into which registry it goes."""
    for option in (
        click.option(
            "--registry-auth", type=click.Path(path_type=Path), multiple=True, help="Docker configuration or pull secret to log in with."
        ),
        click.option("--registry-ca", type=click.Path(path_type=Path), help="Certificates to trust beside the system's."),
        click.option("--plain-http", multiple=True, metavar="HOST", help="A registry without TLS; loopback needs no mention."),
        click.option(
            "--compression", type=click.Choice(("gzip", "zstd", "none")), default="gzip", help="Of layers that leave (default gzip)."
        ),
        click.option(
            "--builder",
            type=click.Choice(("dockerfile",)),
            callback=lambda _c, _p, value: value or "",
            help="Build the folder's Dockerfile with buildah, which runs its code.",
        ),
        click.option("--binary", default="", metavar="FILE", help="A ready program for Linux; {arch} in it stands for amd64, arm64."),
        click.option("--base", default="", help="What the image stands on: python, python3.13, static, node, none or an image."),
        click.option("--platform", "platforms", multiple=True, help="linux/amd64, linux/arm64; may be repeated (default: this machine's)."),
        click.option("-t", "--tag", "tags", multiple=True, metavar="IMAGE", help="Name in a registry; may be repeated."),
    ):
        command = option(command)
    return command


@click.command("build", cls=grouped.Command)
@click.argument("path", type=source.SourceType(), default=".")
@click.option("--name", help="The function's name (default: func.yaml's, or the folder's).")
@click.option("-n", "--namespace", help="Namespace that the image's name begins with (default: func.yaml's, or default).")
@targets
@click.option("--push", is_flag=True, help="Push to the registry that -t, or func.yaml, names.")
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="FORMAT|KIND:PATH",
    help="json: print the result so. oci:DIR, oci-archive:FILE, docker-archive:FILE: write the image there.",
)  # fmt: skip
@click.option("--store", type=click.Path(file_okay=False, path_type=Path), help="Image store (default: the running platform's).")
@supply.flags
@click.option("--sbom", "sbom", metavar="FILE", help="Write the SBOM there; - is stdout, and the reference goes to stderr.")
@click.option("--verify", "compared", metavar="IMAGE", help="Build nothing but a comparison with IMAGE: a reference or oci:DIR[:NAME].")
@click.option("--dry-run", is_flag=True, help="Do everything but write the result; print what would be made.")
@click.option("--watch", is_flag=True, help="Build again whenever the source changes, until interrupted.")
@remote.flags
@flags
def command(
    path: "Path | str", outputs: tuple[str, ...], watch: bool, quiet: bool, sbom: str | None, compared: str | None, **given: Any
) -> None:
    """Build the function in PATH, a folder or a git URL; print its image's reference, by digest, on the last line.

    \b
    kfn build greet
    kfn build greet -t localhost:5000/greet:v1 --push --platform linux/amd64,linux/arm64
    kfn build greet -o oci:greet-image --locked
    kfn build greet --remote -t registry.example/team/greet:v1
    kfn build https://git.example.com/team/functions.git#main:greet
    """
    combined.refuse(click.get_current_context())
    form = "json" if "json" in outputs else "text"
    elsewhere = {name: given.pop(name) for name in remote.FLAGS}
    if elsewhere["remote"]:
        remote.build(str(path), output.Progress(quiet=quiet), form, elsewhere | given)
        return
    options = build_options(outputs=tuple(text for text in outputs if text not in FORMATS), **given)
    progress = output.Progress(quiet=quiet)
    if compared:
        supply.compare(compared, source.folder(path), options, progress)
    elif watch:
        from cli.watching import watched

        watched(source.folder(path), lambda: show(build(path, options, progress), form))
    else:
        if sbom:
            supply.check_sbom(sbom, options)
        result = build(path, options, progress)
        if sbom:
            supply.write_sbom(result, sbom, options.sbom_format)
        show(result, form, err=sbom == "-")


def build_options(*, store: Path | None = None, name: str | None = None, namespace: str | None = None, **given: Any) -> "BuildOptions":
    """Flags to options. Without a registry or an archive the image goes into a store."""
    from builder.options import BuildOptions
    from builder.platform import parse_all

    if given.get("cache_bytes") is None:
        given.pop("cache_bytes", None)
    given["platforms"] = parse_all(given.get("platforms", ()))
    leaves = given.get("push") or given.get("outputs")
    if given.get("tags") and not leaves:
        raise CliError("-t names the image in a registry or an archive; add --push, or -o oci:DIR", 2)
    return BuildOptions(store=store or (None if leaves else _store()), name=name or "", namespace=namespace or "", **given)


def show(result: "BuildResult", form: str, err: bool = False) -> None:
    """Print what was made: for a script, or its reference as the last line."""
    if form == "json":
        layers = [{"digest": b.layer.digest, "size": b.layer.size, "title": b.title, "cached": b.cached} for b in result.layers]
        facts = {"image": result.reference, "digest": result.digest, "handler": result.handler, "layers": layers}
        platforms = [{"platform": str(one.platform), "digest": one.digest} for one in result.content.images()]
        output.data("json", {**facts, "platforms": platforms, "warnings": list(result.warnings), "seconds": round(result.seconds, 3)})
    else:
        click.echo(result.reference, err=err)


def build(path: "Path | str", options: "BuildOptions", progress: output.Progress) -> "BuildResult":
    """Build and show each phase. Raises `builder.errors.BuildError`, which carries its exit code."""
    gc.set_threshold(
        50_000, 20, 20
    )  # imports make objects that stay: looking through them 150 times is a tenth of a build that changes nothing
    from builder.app import build as work
    from cli.session import run

    given = source.resolved(path, options.git_http)
    if not isinstance(given, Path):
        progress.say(f"git: fetching {given}")
    try:
        result = run(work, given, options, teller(progress))
    finally:
        progress.clear()
    for warning in result.warnings:
        output.warn(warning)
    for change in result.changes if options.explain else ():
        click.echo(f"{click.style('explain:', bold=True)} {change}", err=True)
    return result


def teller(progress: output.Progress) -> "Callable[[Step], None]":
    """Shows each finished phase, and what follows it."""

    def tell(step: "Step") -> None:
        progress.done(step.name, f"{step.detail}{'   cached' if step.cached else ''}", step.seconds)
        if doing := NEXT.get(step.name):
            progress.say(doing)

    return tell


def store_of(session: "Session") -> Path:
    """The image store of an embedded platform."""
    assert session.facts is not None, "a cluster has no image store"
    return Path(session.facts["images"])


def _store() -> Path:
    """Without a running platform, a store in the cache: the layers are found there by the next deploy."""
    from builder.options import default_cache
    from cli import session
    from kfn.kube.config import ConfigError

    try:
        found = session.resolve()
    except ConfigError:
        found = None
    if found and found.facts:
        return store_of(found)
    return default_cache() / "images"
