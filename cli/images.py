"""kfn images: kfn's own images, made by kfn's own builder and put into your registry, from which a cluster runs them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import output
from cli.failures import CliError

if TYPE_CHECKING:
    from builder.options import BuildResult, Step


@click.command("images")
@click.argument("names", nargs=-1, metavar="[kfn] [kfn-builder] [kfn-nats]")
@click.option("--registry", default="", metavar="HOST[/PATH]", help="Push there; each image has its own name below it.")
@click.option("--tag", default="", help="Of the images (default: kfn's version).")
@click.option("--output", "written", default="", metavar="KIND:DIR", help="Write them: oci:DIR, oci-archive:DIR or docker-archive:DIR.")
@click.option("--platform", "platforms", multiple=True, help="linux/amd64, linux/arm64; may be repeated (default: this machine's).")
@click.option("--plain-http", multiple=True, metavar="HOST", help="A registry without TLS; loopback needs no mention.")
@click.option("--registry-ca", type=click.Path(path_type=Path), help="Certificates to trust beside the system's.")
@click.option("--registry-auth", type=click.Path(path_type=Path), multiple=True, help="Docker configuration or pull secret to log in with.")
@click.option("--offline", is_flag=True, help="Use only what is in the cache.")
@click.option("--no-cache", is_flag=True, help="Make every layer anew.")
@click.option("-o", "form", type=click.Choice(("text", "json")), default="text", help="json: for a script.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the result.")
def command(
    names: tuple[str, ...], registry: str, tag: str, written: str, platforms: tuple[str, ...], plain_http: tuple[str, ...],
    registry_ca: Path | None, registry_auth: tuple[Path, ...], offline: bool, no_cache: bool, form: str, quiet: bool,
) -> None:  # fmt: skip
    """Build kfn's own images, all or those that are named, and print a line for each: its name and its reference by digest.

    The same kfn makes the same digests on every machine. Without --registry and --output nothing leaves the cache.

    \b
    kfn images --registry registry.example/kfn
    kfn images --registry registry.example/kfn --platform linux/amd64,linux/arm64
    kfn images --output oci-archive:.
    """
    from builder.kfn_images.app import Asked, images
    from builder.options import BuildOptions
    from builder.platform import parse_all
    from cli.session import run
    from kfn.version import VERSION

    if "://" in registry:
        raise CliError(f"--registry {registry}: leave out {registry.partition('://')[0]}://; --plain-http HOST says that it has no TLS", 2)
    options = BuildOptions(
        store=None, platforms=parse_all(platforms), plain_http=plain_http, registry_ca=registry_ca, registry_auth=registry_auth,
        offline=offline, no_cache=no_cache,
    )  # fmt: skip
    asked = Asked(registry=registry, output=written, tag=tag or VERSION, **({"names": names} if names else {}))
    progress = output.Progress(quiet=quiet)

    def tell(name: str, step: "Step") -> None:
        if step.name == "project":
            progress.say(f"{name}: base and packages")
        else:
            progress.done(f"{name:<12}{step.name:<8}", f"{step.detail}{'   cached' if step.cached else ''}", step.seconds)

    try:
        made = run(images, asked, options, tell)
    finally:
        progress.clear()
    for warning in dict.fromkeys(text for result in made.values() for text in result.warnings):
        output.warn(warning)
    if form == "json":
        output.data("json", {name: _facts(one) for name, one in made.items()})
    else:
        output.fields([(name, one.reference) for name, one in made.items()])


def _facts(one: "BuildResult") -> dict[str, object]:
    return {"image": one.reference, "digest": one.digest, "size": one.size, "seconds": round(one.seconds, 3)}
