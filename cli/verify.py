"""kfn verify: who signed an image. Whether it is what its source makes is asked with `kfn build --verify`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import output

if TYPE_CHECKING:
    from builder.supply.verify import Verified


@click.command("verify")
@click.argument("image")
@click.option("--key", required=True, type=click.Path(path_type=Path), help="The public key (PEM).")
@click.option("-o", "--output", "form", type=click.Choice(("text", "json")), default="text", help="Output format.")
def command(image: str, key: Path, form: str) -> None:
    """Check that the owner of a key has signed IMAGE: a reference in a registry, or oci:DIR[:NAME].

    \b
    kfn verify localhost:5000/greet:v1 --key signing.pub
    kfn verify oci:greet-image --key signing.pub -o json
    """
    from cli.session import run

    found: Verified = run(_verify, image, key)
    statements = [one.kind for one in found.statements]
    for problem in found.problems:
        output.warn(problem)
    if form == "json":
        facts = {"image": found.name, "digest": found.digest, "signatures": [one.form for one in found.signatures]}
        output.data("json", {**facts, "statements": statements, "problems": list(found.problems)})
    else:
        click.echo(f"{found.name}: signed with {key.name}, {found.digest}")
        for kind in statements:
            click.echo(f"  signed statement: {kind}")


async def _verify(image: str, key: Path) -> "Verified":
    from builder.supply import keys
    from builder.supply.reading import place
    from builder.supply.verify import verify

    verifier = keys.public(key)
    async with place(image) as where:
        return await verify(where, verifier)
