"""The last cold starts of revisions, from the gateway's admin port; what it cannot tell is left out."""

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
    for revision in revisions:
        starts = _fetch(admin, f"{revision.metadata.namespace}/{revision.metadata.name}", token)
        found += [(revision.metadata.name, start) for start in starts[-SHOWN:]]
    if found:
        click.echo("\nCold starts (ms):")
        output.table([row(name, start) for name, start in sorted(found, key=lambda pair: float(pair[1].get("at") or 0))])


def row(revision: str, start: dict[str, Any]) -> dict[str, str]:
    when = datetime.fromtimestamp(float(start.get("at") or 0), UTC).isoformat()
    cells = {"  REVISION": f"  {revision}", "AGE": output.age(when)}
    cells |= {phase.upper(): f"{ms:.1f}" for phase, ms in (start.get("phases") or {}).items()}
    return cells | {"TOTAL": f"{float(start.get('total') or 0):.1f}", "STATUS": str(start.get("status") or "")}


def _fetch(admin: str, key: str, token: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{admin}/cold-starts?revision={key}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
    try:
        with direct.open(request, timeout=5) as answer:
            starts: list[dict[str, Any]] = json.load(answer)[key]
    except (OSError, ValueError, KeyError):
        return []
    return starts
