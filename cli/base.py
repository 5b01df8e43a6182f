"""kfn base: what functions' images stand on. List, show, make, renew, import and push bases."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import complete, output

if TYPE_CHECKING:
    from builder.options import BuildOptions

FORM = click.option("-o", "--output", "form", type=click.Choice(("table", "json", "yaml")), default="table", help="Output format.")
PLATFORMS = click.option(
    "--platform", "platforms", multiple=True, help="linux/amd64, linux/arm64; may be repeated (default: this machine's)."
)


@click.group("base")
def command() -> None:
    """What functions' images stand on.

    kfn composes its own bases of signed Debian packages, without a registry, root or a container; the mirror comes from this machine's
    apt configuration or KFN_DEBIAN_MIRROR. Any image of a registry can be a base too.
    """


@command.command("ls")
@FORM
def ls(form: str) -> None:
    """List kfn's own bases and those that were imported."""
    from builder.base import imported, manage
    from builder.cache import Cache
    from builder.options import size

    options = _options()
    rows = []
    for one in manage.known(options):
        packages = one.lock.packages if one.lock else ()
        rows.append({
            "NAME": one.recipe.name,
            "WHAT": one.recipe.title,
            "PACKAGES": str(len(packages)) if packages else "",
            "DOWNLOAD": size(sum(package.size for package in packages)) if packages else "",
            "PLATFORMS": ",".join(one.architectures),
            "AS OF": one.date[:10] or "not locked yet",
        })  # fmt: skip
    rows += [
        {"NAME": one.name, "WHAT": f"imported {one.digest[:19]}", "DOWNLOAD": size(one.size), "PLATFORMS": ",".join(one.platforms)}
        for one in imported.listing(Cache(options.cache))
    ]
    if form == "table":
        output.table(rows)
    else:
        output.data(form, [{name.lower().replace(" ", "_"): value for name, value in row.items()} for row in rows])


@command.command("show")
@click.argument("name", shell_complete=complete.bases)
@click.option("--platform", default="", help="linux/amd64 or linux/arm64 (default: this machine's).")
@FORM
def show(name: str, platform: str, form: str) -> None:
    """Show the packages of a base with their versions, and where they are written down."""
    from builder.base import manage
    from builder.platform import parse

    (one,) = manage.known(_options(), (name,), parse(platform).architecture if platform else "")
    packages = one.lock.packages if one.lock else ()
    if form != "table":
        listed = [{"name": p.name, "version": p.version, "sha256": p.sha256, "size": p.size} for p in packages]
        output.data(form, {"name": name, "suite": one.recipe.suite, "lock": str(one.file or ""), "asOf": one.date, "packages": listed})
        return
    output.fields(
        [("Name", name), ("What", one.recipe.title), ("Suite", one.recipe.suite), ("As of", one.date), ("Lock", str(one.file or ""))]
    )
    if packages:
        click.echo()
        output.table([{"PACKAGE": p.name, "VERSION": p.version, "ARCHITECTURE": p.architecture} for p in packages])
    else:
        click.echo("No lock holds; the first build takes the newest versions.", err=True)


@command.command("build")
@click.argument("name", shell_complete=complete.bases)
@PLATFORMS
@click.option("--locked", is_flag=True, help="Fail if the mirror no longer has what the lock names.")
@click.option("--offline", is_flag=True, help="Use only what the cache has.")
@click.option("--no-cache", is_flag=True, help="Make every layer anew.")
@click.option("-o", "--output", "outputs", multiple=True, metavar="KIND:PATH", help="oci:DIR, oci-archive:FILE or docker-archive:FILE.")
def build(name: str, platforms: tuple[str, ...], outputs: tuple[str, ...], **given: bool) -> None:
    """Make a base now, into the cache, and print its digest on the last line."""
    from builder import layout
    from builder.base import manage
    from builder.options import size
    from builder.platform import parse_all
    from cli.session import run

    wanted = [layout.parse(text) for text in outputs]
    chosen = parse_all(platforms)
    for one in wanted:
        layout.check(one, max(1, len(chosen)))
    content, bases = run(manage.make, name, chosen, _options(**given))
    for base in bases:
        _warn(base.warnings)
        for layer in base.layers:
            click.echo(f"{base.platform}  {layer.digest[:19]}  {size(layer.size)}", err=True)
    for one in wanted:
        layout.write(one, content, (), f"kfn.local/base/{name}:latest")
    click.echo(content.digest)


@command.command("update")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete.bases)
@click.option("--project", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Write kfn-base.lock in this folder.")
def update(names: tuple[str, ...], project: Path | None) -> None:
    """Take the newest signed versions into the lock: this user's, or a project's.

    With --project also ask anew what the base images of the project mean now.
    """
    from builder.base import manage
    from builder.base.recipes import RECIPES
    from cli.session import run

    options = _options()
    files, changes = run(manage.update, names or tuple(RECIPES), project, options)
    moved = run(manage.renew_images, project) if project else ()
    rows = [{"BASE": c.base, "PACKAGE": c.package, "WAS": c.old[:40] or "-", "IS": c.new[:40] or "-"} for c in (*changes, *moved)]
    if rows:
        output.table(rows)
    click.echo(f"{'nothing changed; ' if not rows else ''}written: {', '.join(map(str, files))}", err=True)


@command.command("import")
@click.argument("source", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.option("--name", default="", help="What builds call it (default: the image's own name).")
def import_(source: Path, name: str) -> None:
    """Bring an image as a base without a registry: an OCI layout, or what `docker save` wrote."""
    from builder.base import imported
    from builder.cache import Cache
    from builder.options import size

    one = imported.bring(Cache(_options().cache), source, name)
    click.echo(f"{', '.join(one.platforms)}, {size(one.size)}; use it with --base {one.name}", err=True)
    click.echo(one.name)


@command.command("push")
@click.argument("name", shell_complete=complete.bases)
@click.argument("repository", metavar="REPOSITORY[:TAG]")
@PLATFORMS
def push(name: str, repository: str, platforms: tuple[str, ...]) -> None:
    """Push one of kfn's bases, for those who build where no mirror is; print its reference by digest."""
    from builder.base import manage
    from builder.platform import parse_all
    from cli.session import run

    click.echo(run(manage.push, name, repository, parse_all(platforms), _options()))


def _options(**given: bool) -> "BuildOptions":
    from builder.options import BuildOptions

    return BuildOptions(store=None, **given)  # type: ignore[arg-type]


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        output.warn(warning)
