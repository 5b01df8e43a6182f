"""kfn eventing: the event bus as a process of its own, in the foreground, until SIGTERM. On a cluster the chart runs this."""

from pathlib import Path
from typing import Any

import click

from cli import ports
from cli.failures import CliError
from cli.process import options
from kfn.api.names import SYSTEM_NAMESPACE

PASSWORD, TOKEN = "KFN_NATS_PASSWORD", "KFN_EVENTS_TOKEN"
INGRESS = f"http://kfn-broker-ingress.{SYSTEM_NAMESPACE}.svc.cluster.local"


@click.command("eventing", context_settings=options.ENVIRONMENT)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address for publishers. 0.0.0.0 is every address of this machine."
)
@click.option("--port", type=options.PORT, default=8080, show_default=True, help="Where events are taken; 0 picks a free one.")
@click.option("--nats", "nats", metavar="URL", default="nats://127.0.0.1:4222", show_default=True, help="The NATS server, with JetStream.")
@click.option("--nats-user", default="", help="Its user.")
@click.option("--nats-password-file", type=options.FILE, help=f"The user's password; else ${PASSWORD}.")
@click.option("--nats-credentials", type=options.FILE, default=None, help="A .creds file, instead of user and password.")
@click.option(
    "--nats-keys-file",
    type=options.FILE,
    default=None,
    help="The secret of a server with the platform's accounts, instead of user and password.",
)
@click.option(
    "--nats-ca", type=options.FILE, default=None, help="Who signs the server's certificate, in PEM. tls:// in --nats has TLS asked for."
)
@click.option("--nats-certificate", type=options.FILE, default=None, help="A certificate that the server asks for.")
@click.option("--nats-key", type=options.FILE, default=None, help="And its key.")
@click.option("--nats-replicas", type=click.IntRange(1, 5), default=1, show_default=True, help="Servers that each stream is kept on.")
@click.option("--gateway", metavar="HOST:PORT", default="", help="Where functions are reached (default: by their names in the cluster).")
@click.option(
    "--ingress-url", metavar="URL", default=INGRESS, show_default=True, help="How Brokers are addressed; empty: by --host and --port."
)
@click.option(
    "--token-file", type=options.FILE, help=f"The token that shows a Broker's events (kfn events tail); else ${TOKEN}; none: nobody."
)
@click.option("--adapter-image", default="", help="What the pods of ApiServerSources run: kfn's own image. Without it there are none.")
@click.option("--adapter-pull-policy", type=click.Choice(("Always", "IfNotPresent", "Never")), default="IfNotPresent", show_default=True)
@click.option("--adapter-pull-secret", multiple=True, help="The name of a Secret, in the source's namespace, to pull it with.")
@click.option("--adapter-memory", default="512Mi", show_default=True, help="How much one such pod may take.")
@options.common(f"{SYSTEM_NAMESPACE}/kfn-eventing")
def command(
    host: str, port: int, nats: str, nats_user: str, nats_password_file: str | None, nats_credentials: str | None, nats_replicas: int,
    nats_keys_file: str | None, nats_ca: str | None, nats_certificate: str | None, nats_key: str | None,
    gateway: str, ingress_url: str, token_file: str | None, adapter_image: str, adapter_pull_policy: str,
    adapter_pull_secret: tuple[str, ...], adapter_memory: str, **flags: Any,
) -> int:  # fmt: skip
    """Run the event bus: take events, keep them in NATS, deliver them to functions.

    Every replica takes and delivers events; of several, the one that holds the Lease looks after Brokers, Triggers and streams. Prints one
    line beginning with `ready`. SIGTERM ends it in order, a second one at once. Every option has an environment variable: --admin-port
    is KFN_ADMIN_PORT.

    \b
    kfn eventing --host 0.0.0.0 --nats nats://kfn-nats.kfn-system:4222 --nats-user kfn --nats-password-file /run/kfn/nats
    kfn eventing --kubeconfig ~/.kube/config --no-lease --port 0 --admin-port 0 --ingress-url ""
    """
    ports.distinct({"--port": (host, port), "--admin-port": (flags["admin_host"], flags["admin_port"])})
    inside = _address(gateway)
    password = options.secret("--nats-password-file", nats_password_file, PASSWORD, "password for NATS") if nats_user else ""
    token = options.optional("--token-file", token_file, TOKEN)
    listen = flags["admin_host"]
    keys = _keys(nats_keys_file)
    process = options.take("eventing", flags)

    def run() -> int:
        from cli.process import eventing
        from cli.process import run as shell
        from eventing.apiserver.manifest import Pods
        from eventing.settings import Settings

        bus = Settings(
            nats_url=nats, nats_user=nats_user, nats_password=password, nats_credentials=nats_credentials or "",
            nats_keys=keys, nats_ca=nats_ca or "", nats_certificate=nats_certificate or "", nats_key=nats_key or "", replicas=nats_replicas,
            host=host, port=port, gateway=inside, ingress_url=ingress_url.rstrip("/"), token=token,
            adapters=Pods(adapter_image, adapter_pull_policy, adapter_pull_secret, listen, adapter_memory),
        )  # fmt: skip
        part = eventing.Part(eventing.Chosen(bus))
        return shell.main(process, part, eventing.NEEDS, say=lambda line: click.echo(line))

    return options.start(run, "--host, --port, --admin-host and --admin-port")


def _keys(path: str | None) -> bytes:
    """The secret that a server's accounts are made from. Raises `CliError` for one that is too short."""
    from kfn.busauth.keys import Keys, SecretTooShort

    if path is None:
        return b""
    try:
        return Keys(Path(path).read_bytes().strip()).secret
    except SecretTooShort as error:
        raise CliError(f"--nats-keys-file {path}: {error}", 2) from error


def _address(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise CliError(f"--gateway {text!r} is not HOST:PORT", 2)
    return host.strip("[]"), int(port)
