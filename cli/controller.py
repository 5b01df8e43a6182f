"""kfn controller: the control plane as a process of its own, in the foreground, until SIGTERM. On a cluster the chart runs this."""

from pathlib import Path
from typing import Any

import click

from cli.failures import CliError
from cli.process import options
from kfn.api.names import SYSTEM_NAMESPACE

SERVING = {
    "domain": (str, "A function is http://NAME.NAMESPACE.DOMAIN; a port belongs to it."),
    "scheme": (click.Choice(("http", "https")), "Of the addresses that are told."),
    "gateway_host": (str, "The gateway's name in the cluster, to which the names of functions lead."),
    "cluster_domain": (str, "A function is http://NAME.NAMESPACE.CLUSTER_DOMAIN inside."),
    "secure_pod_defaults": (
        click.Choice(("Disabled", "AllowRootBounded", "Enabled")),
        "Containers without capabilities and new privileges; Enabled: nor root.",
    ),
    "pre_stop": (click.IntRange(0, 60), "Seconds for which a pod that is being ended still answers; 0 before Kubernetes 1.30."),
    "resolve_tags": (bool, "Ask registries once a revision for its images' digests, and run those."),
    "resolve_timeout": (options.SECONDS, "Seconds for one image."),
    "progress_deadline": (options.SECONDS, "Seconds after which a revision that nothing is known of has failed."),
    "initial_ready_timeout": (options.SECONDS, "Seconds after which a process that lives but is not ready has failed."),
    "allow_zero_initial_scale": (bool, "Let functions begin with no instance."),
    "retain_since_create_time": (options.SECONDS, "A younger revision is kept."),
    "retain_since_last_active_time": (options.SECONDS, "So is one that had traffic since."),
    "min_non_active_revisions": (click.IntRange(0), "So many revisions without traffic are kept, however old."),
    "max_non_active_revisions": (click.IntRange(0), "More than these go, however young."),
}
DEFAULTS = {
    "domain": "example.com", "scheme": "http", "gateway_host": f"kfn-gateway-internal.{SYSTEM_NAMESPACE}.svc.cluster.local",
    "cluster_domain": "svc.cluster.local", "secure_pod_defaults": "AllowRootBounded", "pre_stop": 1, "resolve_tags": True,
    "resolve_timeout": 10.0, "progress_deadline": 600.0, "initial_ready_timeout": 30.0,
    "allow_zero_initial_scale": True, "retain_since_create_time": 48 * 3600.0, "retain_since_last_active_time": 15 * 3600.0,
    "min_non_active_revisions": 20, "max_non_active_revisions": 1000,
}  # fmt: skip


