"""kfn key: make a pair of keys to sign images with."""

import os
from pathlib import Path

import click

from cli.failures import CliError


@click.group("key")
def command() -> None:
    """Make keys for `kfn build --sign` and `kfn verify`."""


@command.command("generate")
@click.argument("prefix", default="kfn")
def generate(prefix: str) -> None:
    """Write PREFIX.key, to be kept secret, and PREFIX.pub (ECDSA P-256).

    The private key is encrypted if KFN_SIGN_PASSWORD or COSIGN_PASSWORD is set. cosign takes it with `cosign import-key-pair`.
    """
    from builder.supply import keys

    private, public = Path(f"{prefix}.key"), Path(f"{prefix}.pub")
    password = next((os.environ[name] for name in keys.PASSWORDS if os.environ.get(name)), "")
    signer = keys.generate()
    for path, data, mode in ((private, keys.pem(signer, password.encode()), 0o600), (public, signer.verifier.pem, 0o644)):
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
        except FileExistsError:
            raise CliError(
                f"{path} is there already and is not replaced: images signed with it could not be verified any more", 2
            ) from None
    click.echo(f"{private} {'is encrypted' if password else 'is not encrypted: set KFN_SIGN_PASSWORD to have it so'}", err=True)
    click.echo(public)
