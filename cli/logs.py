"""kfn logs: what a function's instances print, all of them at once."""

import itertools
import sys
from collections.abc import Mapping

import click

from cli import objects, session
from cli.failures import CliError
from kfn.api import core, kinds, names
from kfn.kube import errors
from kfn.kube.client import Client

COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


@click.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written, also of instances that start later.")
@click.option("--tail", type=click.IntRange(min=0), help="Only so many last lines of each instance.")
@click.option("--since", type=click.IntRange(min=1), metavar="SECONDS", help="Only lines this young.")
@click.option("--previous", is_flag=True, help="Of the instance before the last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("-r", "--revision", help="Only this revision's instances.")
@session.options
def command(
    session: session.Session,
    name: str,
    follow: bool,
    tail: int | None,
    since: int | None,
    previous: bool,
    timestamps: bool,
    revision: str | None,
) -> None:
    """Print the logs of function NAME."""
    from cli.session import run

    options = {"tail": tail, "since_seconds": since, "previous": previous, "timestamps": timestamps}

    async def work() -> None:
        async with session.client() as client:
            await objects.get(client, kinds.SERVICE, name, session.namespace, "function")
            selector = f"{names.SERVICE}={name}" + (f",{names.REVISION}={revision}" if revision else "")
            printer = Printer(client, session.namespace, options)
            if follow:
                await printer.follow(selector)
            else:
                await printer.once(selector, name)

    run(work)


class Printer:
    """Prints the logs of pods; a prefix tells them apart once there are several."""

    def __init__(self, client: Client, namespace: str, options: Mapping[str, object]) -> None:
        self._client, self._namespace, self._options = client, namespace, options
        self._colours = itertools.cycle(COLOURS)
        self._followed: set[str] = set()

    async def once(self, selector: str, name: str) -> None:
        pods, _ = await self._client.list(kinds.POD, self._namespace, labels=selector)
        if not pods:
            click.echo(f"{name} has no instance now (it is at zero). `kfn logs -f {name}` waits for one.", err=True)
        for pod in sorted(pods, key=lambda p: p.metadata.creation_timestamp):
            await self._print(pod.metadata.name, follow=False, prefix=len(pods) > 1)

    async def follow(self, selector: str) -> None:
        import anyio

        async with anyio.create_task_group() as tasks:

            def start(pod: core.Pod) -> None:
                if pod.metadata.uid not in self._followed and pod.status.phase in ("Running", "Succeeded", "Failed"):
                    self._followed.add(pod.metadata.uid)
                    tasks.start_soon(self._safely, pod.metadata.name)

            while True:
                pods, version = await self._client.list(kinds.POD, self._namespace, labels=selector)
                for pod in pods:
                    start(pod)
                try:
                    async with self._client.watch(kinds.POD, self._namespace, resource_version=version, labels=selector) as events:
                        async for event in events:
                            if event.type in ("ADDED", "MODIFIED"):
                                start(event.object)
                except errors.Gone:
                    continue

    async def _safely(self, pod: str) -> None:
        """One instance that goes away must not end the watching of the others."""
        try:
            await self._print(pod, follow=True, prefix=True)
        except errors.KubeError:
            return

    async def _print(self, pod: str, *, follow: bool, prefix: bool) -> None:
        mark = click.style(f"{pod.rsplit('-', 1)[-1]} ", fg=next(self._colours)) if prefix else ""
        try:
            async with self._client.logs(pod, self._namespace, follow=follow, **self._options) as chunks:  # type: ignore[arg-type]
                rest = b""
                async for chunk in chunks:
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        click.echo(mark + line.decode("utf-8", "replace"))
                    sys.stdout.flush()
                if rest:
                    click.echo(mark + rest.decode("utf-8", "replace"))
        except errors.NotFound:
            if not follow:
                raise CliError(f"the logs of {pod} are gone") from None
