"""kfn describe: one function in full, for a person who wonders why."""

import json
import urllib.request
from typing import Any

import click

from cli import objects, output, session
from kfn.api import core, eventing, kinds, names, serving
from kfn.kube.client import Client


@click.command("describe")
@click.argument("name")
@output.option
@session.options
def command(session: session.Session, name: str, output: str) -> None:
    """Show function NAME: address, conditions, traffic, revisions, instances, triggers, cold starts."""
    from cli.session import run

    async def work() -> Found:
        async with session.client() as client:
            return await _load(client, session.namespace, name)

    found = run(work)
    if output in ("json", "yaml"):
        from cli.output import objects as show

        show(output, [found.service], lambda s, wide: {}, empty="", single=True)
        return
    _print(found)
    _cold_starts(session, found, run(session.config.token))


class Found:
    """Everything that is shown."""

    def __init__(
        self, service: serving.Service, revisions: list[serving.Revision], pods: list[core.Pod], triggers: list[eventing.Trigger]
    ) -> None:
        self.service, self.revisions, self.pods, self.triggers = service, revisions, pods, triggers


async def _load(client: Client, namespace: str, name: str) -> Found:
    service = await objects.get(client, kinds.SERVICE, name, namespace, "function")
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
    click.echo("\nConditions:")
    for c in sorted(status.conditions, key=lambda c: c.type != "Ready"):
        mark = {"True": click.style("✓", fg="green"), "False": click.style("✗", fg="red")}.get(c.status, click.style("…", fg="yellow"))
        click.echo(f"  {mark} {c.type}" + (f"  {c.reason}: {c.message}" if c.reason or c.message else ""))
    if found.revisions:
        click.echo("\nRevisions:")
        share: dict[str, list[str]] = {}
        for t in status.traffic:
            share.setdefault(t.revision_name, []).extend([f"{t.percent}%"] * bool(t.percent) + [f"#{t.tag}"] * bool(t.tag))
        output.table(
            [
                {
                    "  NAME": f"  {r.metadata.name}",
                    "TRAFFIC": " ".join(share.get(r.metadata.name, [])),
                    "REPLICAS": f"{r.status.actual_replicas or 0}/{r.status.desired_replicas or 0}",
                    "AGE": output.age(r.metadata.creation_timestamp),
                    "READY": objects.ready(r.status.conditions),
                    "REASON": objects.reason(r.status.conditions),
                }
                for r in found.revisions
            ]
        )
    if found.pods:
        click.echo("\nInstances:")
        output.table(
            [
                {
                    "  NAME": f"  {p.metadata.name}",
                    "PHASE": p.status.phase,
                    "RESTARTS": str(sum(s.restart_count for s in p.status.container_statuses)),
                    "AGE": output.age(p.metadata.creation_timestamp),
                }
                for p in found.pods
            ]
        )  # fmt: skip
    if found.triggers:
        click.echo("\nTriggers:")
        output.table(
            [
                {"  NAME": f"  {t.metadata.name}", "BROKER": t.spec.broker, "READY": objects.ready(t.status.conditions)}
                for t in found.triggers
            ]
        )


def _cold_starts(session: session.Session, found: Found, token: str) -> None:
    """The last cold starts, if the gateway's admin port is known; what it cannot tell is left out."""
    admin = (session.facts or {}).get("admin")
    if not admin:
        return
    rows = []
    for revision in found.revisions:
        key = f"{revision.metadata.namespace}/{revision.metadata.name}"
        request = urllib.request.Request(f"{admin}/cold-starts?revision={key}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own loopback address
                starts: list[dict[str, Any]] = json.load(answer)[key]
        except (OSError, ValueError, KeyError):
            continue
        rows += [_cold_row(revision.metadata.name, start["phases"]) for start in starts[-5:]]
    if rows:
        click.echo("\nCold starts (ms):")
        output.table(rows)


def _cold_row(revision: str, phases: dict[str, float]) -> dict[str, str]:
    return {"  REVISION": f"  {revision}"} | {name.upper(): f"{ms:.1f}" for name, ms in phases.items()}
