"""kfn keeper: the keeper of slots as a process of its own, for gateways on several machines. Workers of one gateway have their own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from cli.failures import CliError

TOKEN = "KFN_SLOTS_TOKEN"  # noqa: S105 - a name


@click.command("keeper")
@click.option("--listen", metavar="ADDRESS", required=True, help="HOST:PORT or unix:PATH, as gateways have it in --slots.")
@click.option("--lease", metavar="NAMESPACE/NAME", help="Be the keeper only while holding this Lease; others of the same Lease stand by.")
@click.option("--identity", default="", help="This one's name in the Lease (default: the host's name).")
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Kubeconfig file, for --lease.")
@click.option("--context", "kube_context", help="Context in the kubeconfig.")
def command(listen: str, lease: str | None, identity: str, kubeconfig: str | None, kube_context: str | None) -> int:
    """Keep slots, so that containerConcurrency holds over all gateways that name this address in --slots.

    On TCP the token that gateways must show is in $KFN_SLOTS_TOKEN. Runs in the foreground, until SIGTERM.

    \b
    kfn keeper --listen 0.0.0.0:7000 --lease kfn-system/slots
    """
    import anyio

    from kfn.observe import logs, web

    logs.configure(level="info")
    try:
        anyio.run(_run, listen, lease, identity, kubeconfig, kube_context, backend_options={"use_uvloop": True})
    except (ValueError, web.ListenError) as error:
        raise CliError(f"--listen: {error} (${TOKEN})" if "token" in str(error) else f"--listen: {error}", 2) from error
    except OSError as error:
        if not listen.startswith("unix:"):
            raise
        raise CliError(f"--listen {listen}: {error.strerror or error}; its folder must exist, and be yours to write in", 2) from error
    return 0


async def _run(listen: str, lease: str | None, identity: str, kubeconfig: str | None, context: str | None) -> None:
    import signal

    import anyio

    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with _keeping(listen, lease, identity, kubeconfig, context):
            async for _ in signals:
                return


@asynccontextmanager
async def _keeping(listen: str, lease: str | None, identity: str, kubeconfig: str | None, context: str | None) -> AsyncIterator[None]:
    import platform

    import anyio

    from gateway.slots import keeper
    from kfn.kube import config
    from kfn.kube.client import Client
    from kfn.kube.http import HttpTransport
    from kfn.kube.lease import Elector, Terms

    token = os.environ.get(TOKEN, "")
    keeper.check(listen, token)
    if lease is None:
        async with keeper.serving(listen, token=token) as one:
            click.echo(f"ready: keeping slots at {one.address}")
            yield
        return
    namespace, _, name = lease.partition("/")
    if not namespace or not name:
        raise CliError(f"--lease {lease!r} is not NAMESPACE/NAME", 2)
    transport = HttpTransport(config.load(kubeconfig, context))
    elector = Elector(Client(transport), namespace, name, identity or platform.node(), Terms(duration=5.0, renew_deadline=3.0, retry=0.5))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: keeper.elected(elector, listen, token=token))
            yield
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()
