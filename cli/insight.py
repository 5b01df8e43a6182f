"""What the admin port knows of revisions: the last scaling decisions and cold starts. What it cannot tell is left out."""

import json
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from cli import output, session
from kfn.api import serving

SHOWN = 5  # of each revision


def show(session: session.Session, revisions: Sequence[serving.Revision]) -> None:
    """Print them, the oldest first, if the platform has an admin port that is known."""
    admin = (session.facts or {}).get("admin")
    if not admin:
        return
    from cli.session import run

    token = run(session.config.token)
    found: list[tuple[str, dict[str, Any]]] = []
    decided: list[tuple[str, dict[str, Any]]] = []
    for revision in revisions:
        key = f"{revision.metadata.namespace}/{revision.metadata.name}"
        starts: dict[str, Any] = _fetch(admin, f"cold-starts?revision={key}", token) or {}
        found += [(revision.metadata.name, start) for start in starts.get(key, [])[-SHOWN:]]
        decided += [(revision.metadata.name, record) for record in (_fetch(admin, f"decisions?revision={key}", token) or [])[-1:]]
    if decided:
        click.echo("\nScaling:")
        output.table([decision(name, record) for name, record in decided])
    if found:
        click.echo("\nCold starts (ms):")
        output.table([row(name, start) for name, start in sorted(found, key=lambda pair: float(pair[1].get("at") or 0))])


def row(revision: str, start: dict[str, Any]) -> dict[str, str]:
    when = datetime.fromtimestamp(float(start.get("at") or 0), UTC).isoformat()
    cells = {"  REVISION": f"  {revision}", "AGE": output.age(when)}
    cells |= {phase.upper(): f"{ms:.1f}" for phase, ms in (start.get("phases") or {}).items()}
    return cells | {"TOTAL": f"{float(start.get('total') or 0):.1f}", "STATUS": str(start.get("status") or "")}


def decision(revision: str, record: dict[str, Any]) -> dict[str, str]:
    made = record["decision"]
    return {"  REVISION": f"  {revision}", "AGE": output.age(record["last"]), "WANTS": str(made["replicas"]), "BECAUSE": made["because"]}


def _fetch(admin: str, path: str, token: str) -> Any:
    request = urllib.request.Request(f"{admin}/{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
    try:
        with direct.open(request, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None
