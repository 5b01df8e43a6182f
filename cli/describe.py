"""kfn describe: one function in full, for a person who wonders why."""

from dataclasses import dataclass

import click

from cli import complete, insight, objects, output, reasons, session
from cli.failures import CliError
from kfn.api import core, eventing, kinds, names, serving
from kfn.kube.client import Client


@click.command("describe")
@click.argument("name", shell_complete=complete.functions)
@output.option
@session.options
def command(session: session.Session, name: str, output: str) -> None:
    """Show function NAME: address, conditions, traffic, revisions, instances, triggers, cold starts.

    \b
    kfn describe hello
    kfn describe sequence:checkout    # its steps, and which is not ready
    kfn describe parallel:notify      # its branches
    """
    from cli.session import run

    word, colon, flow = name.partition(":")
    if colon:
        from cli import flowshown

        if word not in flowshown.KINDS:
            raise CliError(f"{name!r}: write the name of a function, sequence:NAME or parallel:NAME", 2)
        flowshown.describe(session, word, flow, output)
        return

    async def work() -> Found:
        async with session.client() as client:
            return await _load(client, session.namespace, name)

    found = run(work)
    if output in ("json", "yaml"):
        from cli.output import objects as show

        show(output, [found.service], lambda s, wide: {}, empty="", single=True)
        return
    _print(found)
    insight.show(session, found.revisions)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is shown."""

    service: serving.Service
    revisions: list[serving.Revision]
    pods: list[core.Pod]
    triggers: list[eventing.Trigger]


async def _load(client: Client, namespace: str, name: str) -> Found:
    service = await objects.get(client, kinds.SERVICE, name, namespace, "function", otherwise="`kfn list` shows what is there")
    labels = f"{names.SERVICE}={name}"
    revisions, _ = await client.list(kinds.REVISION, namespace, labels=labels)
    pods, _ = await client.list(kinds.POD, namespace, labels=labels)
    triggers, _ = await client.list(kinds.TRIGGER, namespace)
    mine = [t for t in triggers if t.spec.subscriber.ref and t.spec.subscriber.ref.kind == "Service" and t.spec.subscriber.ref.name == name]
    return Found(service, sorted(revisions, key=lambda r: r.metadata.name, reverse=True), pods, mine)


def _print(found: Found) -> None:
    service, status = found.service, found.service.status
    output.fields(
        [
            ("Name", service.metadata.name),
            ("Namespace", service.metadata.namespace),
            ("URL", status.url),
            ("Address", status.address.url if status.address else ""),
            ("Age", output.age(service.metadata.creation_timestamp)),
            ("By", service.metadata.annotations.get(names.LAST_MODIFIER, "")),
        ]
    )
    output.conditions(status.conditions)
    if found.revisions:
        click.echo("\nRevisions:")
        share = shares(status.traffic)
        output.table([_revision_row(r, share.get(r.metadata.name, [])) for r in found.revisions])
        _failures(found)
    instances(found.pods)
    if found.triggers:
        click.echo("\nTriggers:")
        output.table(
            [
                {
                    "  NAME": f"  {t.metadata.name}",
                    "BROKER": t.spec.broker,
                    "READY": objects.ready(t.status.conditions),
                    "REASON": objects.reason(t.status.conditions),
                }
                for t in found.triggers
            ]
        )


def shares(traffic: list[serving.TrafficTarget]) -> dict[str, list[str]]:
    """`90%` and `#tag` of each revision."""
    found: dict[str, list[str]] = {}
    for t in traffic:
        found.setdefault(t.revision_name, []).extend([f"{t.percent}%"] * bool(t.percent) + [f"#{t.tag}"] * bool(t.tag))
    return found


def _revision_row(revision: serving.Revision, share: list[str]) -> dict[str, str]:
    return {
        "  NAME": f"  {revision.metadata.name}",
        "TRAFFIC": " ".join(share),
        "REPLICAS": f"{revision.status.actual_replicas or 0}/{revision.status.desired_replicas or 0}",
        "AGE": output.age(revision.metadata.creation_timestamp),
        "READY": objects.ready(revision.status.conditions),
        "REASON": objects.reason(revision.status.conditions),
    }


def _failures(found: Found) -> None:
    """The whole reason of each revision that failed, unless the function's own conditions have told it above."""
    told = "\n".join(reasons.brief(c.message) for c in found.service.status.conditions)
    for revision in found.revisions:
        ready = objects.condition(revision.status.conditions, "Ready")
        if ready is None or ready.status != "False":
            continue
        text = reasons.brief(ready.message)
        if len(text.splitlines()) > 1 and text not in told:
            click.echo(f"\n  {revision.metadata.name} failed: {ready.reason}")
            for line in text.splitlines():
                click.echo(f"      {line}")


def instances(pods: list[core.Pod]) -> None:
    if not pods:
        return
    click.echo("\nInstances:")
    output.table(
        [
            {
                "  NAME": f"  {p.metadata.name}",
                "PHASE": "Terminating" if p.metadata.deletion_timestamp else p.status.phase,
                "READY": next((c.status for c in p.status.conditions if c.type == "Ready"), "Unknown"),
                "RESTARTS": str(sum(s.restart_count for s in p.status.container_statuses)),
                "AGE": output.age(p.metadata.creation_timestamp),
                "WHY": _why(p),
            }
            for p in pods
        ]
    )


def _why(pod: core.Pod) -> str:
    waiting = [s.state.waiting for s in pod.status.container_statuses if s.state.waiting]
    return waiting[0].reason if waiting else pod.status.reason
