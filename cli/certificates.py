"""The options by which a command is told of HTTPS, and what they mean together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.failures import CliError

Pairs = tuple[tuple[str, str], ...]


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--tls-port, --tls-cert, --tls-key, --tls-redirect."""
    for option in (
        click.option("--tls-redirect", is_flag=True, help="Send who comes by plain HTTP to HTTPS (308)."),
        click.option("--tls-key", "tls_keys", multiple=True, metavar="FILE", help="The key of the --tls-cert in the same place."),
        click.option(
            "--tls-cert",
            "tls_certs",
            multiple=True,
            metavar="FILE|DIR",
            help="A certificate with its chain (PEM), or a folder with tls.crt and tls.key. Again for more names. Reloaded on change.",
        ),
        click.option("--tls-port", type=click.IntRange(0, 65535), help="Speak HTTPS on this port too; 0 picks a free one."),
    ):
        command = option(command)
    return command


def pairs(certs: tuple[str, ...], keys: tuple[str, ...], tls_port: int | None, redirect: bool) -> Pairs:
    """The files, as certificate and key. Raises CliError."""
    if tls_port is None and (certs or keys or redirect):
        raise CliError("--tls-cert, --tls-key and --tls-redirect need --tls-port", 2)
    if redirect and tls_port == 0:
        raise CliError("--tls-redirect needs a --tls-port that is known before, not 0", 2)
    left = list(keys)
    found: list[tuple[str, str]] = []
    for cert in certs:
        path = Path(cert).absolute()
        if path.is_dir():
            found.append((str(path / "tls.crt"), str(path / "tls.key")))
        elif left:
            found.append((str(path), str(Path(left.pop(0)).absolute())))
        else:
            raise CliError(f"--tls-cert {cert}: give its key with --tls-key FILE, or a folder with tls.crt and tls.key", 2)
    if left:
        raise CliError(f"--tls-key {left[0]}: there is no --tls-cert for it", 2)
    return tuple(found)
