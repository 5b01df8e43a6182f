"""Run something again whenever a source folder changes. Looks at names, sizes and times; reads no content.

The folder is looked at, not subscribed to: that works on every file system, mounted ones too, and costs a tenth of one
processor at most, for the pause grows with the time that a look takes.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from builder.sources.ignore import Rules, Verdict
from cli import failures, output

PAUSE = 0.3  # seconds between looks, at least
SHARE = 10  # pauses are at least so many times as long as a look takes
_Look = frozenset[tuple[str, int, int]]


def watched(path: Path, work: Callable[[], None]) -> None:
    """Call `work` now and after every change, until interrupted. Its failures are told and waited out."""
    while True:
        before = _look(path)
        try:
            work()
        except Exception as error:  # whatever it is, the next save may mend it
            click.echo(f"{click.style('error:', fg='red', bold=True)} {output.printable(failures.explain(error)[0])}", err=True)
        click.echo(click.style(f"watching {path}; Ctrl-C ends it", dim=True), err=True)
        while before == (now := _settled(path)):
            pass
        click.echo(click.style(f"changed: {', '.join(_names(before, now))}", dim=True), err=True)


def _settled(path: Path) -> _Look:
    """What is there once two looks agree: an editor or a checkout writes several files."""
    last, now = None, _look(path)
    while last != now:
        begin = time.monotonic()
        last, now = now, _look(path)
        threading.Event().wait(max(PAUSE, SHARE * (time.monotonic() - begin)))
    return now


def _look(path: Path) -> _Look:
    own = Rules()
    found: list[tuple[str, int, int]] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            entries = list((path / prefix).iterdir())
        except OSError:
            continue  # it went away meanwhile: the next look shows it
        for entry in entries:
            name = prefix + entry.name
            try:
                folder, info = entry.is_dir() and not entry.is_symlink(), entry.lstat()
            except OSError:
                continue
            if name not in ("func.yaml", ".kfnignore", ".funcignore", ".gitignore") and own.judge(name, entry.name, folder) not in (
                Verdict.IN,
                Verdict.ASKED,
            ):
                continue
            if folder:
                pending.append(f"{name}/")
            else:
                found.append((name, info.st_size, info.st_mtime_ns))
    return frozenset(found)


def _names(before: _Look, now: _Look) -> list[str]:
    return sorted({name for name, _, _ in before ^ now})[:5]
