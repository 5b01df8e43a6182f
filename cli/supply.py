"""What `kfn build` says about an image beside it: flags for SBOM, provenance and signatures, and `--verify`, which builds to compare."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import output
from cli.failures import CliError

if TYPE_CHECKING:
    from builder.options import BuildOptions, BuildResult


def flags(command: "output.F") -> "output.F":
    """The options of `kfn build` and `kfn deploy` about what is attached to an image."""
    for option in (
        click.option("--sbom-format", type=click.Choice(("cyclonedx", "spdx")), default="cyclonedx", help="Of SBOMs (default cyclonedx)."),
        click.option("--git-annotations", is_flag=True, help="Name repository and commit in the image itself, which changes its digest."),
        click.option(
            "--timestamp",
            type=click.Choice(("epoch", "commit", "now")),
            default="epoch",
            help="When the image says it was created (default epoch: the same source gives the same image).",
        ),
        click.option("--attest/--no-attest", default=None, help="Attach SBOM and provenance (default: to what is pushed or signed)."),
        click.option("--sign-old", is_flag=True, help="Sign also as cosign did before version 3, under a tag."),
        click.option(
            "--sign", type=click.Path(path_type=Path), metavar="KEY",
            help="Sign image, SBOM and provenance with this private key. A password comes from KFN_SIGN_PASSWORD or COSIGN_PASSWORD.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def write_sbom(result: "BuildResult", where: str, form: str) -> None:
    """`--sbom`: to stdout (`-`) or into a file, one for each platform."""
    from builder.files import write
    from builder.supply.sbom import sbom

    for one in result.described:
        body = sbom(one, form) + b"\n"
        if where == "-":
            click.echo(body, nl=False)
        else:
            file = Path(where)
            several = f"-{one.platform.os}-{one.platform.architecture}" if len(result.described) > 1 else ""
            write(file.with_name(f"{file.stem}{several}{file.suffix}").absolute(), body)


def check_sbom(where: str, options: "BuildOptions") -> None:
    """What would be found wrong with `--sbom` after the build. Raises CliError."""
    if where == "-" and len(options.platforms) > 1:
        raise CliError("--sbom -: there is one SBOM for each platform; name one --platform, or give a file", 2)
    if where != "-" and Path(where).is_dir():
        raise CliError(f"--sbom {where}: that is a folder; name a file", 2)
    if where != "-" and not Path(where).absolute().parent.is_dir():
        raise CliError(f"--sbom {where}: there is no folder {Path(where).absolute().parent}", 2)


def compare(image: str, path: Path, options: "BuildOptions", progress: output.Progress) -> None:
    """`--verify`: exits with 1 if the image is not what the source makes."""
    from builder.options import BuildOptions, Progress
    from builder.supply.reading import place
    from builder.supply.rebuild import Rebuilt, rebuild
    from cli.build import teller
    from cli.session import run

    async def work(path: Path, options: BuildOptions, tell: Progress) -> Rebuilt:
        async with place(image, options.registry_settings()) as where:
            return await rebuild(where, path, options, tell)

    try:
        found = run(work, path, options, teller(progress))
    finally:
        progress.clear()
    for note in found.notes:
        click.echo(note)
    if not found.same:
        raise CliError(f"{image} ({found.digest}) is not what {path} makes here ({found.rebuilt})")
    click.echo(f"{image}: the same as built here, {found.digest}")
