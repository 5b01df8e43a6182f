"""kfn up: the whole platform in this process, in the foreground, until Ctrl-C."""

import ipaddress
import os
import sys
from pathlib import Path

import click

from cli import certificates, ports
from cli.failures import CliError


@click.command("up")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The gateway's port; 0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The gateway's address. Anything but loopback is reachable by others.")
@certificates.file_options
@click.option("--tls-redirect", is_flag=True, help="Send who comes by plain HTTP to HTTPS (308).")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where everything is kept (default ~/.local/share/kfn).")
@click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
    help="The least that is logged.",
)
@click.option("--log-format", type=click.Choice(("auto", "json", "plain")), default="auto", help="auto: plain on a terminal, else json.")
@click.option("--access-log", metavar="FILE", default="", help="Write one line of JSON a request to FILE, or to - (standard output).")
@click.option(
    "--access-log-sample",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Of requests that went well, the share that is logged.",
)
def command(
    port: int, host: str, data_dir: Path | None, log_level: str, log_format: str, access_log: str, access_log_sample: float,
    tls_port: int | None, tls_certs: tuple[str, ...], tls_keys: tuple[str, ...], tls_redirect: bool,
) -> int:  # fmt: skip
    """Start the platform on this machine: API server, controllers, gateway, autoscaler, event bus.

    Prints one line beginning with `ready` when everything serves. KUBECONFIG=DIR/kubeconfig lets kfn, kubectl and kn find it.

    \b
    kfn up
    kfn up --port 0 --data-dir /tmp/kfn
    kfn up --tls-port 8443
    """
    from embedded import app
    from embedded.datadir import DataDirError, default
    from embedded.nats import NatsError
    from gateway.tls.certificates import CertificateError
    from kfn.observe import lines, logs, otel, web

    ports.distinct({"--port": (host, port), "--tls-port": (host, tls_port)})
    form = log_format if log_format != "auto" else "plain" if sys.stderr.isatty() else "json"
    logs.configure(level=log_level, form=form)
    try:
        tracing = otel.from_environment(os.environ)
    except otel.OtelError as error:
        raise CliError(str(error), 2) from error
    if access_log not in ("", "-"):
        access_log = str(Path(access_log).absolute())
    settings = app.Settings(
        data_dir=(data_dir or default()).expanduser().absolute(), host=host, port=port,
        access_log=access_log, access_log_sample=access_log_sample, tracing=tracing, tls_port=tls_port,
        tls_files=certificates.pairs(tls_certs, tls_keys, tls_port, tls_redirect), tls_redirect=tls_redirect,
    )  # fmt: skip
    if tls_redirect and not tls_port:
        raise CliError("--tls-redirect needs a --tls-port that is known before, not 0", 2)
    if not _is_loopback(host):
        clear = "" if tls_redirect else _in_clear(tls_port)
        click.echo(f"warning: --host {host}: whoever reaches this machine can call every function{clear}", err=True)
    try:
        return app.main(settings, say=lambda line: click.echo(line))
    except web.ListenError as error:
        raise CliError(f"{error}. --host, --port and --tls-port choose where the gateway listens; port 0 picks a free one") from error
    except lines.LinesError as error:
        raise CliError(f"{error} (--access-log)", 2) from error
    except CertificateError as error:
        raise CliError(f"--tls-cert, --tls-key: {error}", 2) from error
    except (DataDirError, NatsError, otel.OtelError) as error:
        raise CliError(str(error)) from error


def _in_clear(tls_port: int | None) -> str:
    if tls_port is None:
        return "; there is no TLS in front of them (--tls-port)"
    return ", on --port without TLS (--tls-redirect sends clients to HTTPS)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
