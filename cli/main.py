"""The `kfn` command. Commands are imported only when run: `kfn --version` must not pay for a Kubernetes client."""

import gc
import importlib
import os
import signal
import sys
from typing import Any

import click

from cli import output
from kfn import groups
from kfn.version import VERSION

TERMINATED = 128 + 15  # as a shell tells of a process that SIGTERM ended
# name -> module. The order is the order in help.
COMMANDS = {
    "up": "cli.up",
    "new": "cli.new",
    "build": "cli.build",
    "builds": "cli.builds",
    "base": "cli.base",
    "cache": "cli.cache",
    "verify": "cli.verify",
    "key": "cli.key",
    "deploy": "cli.deploy",
    "invoke": "cli.invoke",
    "list": "cli.list_",
    "describe": "cli.describe",
    "logs": "cli.logs",
    "revisions": "cli.revisions",
    "traffic": "cli.traffic",
    "delete": "cli.delete",
    "broker": "cli.broker",
    "trigger": "cli.trigger",
    "channel": "cli.channel",
    "subscription": "cli.subscription",
    "source": "cli.sources",
    "pipeline": "cli.pipeline",
    "events": "cli.events",
    "dlq": "cli.dlq",
    "nats": "cli.nats",
    "verify-bus": "cli.verify_bus",
    "version": "cli.version",
    "install": "cli.install",
    "uninstall": "cli.uninstall",
    "images": "cli.images",
    "gateway": "cli.gateway",
    "controller": "cli.controller",
    "autoscaler": "cli.autoscaler",
    "eventing": "cli.eventing",
    "source-adapter": "cli.sourceadapter",
    "keeper": "cli.keeper",
    "completion": "cli.completion",
}
SUMMARIES = {
    "up": "Start the whole platform on this machine.",
    "new": "Make a new function from a template.",
    "build": "Build a function's image.",
    "builds": "List, describe, follow, cancel or delete the platform's builds.",
    "base": "List, make, renew or import what images stand on.",
    "verify": "Check who signed an image.",
    "key": "Make keys to sign images with.",
    "cache": "Show or shrink what builds keep for the next ones.",
    "deploy": "Build and deploy a function, and wait until it serves.",
    "invoke": "Send a request to a function.",
    "list": "List functions.",
    "describe": "Show a function in full: revisions, traffic, conditions, cold starts.",
    "logs": "Print a function's logs.",
    "revisions": "List, describe or delete revisions.",
    "traffic": "Show or change how traffic is split over revisions.",
    "delete": "Delete functions.",
    "broker": "Create, list, describe or delete brokers.",
    "trigger": "Create, list, describe, pause, replay or delete triggers.",
    "channel": "Create, list, describe or delete channels.",
    "subscription": "Create, update, list, describe or delete subscriptions.",
    "source": "Create, list, describe or delete sources of events.",
    "pipeline": "Apply, list, describe, delete, run, watch, retry or cancel pipelines.",
    "events": "Publish and watch events.",
    "dlq": "List, show, replay or purge what a broker could not deliver.",
    "nats": "Print credentials for a function or program that speaks NATS itself.",
    "verify-bus": "Break everything around the event bus, and show that no event is lost.",
    "version": "Print the version.",
    "install": "Install kfn on a cluster, or upgrade it.",
    "uninstall": "Take kfn off a cluster.",
    "images": "Make kfn's own images and push them to a registry.",
    "gateway": "Run a gateway as a process of its own, beside a platform or on a cluster.",
    "controller": "Run the controllers of functions and builds as a process of its own, on a cluster.",
    "autoscaler": "Run the autoscaler as a process of its own, on a cluster.",
    "eventing": "Run the event bus as a process of its own, on a cluster.",
    "source-adapter": "Run what a source of events runs in a pod of its own, on a cluster.",
    "keeper": "Keep the slots of limited instances for gateways on several machines.",
    "completion": "Print a shell completion script.",
}


class LazyGroup(click.Group):
    """Knows every command's name and summary without importing it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """click would take a closed pipe for a failure; here it is the end that `| head` wanted."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BaseException as error:
            if isinstance(groups.first(error), BrokenPipeError):
                raise ReaderLeft from None
            raise
        return result

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            if "No such command" not in error.message or not near:
                raise
            raise click.UsageError(f"no command {args[0]!r}. Did you mean `kfn {near[0]}`?", ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="kfn", message="%(prog)s %(version)s")
def kfn() -> None:
    """Serverless functions on Kubernetes, or on this machine with nothing installed.

    `kfn up` starts a platform here; `kfn new greet`, `kfn deploy greet` and `kfn invoke greet` make, deploy and call a function.
    """


class ReaderLeft(Exception):
    """Whoever read our output closed it."""


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: what is imported while it comes may turn it into an error of its own (Python 3.11 does)."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def main(args: list[str] | None = None) -> None:
    """Run the command; every failure leaves one readable message and a documented exit code."""
    if args is None and os.getpid() == 1:  # a container's first process: there SIGTERM does nothing until somebody takes it
        signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))
    try:
        _run(args)
    finally:
        if args is None:  # this process ends here
            _unread()
            gc.freeze()  # its end need not look for garbage in all that was imported


def _unread() -> None:
    """What nobody reads must not become the exit code 120 when the interpreter flushes it."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _run(args: list[str] | None) -> None:
    try:
        result: Any = kfn.main(args=args, prog_name="kfn", standalone_mode=False, color=output.coloured())
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _say(error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"`{error.ctx.command_path} --help` shows how it is used", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except ReaderLeft:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go, and must not be an error at exit
        sys.exit(141)
    except Exception as error:
        from cli import failures

        if not isinstance(error, failures.CliError) and _interrupted(error):  # a command's own words for it come first
            click.echo("interrupted", err=True)
            sys.exit(130)
        message, code = failures.explain(error)
        _say(message)
        sys.exit(code)


def _say(message: str) -> None:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {output.printable(message)}", err=True, color=output.coloured())


if __name__ == "__main__":
    main()
