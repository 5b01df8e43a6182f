"""kfn builds: the builds that ran or run on the platform."""

import sys
from typing import Any

import click

from cli import complete, objects, output, session
from cli.failures import CliError
from kfn.api import build as kind
from kfn.api import kinds
from kfn.kube import errors


@click.group("builds")
def command() -> None:
    """List, describe, follow, cancel or delete the platform's builds."""


@command.command("list")
@output.option
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace.")
@session.options
def list_(session: session.Session, output: str, all_namespaces: bool) -> None:
    """List builds, the newest first."""
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[kind.Build]:
        async with session.client() as client:
            return await objects.listed(client, kinds.BUILD, None if all_namespaces else session.namespace)

    items = sorted(run(work), key=lambda b: (b.metadata.creation_timestamp, b.metadata.name), reverse=True)
    empty = f"No builds in namespace {session.namespace}. `kfn build --remote -t REGISTRY/NAME PATH` makes one."
    show(output, items, lambda b, wide: row(b, wide, all_namespaces), empty=empty)


@command.command("describe")
@click.argument("name", shell_complete=complete.builds)
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show one build: what it is of, its phases and how it ended."""
    from cli import output as out
    from cli.session import run

    async def work() -> kind.Build:
        async with session.client() as client:
            return await objects.get(client, kinds.BUILD, name, session.namespace, "build")

    build = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [build], lambda b, wide: row(b, wide, False), empty="", single=True)
        return
    status, spec = build.status, build.spec
    out.fields(
        [
            ("Name", build.metadata.name),
            ("Namespace", build.metadata.namespace),
            ("Source", source(build)),
            ("Image", status.image or spec.image.repository),
            ("Tags", ", ".join(spec.image.tags)),
            ("Commit", status.commit),
            ("Started", status.start_time),
            ("Ended", status.completion_time),
            ("Position", str(status.queue_position or "")),
            ("Job", status.job),
        ]
    )
    out.conditions(status.conditions)
    if status.phases:
        click.echo("\nPhases:")
        out.table(
            [
                {"  NAME": f"  {p.name}", "TOOK": out.duration(p.seconds), "CACHE": "hit" if p.cached else "", "WHAT": p.detail}
                for p in status.phases
            ]
        )
    if status.log_tail:
        click.echo("\nEnd of the log:")
        for line in status.log_tail[-20:]:
            click.echo(f"  {line}")


@command.command("logs")
@click.argument("name", shell_complete=complete.builds)
@click.option("-f", "--follow", is_flag=True, help="Go on until the build is over; its exit code is this command's.")
@click.option("--tail", type=click.IntRange(min=0), help="Only so many last lines.")
@session.options
def logs(session: session.Session, name: str, follow: bool, tail: int | None) -> None:
    """Print what a build tells."""
    from cli import buildlog
    from cli.session import run

    progress = output.Progress()

    def tell(line: dict[str, Any]) -> None:
        progress.clear()
        if line.get("msg"):
            click.echo(f"{line.get('phase') or ''!s:8}  {line['msg']}" + ("   cached" if line.get("cache") == "hit" else ""))
            sys.stdout.flush()

    async def work() -> kind.Build:
        async with session.client() as client:
            build = await objects.get(client, kinds.BUILD, name, session.namespace, "build")
            if follow:
                return await buildlog.follow(client, name, session.namespace, tell, progress.say)
            found = await buildlog.pods(client, name, session.namespace)
            for pod in found:
                try:
                    await buildlog.printed(client, pod, tell, follow=False, tail=tail)
                except (errors.Invalid, errors.NotFound):  # it was never started, and wrote nothing
                    ended = buildlog.condition(build)
                    click.echo(f"build {name} wrote nothing" + (f": {ended.reason}: {ended.message}" if ended.reason else " yet"), err=True)
            for line in build.status.log_tail if not found else ():
                tell(buildlog.parse(line))
            return build

    build = run(work)
    progress.clear()
    if follow:
        if buildlog.condition(build).status == "False":
            raise buildlog.failure(build)
        click.echo(build.status.image)


@command.command("cancel")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.builds)
@session.options
def cancel(session: session.Session, names: tuple[str, ...]) -> None:
    """Cancel builds that wait or run."""
    from cli import buildlog
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            for name in dict.fromkeys(names):
                build = await objects.get(client, kinds.BUILD, name, session.namespace, "build")
                if buildlog.over(build):
                    raise CliError(f"build {name!r} is over: {buildlog.condition(build).reason or 'Succeeded'}")
                await client.patch(kinds.BUILD, name, session.namespace, {"spec": {"cancel": True}})
                click.echo(f"build {name} cancelled", err=True)

    run(work)


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.builds)
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete builds, running ones too; images that they pushed stay."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.BUILD, names, session.namespace, "build")

    run(work)


def source(build: kind.Build) -> str:
    """Where a build's source comes from, in one line."""
    found = build.spec.source
    if found.git is not None:
        place = f"{found.git.ref}:{found.git.subdir}" if found.git.subdir else found.git.ref
        return f"{found.git.url}#{place}" if place else found.git.url
    return found.artifact or f"in the Build itself: {', '.join(sorted(found.inline)[:5])}"


def row(build: kind.Build, wide: bool, namespaces: bool) -> dict[str, str]:
    from cli import buildlog, reasons

    found = buildlog.condition(build)
    cells = {"NAMESPACE": build.metadata.namespace} if namespaces else {}
    cells |= {
        "NAME": build.metadata.name,
        "IMAGE": build.spec.image.repository,
        "AGE": output.age(build.metadata.creation_timestamp),
        "SUCCEEDED": found.status,
        "REASON": reasons.one_line(found.reason, found.message) if found.status != "True" else "",
    }
    return cells | ({"DIGEST": build.status.digest} if wide else {})
