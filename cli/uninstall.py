"""kfn uninstall: kfn's parts off a cluster. Users' objects, their kinds and NATS' volumes stay unless they are named."""

import click

from cli import output
from cli.failures import CliError
from cli.install import cluster, place


@click.command("uninstall")
@click.option(
    "--crds", "definitions", is_flag=True, help="Also remove kfn's kinds, and with them every Service, Broker and so on of everybody."
)
@click.option("--data", is_flag=True, help="Also remove the volumes of NATS, and with them the events that wait.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@place
def command(definitions: bool, data: bool, yes: bool, kubeconfig: str, kube_context: str, namespace: str, timeout: float) -> None:
    """Take kfn off a cluster. Functions that run go on running, but nothing wakes, scales or reaches them any more.

    \b
    kfn uninstall
    kfn uninstall --crds --data --yes
    """
    from cli.installing import app, helm
    from cli.installing.customise import Wanted
    from cli.session import run

    session = cluster(kubeconfig, kube_context)

    async def look() -> app.Removal:
        async with session.client() as client:
            return await app.look(client)

    found = run(look)
    if found.there and found.there.namespace != namespace:
        raise CliError(f"kfn is installed in namespace {found.there.namespace}: --namespace {found.there.namespace}", 2)
    if not found.there and not definitions:
        raise CliError("kfn is not installed on this cluster")
    told = _told(found, definitions, data)
    if not yes:
        click.confirm(f"{told} Go on?", abort=True, err=True)
    asked = app.Asked(Wanted(namespace=namespace), (), helm.Target(namespace, kubeconfig, kube_context), timeout=timeout)
    progress = output.Progress()

    async def work() -> None:
        async with session.client() as client:
            await app.uninstall(client, asked, found, definitions=definitions, data=data, progress=progress)

    try:
        run(work)
    finally:
        progress.clear()
    if found.users and not definitions:
        click.echo(f"{_counted(found.users)} stay. `kfn install` takes them up again; `kfn uninstall --crds` removes them", err=True)
    if found.volumes and not data:
        click.echo(f"the volumes {', '.join(found.volumes)} stay, with the events that wait. `kfn uninstall --data` removes them", err=True)


def _told(found: "object", definitions: bool, data: bool) -> str:
    from cli.installing.app import Removal

    assert isinstance(found, Removal)
    parts = ["This takes kfn off the cluster: functions are reached, woken and scaled no more."] if found.there else []
    if definitions:
        parts.append(f"It removes for good: {_counted(found.users) or 'no objects of users'}, of all namespaces, and their kinds.")
    if data and found.volumes:
        parts.append(f"It removes for good the volumes {', '.join(found.volumes)} with the events that wait.")
    return " ".join(parts)


def _counted(users: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in sorted(users.items()))
