"""kfn cache: what builds keep for the next ones, how large it is and what it is for; make it smaller, or empty."""

import os
import time
from pathlib import Path
from typing import Any

import click

from cli import output, source

SHOWN = 20


@click.group("cache")
def command() -> None:
    """Layers of earlier builds, unpacked bases and packages. Everything in it is made again when it is needed."""


@command.command("ls")
@click.option("--all", "everything", is_flag=True, help=f"Every entry, not only the {SHOWN} largest.")
@click.option("-o", "--output", "form", type=click.Choice(("table", "json")), default="table", help="Output format.")
def ls(everything: bool, form: str) -> None:
    """List the entries, the largest first."""
    from builder.caching import bound, titles

    path = _path()
    entries = sorted(bound.entries(path), key=lambda one: -one.size)
    known = titles.of(path)
    if form == "json":
        items = [
            {"kind": one.kind, "name": one.path.name, "size": one.size, "used": int(one.used), "for": known.get(one.path.name, "")}
            for one in entries
        ]
        output.data("json", {"path": str(path), "size": sum(one.size for one in entries), "entries": items})
        return
    if entries:
        output.table([_row(one, known) for one in (entries if everything else entries[:SHOWN])])
    more = f", the {SHOWN} largest shown" if len(entries) > SHOWN and not everything else ""
    click.echo(f"{path}: {_size(sum(one.size for one in entries))} in {len(entries)} entries{more}", err=True)


@command.command("prune")
@click.option("--to", "most", type=source.SizeType(), default=None, metavar="SIZE", help="What may stay (by default as for builds).")
def prune(most: int | None) -> None:
    """Remove what was not used for longest, until the rest fits. What a build may be using stays."""
    from builder.caching import bound
    from builder.options import default_cache_bytes

    _tell(bound.trim(_path(), default_cache_bytes() if most is None else most))


@command.command("rm")
def rm() -> None:
    """Remove every entry. While a build is running, what it may be using stays."""
    from builder.caching import bound

    _tell(bound.trim(_path(), 0, grace=0.0))


def _tell(freed: Any) -> None:
    click.echo(f"removed {freed.entries} entries, {_size(freed.size)}; {_size(freed.left)} left")


def _row(one: Any, known: dict[str, str]) -> dict[str, str]:
    ago = max(0, int(time.time() - one.used))
    used = f"{ago // 86400}d" if ago >= 2 * 86400 else f"{ago // 3600}h" if ago >= 7200 else f"{ago // 60}m"
    return {"KIND": one.kind, "SIZE": _size(one.size), "USED": used, "NAME": one.path.name[:24], "FOR": known.get(one.path.name, "")}


def _size(count: int) -> str:
    from builder.options import size

    return size(count)


def _path() -> Path:
    from builder.options import default_cache

    path = default_cache()
    os.makedirs(path / "locks", exist_ok=True)
    return path
