"""kfn autoscaler: the autoscaler as a process of its own, in the foreground, until SIGTERM. On a cluster the chart runs this."""

import ipaddress
from typing import Any

import click

from cli import ports
from cli.failures import CliError
from cli.process import options
from kfn.api.names import SYSTEM_NAMESPACE

TOKEN, SLOTS_TOKEN = "KFN_AUTOSCALER_TOKEN", "KFN_SLOTS_TOKEN"

SCALING = {
    "stable_window": (
        click.FloatRange(6, 3600),
        "Seconds over which load is averaged, and after which an unused function has no instance.",
    ),
    "panic_window_percentage": (click.FloatRange(1, 100), "Of the stable window: the window that sees a burst."),
    "panic_threshold_percentage": (click.FloatRange(110, 1000), "Load, of what ready instances carry, that is a burst."),
    "target_utilization_percentage": (click.FloatRange(1, 100), "How full instances are to be."),
    "concurrency_target": (click.FloatRange(0.01), "Requests at once in an instance, where containerConcurrency is 0."),
    "rps_target": (click.FloatRange(0.01), "Requests a second for an instance, where the metric is rps."),
    "initial_scale": (click.IntRange(0), "Instances of a new revision."),
    "min_scale": (click.IntRange(0), "Instances at least."),
    "max_scale": (click.IntRange(0), "Instances at most; 0 is no limit."),
    "scale_down_delay": (options.SECONDS, "Seconds for which less load is waited for before instances are taken away."),
    "retention": (options.SECONDS, "Seconds that the last instance stays after the window is empty."),
    "progress_deadline": (options.SECONDS, "Seconds after which instances that are not ready are given up."),
    "scale_to_zero": (bool, "Take the last instance away, too."),
    "max_scale_up_rate": (click.FloatRange(1.01), "Times the ready instances, at once."),
    "max_scale_down_rate": (click.FloatRange(1.01), "The same for less of them."),
    "first_wave": (click.FloatRange(0.01, 1), "Of many instances wanted where none is ready, the part that is started at once."),
    "wave": (click.FloatRange(0, 60), "Seconds that the others wait for the first of them to be ready."),
}
DEFAULTS = {
    "stable_window": 60.0, "panic_window_percentage": 10.0, "panic_threshold_percentage": 200.0, "target_utilization_percentage": 70.0,
    "concurrency_target": 100.0, "rps_target": 200.0, "initial_scale": 1, "min_scale": 0, "max_scale": 0, "scale_down_delay": 0.0,
    "retention": 0.0, "progress_deadline": 600.0, "scale_to_zero": True, "max_scale_up_rate": 1000.0, "max_scale_down_rate": 2.0,
    "first_wave": 0.25, "wave": 1.0,  # here a start takes a good part of a second of some processor
}  # fmt: skip


@click.command("autoscaler", context_settings=options.ENVIRONMENT)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address for gateways. 0.0.0.0 is every address of this machine.")
@click.option("--port", type=options.PORT, default=8080, show_default=True, help="Where they report load; 0 picks a free one.")
@click.option("--slots-port", type=options.PORT, default=7000, show_default=True, help="Where they lease slots; 0 picks a free one.")
@click.option("--slots/--no-slots", default=True, show_default=True, help="Be the keeper of slots, too.")
@click.option("--token-file", type=options.FILE, help=f"The token that gateways show to report; else ${TOKEN}.")
@click.option("--slots-token-file", type=options.FILE, help=f"The token that they show to lease slots; else ${SLOTS_TOKEN}.")
@click.option("--advertise", metavar="IP", default="", envvar="KFN_POD_IP", help="This process's address, for gateways: $KFN_POD_IP.")
@click.option(
    "--service",
    metavar="NAMESPACE/NAME",
    default="",
    help="The Service, without a selector, whose EndpointSlice names the leader (default: kfn-autoscaler, beside the Lease).",
)
@options.settings_options(SCALING, DEFAULTS)
@options.common(f"{SYSTEM_NAMESPACE}/kfn-autoscaler")
def command(
    host: str, port: int, slots_port: int, slots: bool, token_file: str | None, slots_token_file: str | None, advertise: str, service: str,
    **flags: Any,
) -> int:  # fmt: skip
    """Run the autoscaler: take load from gateways, keep their slots, and write how many instances each revision has.

    Of several replicas the one that holds the Lease listens, and the others stand by. Prints one line beginning with `ready`. SIGTERM
    ends it in order, a second one at once. Every option has an environment variable: --admin-port is KFN_ADMIN_PORT.

    \b
    kfn autoscaler --host 0.0.0.0 --token-file /run/kfn/autoscaler --slots-token-file /run/kfn/slots
    kfn autoscaler --kubeconfig ~/.kube/config --no-lease --port 0 --slots-port 0 --admin-port 0
    """
    admin = flags["admin_host"], flags["admin_port"]
    ports.distinct({"--port": (host, port), "--slots-port": (host, slots_port if slots else None), "--admin-port": admin})
    token = options.secret("--token-file", token_file, TOKEN, "token for gateways")
    slots_token = options.secret("--slots-token-file", slots_token_file, SLOTS_TOKEN, "token for leasing slots") if slots else ""
    _is_address(advertise)
    process = options.take("autoscaler", flags)
    where = options.namespaced("--service", service) if service else ((process.lease or (SYSTEM_NAMESPACE, ""))[0], "kfn-autoscaler")

    def run() -> int:
        from autoscaler.settings import Settings
        from cli.process import autoscaler
        from cli.process import run as shell

        keeper = slots_port if slots else None
        chosen = autoscaler.Chosen(host, port, keeper, token, slots_token, Settings(**flags), advertise, where)
        return shell.main(process, autoscaler.Part(chosen), autoscaler.NEEDS, say=lambda line: click.echo(line))

    return options.start(run, "--host, --port, --slots-port, --admin-host and --admin-port")


def _is_address(text: str) -> None:
    try:
        if text:
            ipaddress.ip_address(text)
    except ValueError:
        raise CliError(f"--advertise {text!r} is not an IP address, as an EndpointSlice has them", 2) from None
