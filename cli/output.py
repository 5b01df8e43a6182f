"""How commands print: tables for people, JSON and YAML for scripts, progress on stderr, colour only on a terminal."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kfn.clock import utcnow

if TYPE_CHECKING:
    from kfn.api.meta import Condition

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "wide", "json", "yaml")
PATIENCE = 2.0  # seconds that something must last to be told where lines cannot be rewritten


def printable(text: str) -> str:
    """Words from outside (a file's name, what a registry, git or uv said) without what would make a terminal do something."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def warn(text: str) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {printable(text)}", err=True)


def coloured() -> bool | None:
    """click's `color`: never where NO_COLOR (no-color.org) or a terminal without escape sequences asks for none, else on a terminal."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def option(command: F) -> F:
    """Add -o; the command receives `output`."""
    return click.option("-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="Output format.")(command)


def objects(output: str, items: Sequence[Any], columns: Callable[[Any, bool], dict[str, str]], *, empty: str, single: bool = False) -> None:
    """Print API objects. `columns(item, wide)` gives a row by column name; `single` prints one object, not a list."""
    if output in ("json", "yaml"):
        from kfn.api.base import encode

        plain = [encode(item) for item in items]
        data(output, plain[0] if single else {"apiVersion": "v1", "kind": "List", "items": plain})
        return
    if not items:
        click.echo(empty, err=True)
        return
    table([columns(item, output == "wide") for item in items])


def data(output: str, value: Any) -> None:
    """Print plain data as JSON or YAML."""
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Sequence[dict[str, str]]) -> None:
    """Columns in the order in which rows first name them; what a row lacks stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    widths = [max(len(name), *(len(row.get(name, "")) for row in rows)) for name in names]
    click.echo("   ".join(name.ljust(w) for name, w in zip(names, widths, strict=True)).rstrip())
    for row in rows:
        cells = [(row.get(name, ""), width) for name, width in zip(names, widths, strict=True)]
        click.echo("   ".join(_coloured(text) + " " * (width - len(text)) for text, width in cells).rstrip())


def _coloured(text: str) -> str:
    colours = {"True": "green", "False": "red", "Unknown": "yellow"}
    return click.style(text, fg=colours[text]) if text in colours else text


def fields(pairs: Sequence[tuple[str, str]], indent: int = 0) -> None:
    """Print `Name:  value` lines, aligned; what is empty is left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0) + 3
    for name, value in shown:
        click.echo(" " * indent + f"{name}:".ljust(width) + value)


def conditions(items: "Sequence[Condition]") -> None:
    """Ready first; of a long message the part that tells something."""
    from cli import reasons

    click.echo("\nConditions:")
    told: set[str] = set()
    marks = {"True": click.style("✓", fg="green"), "False": click.style("✗", fg="red")}
    for c in sorted(items, key=lambda c: c.type != "Ready"):
        head, *rest = reasons.brief(c.message).splitlines() or [""]
        rest = [] if c.message in told else rest
        told.add(c.message)
        why = ": ".join(part for part in (c.reason, head) if part)
        click.echo(f"  {marks.get(c.status, click.style('…', fg='yellow'))} {c.type}" + (f"  {why}" if why else ""))
        for line in rest:
            click.echo(f"      {line}")


def age(timestamp: str) -> str:
    """`45s`, `12m`, `3h`, `8d`, as kubectl writes ages."""
    if not timestamp:
        return "?"
    seconds = max(0, int((utcnow() - datetime.fromisoformat(timestamp)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


class Progress:
    """One line a phase on stderr. On a terminal what is being done is a line that is rewritten in place; without one it is
    told only when it lasts, so that the log of a CI job has a line only for what somebody would wait for."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and coloured() is None  # what rewrites a line is an escape sequence as well
        self._shown = ""
        self._since = time.monotonic()

    def say(self, text: str) -> None:
        """Show what is being waited for."""
        if self._quiet or text == self._shown or not (self._live or time.monotonic() - self._since >= PATIENCE):
            return
        self._shown = text
        text = printable(text)
        if self._live:
            fits = text[: shutil.get_terminal_size().columns - 3]  # a line that wraps cannot be rewritten
            click.echo(f"\r\x1b[2K{click.style('…', fg='yellow')} {fits}", nl=False, err=True)
        else:
            click.echo(f"  {text}", err=True)

    def done(self, name: str, text: str, seconds: float | None = None) -> None:
        """A finished phase, with how long it took."""
        self.clear()
        self._since = time.monotonic()
        if not self._quiet:
            took = "" if seconds is None else click.style(f"  {duration(seconds)}", dim=True)
            click.echo(f"{click.style(name.ljust(8), bold=True)}{printable(text)}{took}", err=True)

    def clear(self) -> None:
        if self._live and self._shown:
            click.echo("\r\x1b[2K", nl=False, err=True)
        self._shown = ""


def duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
