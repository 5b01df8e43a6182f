"""kfn revisions: what has been deployed, and when; delete what is no longer wanted."""

import click

from cli import objects, output, session
from cli.failures import CliError
from kfn.api import kinds, names, serving


@click.group("revisions", invoke_without_command=True)
@click.option("-s", "--service", help="Only this function's.")
@output.option
@session.options
@click.pass_context
def command(ctx: click.Context, session: session.Session, output: str, service: str | None) -> None:
    """List revisions, the newest first."""
    ctx.obj = session
    if ctx.invoked_subcommand:
        return
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[tuple[serving.Revision, int]]:
        async with session.client() as client:
            labels = f"{names.SERVICE}={service}" if service else ""
            found, _ = await client.list(kinds.REVISION, session.namespace, labels=labels)
            services, _ = await client.list(kinds.SERVICE, session.namespace)
        percent = {t.revision_name: t.percent or 0 for s in services for t in s.status.traffic}
        pairs = [(revision, percent.get(revision.metadata.name, 0)) for revision in found]
        return sorted(pairs, key=_newest_first)

    pairs = run(work)
    share = {revision.metadata.name: percent for revision, percent in pairs}
    show(
        output, [revision for revision, _ in pairs], lambda r, wide: row(r, wide, share[r.metadata.name]),
        empty=f"No revisions in namespace {session.namespace}.",
    )  # fmt: skip


@command.command("delete")
@click.argument("revisions", nargs=-1, required=True, metavar="REVISION...")
@click.pass_obj
def delete(session: session.Session, revisions: tuple[str, ...]) -> None:
    """Delete revisions that receive no traffic."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            for name in revisions:
                revision = await objects.get(client, kinds.REVISION, name, session.namespace, "revision")
                if revision.metadata.labels.get(names.ROUTING_STATE) == "active":
                    raise CliError(f"revision {name!r} receives traffic; move it away with `kfn traffic` first")
            await objects.delete(client, kinds.REVISION, revisions, session.namespace, "revision")

    run(work)


def _newest_first(pair: tuple[serving.Revision, int]) -> tuple[str, int]:
    labels = pair[0].metadata.labels
    return labels.get(names.SERVICE, ""), -int(labels.get(names.CONFIGURATION_GENERATION) or 0)


def row(revision: serving.Revision, wide: bool, percent: int) -> dict[str, str]:
    status = revision.status
    cells = {
        "NAME": revision.metadata.name,
        "FUNCTION": revision.metadata.labels.get(names.SERVICE, ""),
        "TRAFFIC": f"{percent}%" if percent else "",
        "REPLICAS": f"{status.actual_replicas or 0}/{status.desired_replicas or 0}",
        "AGE": output.age(revision.metadata.creation_timestamp),
        "READY": objects.ready(status.conditions),
        "REASON": objects.reason(status.conditions),
    }
    if wide:
        cells["IMAGE"] = revision.spec.containers[0].image if revision.spec.containers else ""
    return cells
