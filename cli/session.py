"""Which platform a command talks to, and as whom: --kubeconfig, then $KUBECONFIG, then the running embedded platform, then
the kubeconfig of kubectl. An embedded platform is recognised by the platform.json beside its kubeconfig."""

import functools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import complete
from kfn import lighthttp

if TYPE_CHECKING:
    from kfn.kube.client import Client
    from kfn.kube.config import Config

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
CHOICE = ("namespace", "kubeconfig", "kube_context")


@dataclass(frozen=True, slots=True)
class Session:
    """The resolved platform. `facts` is the platform.json of an embedded one, None on a cluster; `asked` is what -n said."""

    config: "Config"
    namespace: str
    facts: dict[str, Any] | None
    asked: str = ""

    @asynccontextmanager
    async def client(self, *, timeout: float = 30.0) -> AsyncIterator["Client"]:
        lighthttp.prepare()  # a third of the time of `kfn list`
        from kfn.kube.client import Client
        from kfn.kube.http import HttpTransport

        transport = HttpTransport(self.config, timeout=timeout)
        try:
            yield Client(transport)
        finally:
            await transport.aclose()


def resolve(kubeconfig: str | None = None, context: str | None = None, namespace: str | None = None) -> Session:
    """Find the platform. Raises `kfn.kube.config.ConfigError` with what to do when there is none."""
    from kfn.kube import config as kube

    if not kubeconfig and not os.environ.get("KUBECONFIG"):
        kubeconfig = _running()
    config = kube.load(kubeconfig, context)
    return Session(config, namespace or config.namespace, _facts(config.path), namespace or "")


def _running() -> str | None:
    """The kubeconfig of the embedded platform started last, of those that run."""
    from embedded import datadir

    return next((str(data / "kubeconfig") for data in datadir.running()), None)


def _facts(kubeconfig: Path | None) -> dict[str, Any] | None:
    if kubeconfig is None:
        return None
    try:
        facts = json.loads((kubeconfig.parent / "platform.json").read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and "gateway" in facts else None


def options(command: F) -> F:
    """Add -n, --kubeconfig and --context; the command receives `session`. A subcommand takes over what its group was given."""

    @click.option("-n", "--namespace", help="Namespace (default: the context's).", shell_complete=complete.namespaces)
    @click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Kubeconfig file.")
    @click.option("--context", "kube_context", help="Context in the kubeconfig.")
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        given = {name: kwargs.pop(name) for name in CHOICE}
        if context.invoked_subcommand:
            return None
        above = context.parent.params if context.parent else {}
        kubeconfig, kube_context, namespace = (given[name] or above.get(name) for name in ("kubeconfig", "kube_context", "namespace"))
        return command(*args, session=resolve(kubeconfig, kube_context, namespace), **kwargs)

    return wrapped  # type: ignore[return-value]


def run(work: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run async work to its end."""
    import anyio

    async def go() -> T:
        return await work(*args)

    return anyio.run(go)
