"""kfn gateway: the data plane as a process of its own, in the foreground, until SIGTERM. On a cluster the chart runs this."""

import ipaddress
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from cli import certificates, ports
from cli.failures import CliError

if TYPE_CHECKING:
    from cli.session import Session
    from gateway.process import Process
    from gateway.settings import Settings

PORT = click.IntRange(0, 65535)
SECONDS = click.FloatRange(0, 3600)
SHARE = click.FloatRange(0, 1)


@click.command("gateway")
@click.option("--port", type=PORT, default=8080, show_default=True, help="Where requests are taken; 0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address for requests. 0.0.0.0 is every address of this machine.")
@certificates.file_options
@certificates.secret_options
@click.option("--admin-port", type=PORT, default=8081, show_default=True, help="Health, metrics, cold starts; 0 picks a free one.")
@click.option("--admin-host", default="127.0.0.1", show_default=True, help="The address for those. Whoever reaches it can read them.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that share the port.")
@click.option("--autoscaler", metavar="URL", help="Where load is reported (default: the embedded platform's admin port).")
@click.option("--autoscaler-token-file", metavar="FILE", type=click.Path(dir_okay=False), help="Its token; else $KFN_AUTOSCALER_TOKEN.")
@click.option("--drain", type=SECONDS, default=30.0, show_default=True, help="Seconds that requests under way have at the end.")
@click.option("--stop-delay", type=SECONDS, default=0.0, show_default=True, help="Seconds for which it still accepts after SIGTERM.")
@click.option("--access-log", metavar="FILE", default="", help="Write one line of JSON a request to FILE, or to - (standard output).")
@click.option(
    "--access-log-sample", type=SHARE, default=1.0, show_default=True, help="Of requests that went well, the share that is logged."
)
@click.option("--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info", show_default=True)
@click.option("--log-format", type=click.Choice(("auto", "json", "plain")), default="auto", help="auto: plain on a terminal, else json.")
@click.option("--local-port", type=PORT, help="A second port, and the only one where names in the cluster are known.")
@click.option("--local-host", default="127.0.0.1", show_default=True, help="The address of that port: what reaches it counts as inside.")
@click.option(
    "--slots", default="", metavar="ADDRESS", help="The keeper of slots that other gateways share; its token is $KFN_SLOTS_TOKEN."
)
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Kubeconfig file.")
@click.option("--context", "kube_context", help="Context in the kubeconfig.")
def command(
    autoscaler: str | None, autoscaler_token_file: str | None, admin_port: int, admin_host: str, workers: int,
    log_level: str, log_format: str, kubeconfig: str | None, kube_context: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Run a gateway: take requests for functions, wake them, and report their load to the autoscaler.

    It follows an API server: that of --kubeconfig, $KUBECONFIG, the embedded platform that runs, or the cluster whose pod this is.
    Prints one line beginning with `ready` when requests are taken. SIGTERM ends it in order, a second one at once; SIGHUP replaces
    its workers one after the other.

    \b
    kfn gateway --port 0 --admin-port 0
    kfn gateway --tls-port 8443 --tls-secret kfn-system/gateway-certificate --tls-redirect 443
    kfn gateway --host 0.0.0.0 --workers 4 --autoscaler http://autoscaler.kfn-system:8080 --autoscaler-token-file /run/token
    """
    from cli import session
    from gateway import process
    from kfn.observe import logs

    host, local = flags["host"], flags["local_host"]
    ports.distinct({
        "--port": (host, flags["port"]), "--tls-port": (host, flags["tls_port"]),
        "--local-port": (local, flags["local_port"]), "--admin-port": (admin_host, admin_port),
    })  # fmt: skip
    form = log_format if log_format != "auto" else "plain" if sys.stderr.isatty() else "json"
    logs.configure(level=log_level, form=form)
    platform = session.resolve(kubeconfig, kube_context)
    url, token_file = _autoscaler(platform, autoscaler, autoscaler_token_file)
    chosen = process.Process(
        autoscaler=url,
        token_file=token_file,
        kubeconfig=str(platform.config.path or "") if platform.facts else kubeconfig or "",
        context=kube_context or "",
        admin_host=admin_host,
        admin_port=admin_port,
        workers=workers,
        log_level=log_level,
        log_form=form,
        gateway=_settings(**flags),
    )
    _check_others(chosen)
    return _run(chosen)


def _settings(host: str, access_log: str, **flags: Any) -> "Settings":
    """What the flags say of the gateway itself; most are called as its settings are."""
    from gateway.settings import Settings

    private = _is_loopback(host)
    tls = {name: flags.pop(name) for name in list(flags) if name.startswith("tls_")}
    log = access_log if access_log in ("", "-") else os.path.abspath(access_log)
    return certificates.settings(Settings(host=host, tell=private, suggest=private, access_log=log, **flags), **tls)


def _run(chosen: "Process") -> int:
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command, which costs 0.1 s; see session.py
    from gateway import process
    from kfn.observe import lines, otel, web

    try:
        otel.from_environment(os.environ)  # each worker reads it for itself; what is wrong with it is said here
        if chosen.workers > 1 and chosen.gateway.access_log:
            lines.Lines(chosen.gateway.access_log).close()  # so does each worker; and what is wrong with it is said here
        return process.main(chosen, say=lambda line: click.echo(line))
    except lines.LinesError as error:
        raise CliError(f"{error} (--access-log)", 2) from error
    except otel.OtelError as error:
        raise CliError(str(error), 2) from error
    except process.StartFailed as error:
        raise CliError(str(error)) from error
    except web.ListenError as error:
        flags = "--host, --port, --tls-port, --local-host, --local-port, --admin-host and --admin-port"
        raise CliError(f"{error}. {flags} choose where it listens; port 0 picks a free one") from error


def _autoscaler(platform: "Session", url: str | None, token_file: str | None) -> tuple[str, str]:
    """Its URL, and the file with its token, if it is not in the environment."""
    if url is not None:
        return url, token_file or ""
    if platform.facts is None:
        raise CliError("--autoscaler: on a cluster, say where the autoscaler is, for example http://autoscaler.kfn-system:8080", 2)
    return platform.facts["admin"], token_file or f"{platform.facts['data']}/token"


def _check_others(chosen: "Process") -> None:
    """What would fail at the first report, or the first connection to the keeper, is said now."""
    from gateway import process
    from gateway.load import report
    from gateway.slots import wire

    try:
        if chosen.gateway.slots:
            wire.Address.parse(chosen.gateway.slots)
    except ValueError as error:
        raise CliError(f"--slots: {error}", 2) from error

    try:
        report.check(chosen.autoscaler)
        process.token(chosen)
    except ValueError as error:
        raise CliError(f"--autoscaler: {error}", 2) from error
    except OSError as error:
        raise CliError(f"--autoscaler-token-file {error.filename}: {error.strerror}" if error.filename else str(error), 2) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
