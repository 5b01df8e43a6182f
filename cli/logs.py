"""kfn logs: what a function's instances print, all of them at once; at zero, what the last one printed."""

import itertools
import sys
from collections.abc import Mapping, Sequence

import click

from cli import complete, objects, output, session
from cli.failures import CliError
from kfn.api import core, kinds, names, serving
from kfn.kube import errors
from kfn.kube.client import Client

EARLIER = 10  # instances that are gone whose logs are looked for
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


@click.command("logs")
@click.argument("name", shell_complete=complete.functions)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written, also of instances that start later.")
@click.option("--tail", type=click.IntRange(min=0), help="Only so many last lines of each instance.")
@click.option("--since", type=click.IntRange(min=1), metavar="SECONDS", help="Only lines this young.")
@click.option("--previous", is_flag=True, help="Of the instance before the last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("-r", "--revision", help="Only this revision's instances.", shell_complete=complete.revisions)
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
    """Print the logs of function NAME: of every instance it has now, or of the last one when it is at zero.

    \b
    kfn logs greet --tail 20
    kfn logs greet -f -r greet-00002
    """
    from cli.session import run

    options = {"tail": tail, "since_seconds": since, "previous": previous, "timestamps": timestamps}

    async def work() -> None:
        async with session.client() as client:
            revisions = await _revisions(client, session.namespace, name, revision)
            selector = f"{names.SERVICE}={name}" + (f",{names.REVISION}={revision}" if revision else "")
            printer = Printer(client, session.namespace, options)
            if follow:
                await printer.follow(selector)
            else:
                await printer.once(selector, name, revisions)

    run(work)


async def _revisions(client: Client, namespace: str, name: str, wanted: str | None) -> list[str]:
    """The names of the function's revisions, or of the wanted one."""
    await objects.get(client, kinds.SERVICE, name, namespace, "function")
    items: list[serving.Revision] = (await client.list(kinds.REVISION, namespace, labels=f"{names.SERVICE}={name}"))[0]
    known = [item.metadata.name for item in items]
    if wanted is None:
        return known
    if wanted not in known:
        raise CliError(f"function {name!r} has no revision {wanted!r}; it has: {', '.join(sorted(known)) or 'none'}")
    return [wanted]


def recent_pods(events: Sequence[core.Event], revisions: Sequence[str]) -> list[tuple[str, str]]:
    """The pods of the revisions that Events tell of, with when they were last heard of, the newest first."""
    heard: dict[str, str] = {}
    for event in events:
        pod, when = event.involved_object.name, event.last_timestamp or event.first_timestamp
        if event.involved_object.kind == "Pod" and any(pod.startswith(f"{r}-deployment-") for r in revisions):
            heard[pod] = max(when, heard.get(pod, ""))
    return sorted(heard.items(), key=lambda item: item[1], reverse=True)


def container(pod: core.Pod) -> str:
    """The one whose log is meant, where there are several: an API server wants it named."""
    named = [c.name for c in pod.spec.containers]
    if len(named) < 2 and not pod.spec.init_containers:
        return ""
    return pod.metadata.annotations.get(DEFAULT_CONTAINER, "") or (named[0] if named else "")


class Printer:
    """Prints the logs of pods; a prefix tells them apart once there are several."""

    def __init__(self, client: Client, namespace: str, options: Mapping[str, object]) -> None:
        self._client, self._namespace, self._options = client, namespace, options
        self._colours = itertools.cycle(COLOURS)
        self._followed: set[str] = set()

    async def once(self, selector: str, name: str, revisions: Sequence[str]) -> None:
        pods, _ = await self._client.list(kinds.POD, self._namespace, labels=selector)
        if not pods:
            await self._last(name, revisions)
        for pod in sorted(pods, key=lambda p: p.metadata.creation_timestamp):
            try:
                await self._print(pod.metadata.name, container(pod), follow=False, prefix=len(pods) > 1)
            except errors.Invalid as error:  # it has printed nothing yet, or was never restarted
                click.echo(str(error), err=True)

    async def _last(self, name: str, revisions: Sequence[str]) -> None:
        """Pods that are gone are known by their Events; an embedded platform keeps the logs of some, if they wrote anything."""
        events, _ = await self._client.list(kinds.EVENT, self._namespace, fields="involvedObject.kind=Pod")
        for pod, when in recent_pods(events, revisions)[:EARLIER]:
            head = f"{name} has no instance now; {pod}, which ended, wrote ({output.age(when)} ago and before):"
            try:
                await self._print(pod, "", follow=False, prefix=False, head=head)
            except errors.NotFound:
                continue
            return
        click.echo(f"{name} has no instance now, and no log of earlier ones is kept. `kfn logs -f {name}` waits for one", err=True)

    async def follow(self, selector: str) -> None:
        import anyio

        async with anyio.create_task_group() as tasks:

            def start(pod: core.Pod) -> None:
                if pod.metadata.uid not in self._followed and pod.status.phase in ("Running", "Succeeded", "Failed"):
                    self._followed.add(pod.metadata.uid)
                    tasks.start_soon(self._safely, pod)

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

    async def _safely(self, pod: core.Pod) -> None:
        """One instance that goes away must not end the watching of the others."""
        try:
            await self._print(pod.metadata.name, container(pod), follow=True, prefix=True)
        except errors.KubeError:
            return

    async def _print(self, pod: str, container: str, *, follow: bool, prefix: bool, head: str = "") -> None:
        mark = click.style(f"{pod.rsplit('-', 1)[-1]} ", fg=next(self._colours)) if prefix else ""
        async with self._client.logs(pod, self._namespace, follow=follow, container=container, **self._options) as chunks:  # type: ignore[arg-type]
            if head:
                click.echo(head, err=True)
            rest = b""
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    click.echo(mark + line.decode("utf-8", "replace"))
                sys.stdout.flush()
            if rest:
                click.echo(mark + rest.decode("utf-8", "replace"))
