"""What the admin port knows of revisions: the last scaling decisions and cold starts. What it cannot tell is left out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from cli import doors, output, session
from kfn.api import serving

SHOWN = 5  # of each revision


def show(session: session.Session, revisions: Sequence[serving.Revision]) -> None:
    """Print them, the oldest first, of every gateway and of the autoscaler that can be asked."""
    from cli.session import run

    found: list[tuple[str, dict[str, Any]]] = []
    decided: list[tuple[str, dict[str, Any]]] = []
    for name, starts, decisions in run(_ask, session, revisions):
        found += [(name, start) for start in starts]
        decided += [(name, record) for record in decisions[-1:]]
    if decided:
        click.echo("\nScaling:")
        output.table([decision(name, record) for name, record in decided])
    if found:
        click.echo("\nCold starts (ms):")
        output.table([row(name, start) for name, start in sorted(found, key=lambda pair: float(pair[1].get("at") or 0))])


async def _ask(session: session.Session, revisions: Sequence[serving.Revision]) -> list[tuple[str, list[Any], list[Any]]]:
    """Of each revision its last cold starts and decisions."""
    async with doors.open_doors(session) as ask:
        told = []
        for revision in revisions:
            key = f"{revision.metadata.namespace}/{revision.metadata.name}"
            starts = [one for page in await ask("gateway", "cold-starts", key) for one in (page or {}).get(key, [])]
            decisions = [one for page in await ask("autoscaler", "decisions", key) for one in page or []]
            told.append((revision.metadata.name, sorted(starts, key=lambda one: float(one.get("at") or 0))[-SHOWN:], decisions))
        return told


def row(revision: str, start: dict[str, Any]) -> dict[str, str]:
    when = datetime.fromtimestamp(float(start.get("at") or 0), UTC).isoformat()
    cells = {"  REVISION": f"  {revision}", "AGE": output.age(when)}
    cells |= {phase.upper(): f"{ms:.1f}" for phase, ms in (start.get("phases") or {}).items()}
    return cells | {"TOTAL": f"{float(start.get('total') or 0):.1f}", "STATUS": str(start.get("status") or "")}


def decision(revision: str, record: dict[str, Any]) -> dict[str, str]:
    made = record["decision"]
    return {"  REVISION": f"  {revision}", "AGE": output.age(record["last"]), "WANTS": str(made["replicas"]), "BECAUSE": made["because"]}
