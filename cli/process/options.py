"""The options that every process has, and how secrets reach one: by a file or the environment, never by an argument, which `ps` shows.

Every option has a variable too: `--admin-port` is KFN_ADMIN_PORT.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.failures import CliError

if TYPE_CHECKING:
    from cli.process.run import Process

F = TypeVar("F", bound=Callable[..., Any])
PORT = click.IntRange(0, 65535)
SECONDS = click.FloatRange(0, 86400 * 365)
FILE = click.Path(dir_okay=False)
ENVIRONMENT = {"auto_envvar_prefix": "KFN", "help_option_names": ["-h", "--help"], "max_content_width": 100}
COMMON = ("kubeconfig", "kube_context", "admin_port", "admin_host", "lease", "no_lease", "identity", "grace", "log_level", "log_format")


def common(lease: str) -> Callable[[F], F]:
    """--kubeconfig, --context, --admin-*, --lease, --identity, --grace, --log-*; `take` makes a Process of them."""

    def add(command: F) -> F:
        for option in reversed(_common(lease)):
            command = option(command)
        return command

    return add


def _common(lease: str) -> list[Callable[[Any], Any]]:
    return [
        click.option("--lease", metavar="NAMESPACE/NAME", default=lease, show_default=True, help="Of the replicas, the holder acts."),
        click.option("--no-lease", is_flag=True, help="There is one such process: act at once."),
        click.option("--identity", default="", help="This one's name in the Lease (default: the host's name and the process's number)."),
        click.option("--admin-port", type=PORT, default=8081, show_default=True, help="Health and metrics; 0 picks a free one."),
        click.option("--admin-host", default="127.0.0.1", show_default=True, help="The address for those. Who reaches it can read them."),
        click.option("--grace", type=click.FloatRange(1, 3600), default=25.0, show_default=True, help="Seconds that its end may take."),
        click.option("--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info", show_default=True),
        click.option("--log-format", type=click.Choice(("auto", "json", "plain")), default="auto", help="auto: plain on a terminal."),
        click.option("--kubeconfig", type=FILE, help="Kubeconfig file (default: $KUBECONFIG, a platform that runs here, the pod's own)."),
        click.option("--context", "kube_context", help="Context in the kubeconfig."),
    ]


def settings_options(wanted: Mapping[str, tuple[Any, str]], defaults: Any) -> Callable[[F], F]:
    """An option for each field of a part's settings: its type and what it means. What it is without it is in `defaults`."""

    def add(command: F) -> F:
        for field, (kind, meaning) in reversed(list(wanted.items())):
            name = f"--{field.replace('_', '-')}"
            default = defaults[field]
            if kind is bool:
                command = click.option(f"{name}/--no-{name[2:]}", default=default, show_default=True, help=meaning)(command)
            else:
                command = click.option(name, type=kind, default=default, show_default=True, help=meaning)(command)
        return command

    return add


def take(name: str, flags: dict[str, Any]) -> "Process":
    """Take the common options out of `flags`; set the log up. Raises CliError."""
    from cli import session
    from cli.process.run import Process
    from kfn.observe import logs

    given = {one: flags.pop(one) for one in COMMON}
    form = given["log_format"] if given["log_format"] != "auto" else "plain" if sys.stderr.isatty() else "json"
    logs.configure(level=given["log_level"], form=form)
    platform = session.resolve(given["kubeconfig"], given["kube_context"])
    return Process(
        name=name,
        kubeconfig=str(platform.config.path or "") if platform.facts else given["kubeconfig"] or "",
        context=given["kube_context"] or "",
        admin_host=given["admin_host"],
        admin_port=given["admin_port"],
        lease=None if given["no_lease"] else namespaced("--lease", given["lease"]),
        identity=given["identity"],
        grace=given["grace"],
    )


def namespaced(flag: str, text: str) -> tuple[str, str]:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise CliError(f"{flag} {text!r} is not NAMESPACE/NAME", 2)
    return namespace, name


def secret(flag: str, path: str | None, variable: str, what: str) -> str:
    """What is in the file, else in the variable. Raises CliError that names both."""
    text = optional(flag, path, variable)
    if not text:
        raise CliError(f"there is no {what}: give {flag} FILE, or set ${variable}", 2)
    return text


def optional(flag: str, path: str | None, variable: str) -> str:
    """As `secret`, for one that may be missing. A file that is named must be there."""
    if path:
        try:
            with open(path) as file:
                text = file.read(64 * 1024).strip()
        except (OSError, UnicodeError) as error:
            raise CliError(f"{flag} {path}: {getattr(error, 'strerror', None) or error}", 2) from error
        if not text:
            raise CliError(f"{flag} {path} is empty", 2)
        return text
    return os.environ.get(variable, "").strip()


def start(run: Callable[[], int], listens: str) -> int:
    """Run a process, and say what it could not start for. `listens` names the flags of where it listens."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command, which costs 0.1 s; see session.py
    from cli.process.needs import StartFailed
    from kfn.observe import web

    try:
        return run()
    except web.ListenError as error:
        raise CliError(f"{error}. {listens} choose where it listens; port 0 picks a free one") from error
    except StartFailed as error:
        raise CliError(str(error)) from error
