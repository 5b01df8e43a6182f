"""The options by which a command is told of HTTPS, and what they mean together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.failures import CliError

if TYPE_CHECKING:
    from gateway.settings import Settings

LABEL = "kfn.dev/gateway-certificate"  # as in gateway/tls/certificates.py, which takes too long to load for a help text
Pairs = tuple[tuple[str, str], ...]


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--tls-port, --tls-cert, --tls-key."""
    return _all(
        command,
        click.option("--tls-port", type=click.IntRange(0, 65535), help="Speak HTTPS on this port too; 0 picks a free one."),
        click.option(
            "--tls-cert",
            "tls_certs",
            multiple=True,
            metavar="FILE|DIR",
            help="A certificate with its chain (PEM), or a folder with tls.crt and tls.key. Again for more names. Reloaded on change.",
        ),
        click.option("--tls-key", "tls_keys", multiple=True, metavar="FILE", help="The key of the --tls-cert in the same place."),
    )


def secret_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--tls-secret, --tls-secrets-namespace, --tls-redirect."""
    return _all(
        command,
        click.option(
            "--tls-secret", "tls_secrets", multiple=True, metavar="NAMESPACE/NAME", help="A Secret of type kubernetes.io/tls. Watched."
        ),
        click.option(
            "--tls-secrets-namespace", default="", metavar="NAMESPACE", help=f"And all Secrets in it that are labelled {LABEL}=true."
        ),
        click.option(
            "--tls-redirect",
            type=click.IntRange(1, 65535),
            metavar="PORT",
            help="Send who comes by plain HTTP to HTTPS (308) on this port, by which clients reach --tls-port: 443.",
        ),
    )


def pairs(certs: tuple[str, ...], keys: tuple[str, ...], tls_port: int | None, redirect: object = None) -> Pairs:
    """The files, as certificate and key. Raises CliError."""
    if tls_port is None and (certs or keys or redirect):
        raise CliError("--tls-cert, --tls-key and --tls-redirect need --tls-port", 2)
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


def settings(
    settings: "Settings",
    *,
    tls_port: int | None,
    tls_certs: tuple[str, ...],
    tls_keys: tuple[str, ...],
    tls_secrets: tuple[str, ...],
    tls_secrets_namespace: str,
    tls_redirect: int | None,
) -> "Settings":
    """A gateway's settings, with HTTPS. Raises CliError, for a file that cannot be used too."""
    files = pairs(tls_certs, tls_keys, tls_port, tls_redirect)
    if tls_port is None:
        if tls_secrets or tls_secrets_namespace:
            raise CliError("--tls-secret and --tls-secrets-namespace need --tls-port", 2)
        return settings
    if not (files or tls_secrets or tls_secrets_namespace):
        raise CliError("--tls-port: say which certificate: --tls-cert, --tls-secret or --tls-secrets-namespace", 2)
    for one in tls_secrets:
        if one.count("/") != 1 or not all(one.split("/")):
            raise CliError(f"--tls-secret {one}: expected NAMESPACE/NAME", 2)
    check(files)
    return replace(
        settings, tls_port=tls_port, tls_files=files, tls_secrets=tls_secrets, tls_secrets_namespace=tls_secrets_namespace,
        redirect=tls_redirect or 0,
    )  # fmt: skip


def check(files: Pairs) -> None:
    """Say now what would be said when everything has been started. Raises CliError."""
    if not files:
        return
    from gateway.tls.certificates import CertificateError, Certificates

    try:
        Certificates(files).start()
    except CertificateError as error:
        raise CliError(f"--tls-cert, --tls-key: {error}", 2) from error


def _all(command: Callable[..., Any], *found: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(found):
        command = option(command)
    return command
