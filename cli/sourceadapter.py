"""kfn source-adapter: what runs in the pods of sources. Eventing makes them on a cluster; nobody has to start one by hand."""

import os
from typing import Any

import click

from cli.failures import CliError
from cli.process import options


@click.group("source-adapter")
def command() -> None:
    """Run what a source of events runs in a pod of its own."""


@command.command("apiserver", context_settings=options.ENVIRONMENT)
@options.common("")
def apiserver(**flags: Any) -> int:
    """Follow the objects of one ApiServerSource and send their changes to its sink.

    The environment says which and where: K_SOURCE_CONFIG and K_SINK, as eventing writes them. Prints one line beginning with `ready`.
    """
    flags["no_lease"] = True
    process = options.take("source-adapter", flags)

    def run() -> int:
        import msgspec

        from cli.process import run as shell
        from cli.process import sourceadapter
        from eventing.apiserver import config

        url, text = os.environ.get(config.SINK, ""), os.environ.get(config.CONFIG, "")
        if not url or not text:
            raise CliError(f"${config.SINK} and ${config.CONFIG} are not set; eventing starts this command, for an ApiServerSource", 2)
        try:
            part = sourceadapter.Part(config.loads(text), url)
        except msgspec.DecodeError as error:
            raise CliError(f"${config.CONFIG} cannot be read: {error}. It is of another version of kfn?", 2) from None
        return shell.main(process, part, (), say=lambda line: click.echo(line))

    return options.start(run, "--admin-host and --admin-port")
