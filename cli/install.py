"""kfn install: kfn onto a cluster, or the newer kfn over the older one. The way is `cli/installing/app.py`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import output
from cli.failures import CliError
from kfn.api.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from cli.installing.app import Asked
    from cli.session import Session

SECONDS = click.FloatRange(1, 86400)


def place(command: "output.F") -> "output.F":
    """Which cluster and namespace, for install and uninstall."""
    for option in (
        click.option("--timeout", type=SECONDS, default=300.0, show_default=True, help="Seconds for the parts to become ready, or to end."),
        click.option("--context", "kube_context", default="", help="Context in the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(dir_okay=False), default="", help="Kubeconfig file."),
        click.option("--namespace", "-n", default=SYSTEM_NAMESPACE, show_default=True, help="Where kfn's parts run."),
    ):
        command = option(command)
    return command


@click.command("install")
@click.option("--image-registry", "registry", metavar="HOST[/PATH]", help="Where kfn's images are (`kfn images` puts them there).")
@click.option("--images", "listed", metavar="FILE", help="What `kfn images --registry ... -o json` printed; - reads it. Images by digest.")
@click.option("--image", metavar="REFERENCE", help="kfn's own image by its whole name.")
@click.option("--pull-secret", "pull_secrets", multiple=True, metavar="NAME", help="A Secret of the namespace with the registry's login.")
@click.option("--domain", help="A function is NAME.NAMESPACE.DOMAIN (default: example.com).")
@click.option("--service-type", "service", type=click.Choice(("LoadBalancer", "NodePort", "ClusterIP")), help="Of the gateway's Service.")
@click.option("--nats-replicas", type=click.Choice(("1", "3")), help="NATS servers (default 1); with 3 events survive the loss of one.")
@click.option(
    "--values", "-f", "files", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Values of the chart; takes helm."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A value of the chart; takes helm.")
@click.option("--without-helm", is_flag=True, help="Apply the manifests that come with kfn, though helm is on PATH.")
@click.option("--force-conflicts", "force", is_flag=True, help="Without helm: take back fields that somebody else has set.")
@click.option("--dry-run", is_flag=True, help="Print what would be applied.")
@click.option("--wait/--no-wait", default=True, help="Wait until every part is ready (default).")
@place
def command(dry_run: bool, kubeconfig: str, kube_context: str, **flags: Any) -> None:
    """Install kfn on a cluster, or upgrade it: what is not said again stays as it was.

    With helm on PATH it is the release `kfn` of the chart that comes with this kfn, else the same as plain manifests. It takes the
    rights of a cluster's administrator. Functions keep answering during an upgrade.

    \b
    kfn images --registry registry.example/kfn -o json > images.json
    kfn install --images images.json --domain fn.example.org
    kfn install --image-registry registry.example/kfn --set gateway.replicas=3
    """
    from cli.installing import app
    from cli.session import run

    session = cluster(kubeconfig, kube_context)
    asked = _asked(kubeconfig, kube_context, **flags)
    progress = output.Progress()
    if dry_run:
        click.echo(run(_rendered, session, asked), nl=False)
        return

    async def work() -> dict[str, Any]:
        async with session.client() as client:
            return await app.install(client, asked, progress)

    try:
        found = run(work)
    finally:
        progress.clear()
    _tell(found, asked)


def cluster(kubeconfig: str, context: str) -> "Session":
    """The cluster, which an embedded platform is not."""
    from cli import session

    found = session.resolve(kubeconfig or None, context or None)
    if found.facts is not None:
        raise CliError(
            f"{found.config.path} is the embedded platform's, which is kfn already. Name a cluster: --kubeconfig FILE, or KUBECONFIG", 2
        )
    return found


def _asked(
    kubeconfig: str,
    context: str,
    *,
    namespace: str,
    registry: str | None,
    listed: str | None,
    image: str | None,
    pull_secrets: tuple[str, ...],
    domain: str | None,
    service: str | None,
    nats_replicas: str | None,
    **rest: Any,
) -> "Asked":
    from cli.installing import customise, helm
    from cli.installing.app import Asked
    from kfn.version import VERSION

    images = {**(_listed(listed) if listed else {}), **({"kfn": image} if image else {})}
    given = {
        "registry": registry or customise.registry_of(images) or None,
        "domain": domain,
        "service": service,
        "pull_secrets": pull_secrets or None,
    }
    said = {name: value for name, value in given.items() if value is not None}
    if registry and "://" in registry:
        raise CliError(f"--image-registry {registry}: leave out {registry.partition('://')[0]}://", 2)
    wanted = customise.Wanted(namespace=namespace, images=images, tag=VERSION, **said)  # type: ignore[arg-type]
    return Asked(wanted, tuple(said), helm.Target(namespace, kubeconfig, context), int(nats_replicas or 0), **rest)


def _listed(file: str) -> dict[str, str]:
    try:
        found = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
        return {str(name): str(facts["image"]) for name, facts in found.items()}
    except OSError as error:
        raise CliError(f"--images {file}: {error.strerror}", 2) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CliError(f"--images {file}: that is not what `kfn images -o json` prints", 2) from None


async def _rendered(session: "Session", asked: "Asked") -> str:
    from cli.installing import app

    async with session.client() as client:
        return await app.rendered(client, asked)


def _tell(found: dict[str, Any], asked: "Asked") -> None:
    """How to reach it."""
    namespace = asked.wanted.namespace
    if found["addresses"]:
        click.echo(f"functions answer at {', '.join(found['addresses'])}")
        host = f"NAME.NAMESPACE.{found['domain']}"
        click.echo(f"point *.{found['domain']} there, or try: curl -H 'Host: {host}' {found['addresses'][0]}", err=True)
    elif found["type"] == "LoadBalancer":
        look = f"kubectl -n {namespace} get service kfn-gateway"
        click.echo(f"no load balancer gave the gateway an address yet: {look}. Is there none here? --service-type NodePort", err=True)
    else:
        forward = f"kubectl -n {namespace} port-forward service/kfn-gateway 8080:80"
        click.echo(f"functions answer in the cluster only. From here: {forward}", err=True)
    click.echo("next: kfn new hello, then kfn deploy hello -t REGISTRY/hello", err=True)