@click.command("controller", context_settings=options.ENVIRONMENT)
@options.settings_options(SERVING, DEFAULTS)
@click.option(
    "--registries-skipping-tag-resolving",
    metavar="HOST,...",
    default="kind.local,ko.local,dev.local,kfn.local",
    show_default=True,
    help="Whose tags stay as they are; those of loopback addresses always do.",
)
@click.option("--registry-plain-http", metavar="HOST,...", default="", help="Registries that are asked for digests without TLS.")
@click.option("--registry-ca", type=click.Path(path_type=Path), help="Certificates to trust there, beside the system's.")
@click.option("--builds/--no-builds", default=True, show_default=True, help="Run Builds (kfn build --remote) on this cluster.")
@click.option("--build-image", default="", metavar="IMAGE", help="kfn's own image, which Builds run in; by digest where it matters.")
@click.option("--build-per-namespace", type=click.IntRange(1), default=4, show_default=True, help="Builds at once in a namespace.")
@click.option("--build-in-all", type=click.IntRange(1), default=16, show_default=True, help="Builds at once.")
@click.option("--build-env", multiple=True, metavar="NAME=VALUE", help="A variable of Builds, such as KFN_DEBIAN_MIRROR; no secrets.")
@click.option("--build-ca", type=click.Path(path_type=Path), help="Certificates (PEM) that Builds trust beside the system's.")
@click.option(
    "--build-cache/--no-build-cache", default=True, show_default=True, help="Builds keep layers in the repository of their image."
)
@click.option("--build-plain-http", metavar="HOST,...", default="", help="Registries that Builds speak to without TLS.")
@click.option(
    "--webhook-port", type=options.PORT, help="Serve the admission webhook there, on every replica (the chart: 8443); 0 picks a port."
)
@click.option("--webhook-host", default="0.0.0.0", show_default=True, help="The address for it.")  # noqa: S104 - the API server asks
@click.option(
    "--webhook-url",
    default="",
    metavar="https://HOST:PORT",
    help="Where the API server reaches it, for a process beside a cluster; without: the Service kfn-webhook.",
)
@click.option("--webhook-bindings", is_flag=True, help="Serve SinkBindings there, too: workloads get their sink when they are made.")
@click.option(
    "--webhook-life", type=options.SECONDS, default=7776000.0, show_default=True, help="Seconds that its certificate is good for."
)
@click.option(
    "--webhook-renew-before", type=options.SECONDS, default=2592000.0, show_default=True, help="Seconds before its end for a new one."
)
@click.option(
    "--webhook-overlap",
    type=options.SECONDS,
    default=20.0,
    show_default=True,
    help="Seconds for which a new authority is trusted before its certificate is shown.",
)
@options.common(f"{SYSTEM_NAMESPACE}/kfn-controller")
def command(
    registries_skipping_tag_resolving: str,
    registry_plain_http: str,
    registry_ca: Path | None,
    builds: bool,
    build_image: str,
    build_per_namespace: int,
    build_in_all: int,
    build_plain_http: str,
    build_ca: Path | None,
    build_cache: bool,
    build_env: tuple[str, ...],
    **flags: Any,
) -> int:
    """Run the controllers of functions and builds.

    Of several replicas the one that holds the Lease acts, and the others stand by. Prints one line beginning with `ready`. SIGTERM ends
    it in order, a second one at once. Every option has an environment variable: --admin-port is KFN_ADMIN_PORT.

    \b
    kfn controller --domain example.com
    kfn controller --kubeconfig ~/.kube/config --no-lease --admin-port 0
    """
    variables = _variables(build_env)
    process = options.take("controller", flags)
    asked = _webhook(flags)

    def run() -> int:
        from builder.cluster import trust
        from builder.cluster.settings import Settings as Builds
        from builder.registry.settings import RegistrySettings
        from cli.process import controller
        from cli.process import run as shell
        from controller.settings import Settings
        from controller.webhook.settings import Settings as Webhook

        skipping = _hosts(registries_skipping_tag_resolving)
        serving = Settings(**flags, registries_skipping_tag_resolving=skipping)
        digests = RegistrySettings.from_environment(plain_http=_hosts(registry_plain_http), ca_file=registry_ca)
        remote: Builds | None = None
        if builds:
            image, plain = build_image or Builds().image, _hosts(build_plain_http)
            remote = Builds(
                image=image,
                plain_http=plain,
                per_namespace=build_per_namespace,
                in_all=build_in_all,
                environment=variables,
                ca_file=build_ca,
                own_cache=build_cache,
            )
            if build_ca:
                trust.Platform(build_ca)  # what is wrong with it is said at once
        namespace = process.lease[0] if process.lease else Webhook().namespace
        served = Webhook(**asked, namespace=namespace) if asked else None
        chosen = controller.Chosen(serving=serving, digests=digests, builds=remote, webhook=served)
        return shell.main(process, controller.Part(chosen), controller.needs(chosen), say=lambda line: click.echo(line))

    return options.start(run, "--admin-host and --admin-port")


def _webhook(flags: dict[str, Any]) -> dict[str, Any]:
    """Take the webhook's options out of `flags`; empty if it is not to be served."""
    asked = {name.removeprefix("webhook_"): flags.pop(name) for name in list(flags) if name.startswith("webhook_")}
    if asked["url"] and not asked["url"].startswith("https://"):
        raise click.BadParameter(f"{asked['url']!r} does not begin with https://: an API server asks no other", param_hint="--webhook-url")
    if asked["url"] and asked["port"] is None:
        raise click.BadParameter("needs --webhook-port, where it is served", param_hint="--webhook-url")
    return asked if asked["port"] is not None else {}


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(host.strip() for host in text.split(",") if host.strip())


def _variables(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """NAME=VALUE of each. Raises CliError."""
    found = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise CliError(f"--build-env {text}: write NAME=VALUE, for example KFN_DEBIAN_MIRROR=https://mirror.example/debian", 2)
        found.append((name, value))
    return tuple(found)
