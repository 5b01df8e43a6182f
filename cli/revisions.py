"""kfn revisions: what has been deployed, and when; one in full; delete what is no longer wanted."""

import click

from cli import complete, insight, objects, output, session
from cli.describe import instances
from cli.failures import CliError
from kfn.api import core, kinds, names, serving


@click.group("revisions", invoke_without_command=True)
@click.option("-s", "--service", help="Only this function's.", shell_complete=complete.functions)
@output.option
@session.options
def command(session: session.Session, output: str, service: str | None) -> None:
    """List revisions, the newest first; describe or delete one.

    \b
    kfn revisions -s greet -o wide
    kfn revisions describe greet-00002
    kfn revisions delete greet-00001
    """
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[tuple[serving.Revision, int]]:
        async with session.client() as client:
            if service:
                await objects.get(client, kinds.SERVICE, service, session.namespace, "function")
            found = await objects.listed(client, kinds.REVISION, session.namespace, labels=f"{names.SERVICE}={service}" if service else "")
            services, _ = await client.list(kinds.SERVICE, session.namespace)
        percent = percents(services)
        pairs = [(revision, percent.get(revision.metadata.name, 0)) for revision in found]
        return sorted(pairs, key=_newest_first)

    pairs = run(work)
    share = {revision.metadata.name: percent for revision, percent in pairs}
    show(
        output, [revision for revision, _ in pairs], lambda r, wide: row(r, wide, share[r.metadata.name]),
        empty=f"No revisions in namespace {session.namespace}.",
    )  # fmt: skip


@command.command("describe")
@click.argument("revision", shell_complete=complete.revisions)
@output.option
@session.options
def describe(session: session.Session, revision: str, output: str) -> None:
    """Show one revision: conditions, image, limits, environment, instances, cold starts."""
    from cli import output as out
    from cli.session import run

    async def work() -> tuple[serving.Revision, int, list[core.Pod]]:
        async with session.client() as client:
            found = await objects.get(
                client, kinds.REVISION, revision, session.namespace, "revision", otherwise="`kfn revisions` lists them"
            )
            services, _ = await client.list(kinds.SERVICE, session.namespace)
            pods, _ = await client.list(kinds.POD, session.namespace, labels=f"{names.REVISION}={revision}")
            return found, percents(services).get(revision, 0), pods

    found, percent, pods = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [found], lambda r, wide: {}, empty="", single=True)
        return
    out.fields(settings(found, percent))
    out.conditions(found.status.conditions)
    instances(pods)
    insight.show(session, [found])


@command.command("delete")
@click.argument("revisions", nargs=-1, required=True, metavar="REVISION...", shell_complete=complete.revisions)
@session.options
def delete(session: session.Session, revisions: tuple[str, ...]) -> None:
    """Delete revisions that receive no traffic."""
    from cli.session import run

    async def work() -> None:
        async with session.client() as client:
            for name in revisions:
                revision = await objects.get(client, kinds.REVISION, name, session.namespace, "revision")
                if revision.metadata.labels.get(names.ROUTING_STATE) == "active":
                    raise CliError(f"revision {name!r} receives traffic or has a tag; move it away with `kfn traffic` first")
            await objects.delete(client, kinds.REVISION, revisions, session.namespace, "revision")

    run(work)


def percents(services: list[serving.Service]) -> dict[str, int]:
    """The share of each revision; one may be named by several targets."""
    found: dict[str, int] = {}
    for target in (t for s in services for t in s.status.traffic):
        found[target.revision_name] = found.get(target.revision_name, 0) + (target.percent or 0)
    return found


def _newest_first(pair: tuple[serving.Revision, int]) -> tuple[str, int]:
    labels = pair[0].metadata.labels
    return labels.get(names.SERVICE, ""), -int(labels.get(names.CONFIGURATION_GENERATION) or 0)


def settings(revision: serving.Revision, percent: int) -> list[tuple[str, str]]:
    """What was deployed, as name and value; the values of variables stay out, since they may be secret."""
    meta, spec, status = revision.metadata, revision.spec, revision.status
    container = spec.containers[0] if spec.containers else core.Container()
    scale = {name.removeprefix("autoscaling.knative.dev/"): text for name, text in meta.annotations.items() if "autoscaling." in name}
    return [
        ("Name", meta.name),
        ("Namespace", meta.namespace),
        ("Function", meta.labels.get(names.SERVICE, "")),
        ("Traffic", f"{percent}%"),
        ("Replicas", f"{status.actual_replicas or 0}/{status.desired_replicas or 0}"),
        ("Age", output.age(meta.creation_timestamp)),
        ("Image", container.image),
        ("Concurrency", str(spec.container_concurrency or "no limit")),
        ("Timeout", f"{spec.timeout_seconds} s" if spec.timeout_seconds else ""),
        ("Env", ", ".join(e.name for e in container.env)),
        ("Scale", ", ".join(f"{name}={text}" for name, text in sorted(scale.items()))),
    ]


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
