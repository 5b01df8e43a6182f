"""kfn verify-bus: publish events to a platform of its own, break everything meanwhile, and say whether an acknowledged one is lost."""

from typing import TYPE_CHECKING, Any

import click

from cli import output
from cli.failures import CliError

if TYPE_CHECKING:
    from cli.verifybus.run import Report
    from cli.verifybus.verdict import Finding

SHOWN = 20  # ids in text; -o json has them all


@click.command("verify-bus")
@click.option(
    "--seconds", type=click.FloatRange(min=5), default=60, show_default=True, help="How long events are published and things break."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the schedule of faults (default: a new one).")
@click.option("--writers", type=click.IntRange(1, 64), default=4, show_default=True, help="Publishers at once.")
@click.option("--rate", type=click.FloatRange(min=1), default=100, show_default=True, help="Events a second, of all publishers together.")
@click.option("--faults", help="Only these, with commas between; `none` for none (default: all).")
@click.option(
    "--patience",
    type=click.FloatRange(min=35),
    default=120,
    show_default=True,
    help="Seconds without any progress until events count as lost.",
)
@click.option("-o", "--output", "form", type=click.Choice(("text", "json")), default="text", help="Output format.")
def command(seconds: float, seed: int | None, writers: int, rate: float, faults: str | None, patience: float, form: str) -> None:
    """Prove that the event bus loses nothing, on a platform of its own in a temporary folder.

    Writers publish counters and repeat what is not acknowledged, while nats-server, the functions and the platform itself are killed and
    stopped, connections are cut, functions go to zero and are deployed anew. Then faults end, everything drains, and what was
    acknowledged is compared with what arrived. Exit code 0: nothing is lost; 1: something is, and the folder is kept.

    \b
    kfn verify-bus
    kfn verify-bus --seconds 600 --seed 7 --faults kill-nats,stop-nats,cut
    """
    import secrets
    import shutil
    import tempfile
    from pathlib import Path

    from cli.session import run
    from cli.verifybus.run import Options, verify
    from cli.verifybus.schedule import KINDS

    kinds = tuple(KINDS) if faults is None else () if faults == "none" else tuple(dict.fromkeys(faults.split(",")))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise CliError(f"--faults: there is no {unknown[0]!r}. There are: {', '.join(KINDS)}", 2)
    options = Options(seconds, secrets.randbelow(1_000_000) if seed is None else seed, writers, rate, kinds, patience)
    root = Path(tempfile.mkdtemp(prefix="kfn-verify-bus-"))
    click.echo(f"seed {options.seed}, folder {root}", err=True)
    ok = False
    try:
        report = run(verify, options, root, lambda line: click.echo(line, err=True))
        ok = report.ok
    finally:
        if ok:
            shutil.rmtree(root, ignore_errors=True)
        else:
            click.echo(f"kept for looking into it: {root}", err=True)
    again = f"kfn verify-bus --seconds {seconds:g} --seed {options.seed} --writers {writers} --rate {rate:g}"
    again += f" --faults {faults}" if faults is not None else ""
    if form == "json":
        output.data("json", {**_plain(report), "seed": options.seed, "again": again})
    else:
        _print(report, again)
    click.get_current_context().exit(0 if ok else 1)


def _plain(report: "Report") -> dict[str, Any]:
    verdict = report.verdict
    return {
        "ok": report.ok,
        "published": verdict.published,
        "acknowledged": verdict.acknowledged,
        "attempts": report.attempts,
        "lost": verdict.lost,
        "triggers": {one.name: _finding(one) for one in verdict.findings},
        "notStored": list(verdict.unstored),
        "storedTwice": list(verdict.twice),
        "order": {
            "keys": verdict.order.keys,
            "repeats": verdict.order.repeats,
            "swapped": list(verdict.order.swapped),
            "stale": list(verdict.order.stale),
        },
        "stillWaiting": report.left,
        "drainedSeconds": round(report.drained, 1),
        "platformStarts": report.starts,
        "schedule": [str(fault) for fault in report.schedule],
        "done": report.done,
    }


def _finding(one: "Finding") -> dict[str, Any]:
    return {
        "wanted": one.wanted,
        "delivered": one.delivered,
        "deadLetters": one.dead,
        "excused": one.excused,
        "duplicates": one.duplicates,
        "givenUp": one.given_up,
        "deliveredAndDead": one.both,
        "missing": {kind: [str(id) for id in ids] for kind, ids in one.missing.items()},
        "neverPublished": [str(id) for id in one.phantoms],
        "shouldHaveFailed": [str(id) for id in one.spared],
    }


def _print(report: "Report", again: str) -> None:
    verdict = report.verdict
    click.echo(f"schedule: {'; '.join(map(str, report.schedule)) or 'no faults'}")
    click.echo(
        f"{verdict.acknowledged} of {verdict.published} events acknowledged in {report.attempts} attempts; "
        f"the platform was started {report.starts} times; drained in {report.drained:.1f} s"
    )
    output.table([_row(one) for one in verdict.findings])
    for one in verdict.findings:
        for kind, ids in [*one.missing.items(), ("never published", one.phantoms), ("delivered though it should fail", one.spared)]:
            _ids(f"{one.name}, {kind}", [str(id) for id in ids])
    _ids("acknowledged, but not in the stream", verdict.unstored)
    _ids("in the stream twice within the dedup window", verdict.twice)
    click.echo(f"order: {verdict.order.keys} keys, {verdict.order.repeats} repeated attempts, {'kept' if verdict.order.ok else 'BROKEN'}")
    _ids("out of order", verdict.order.swapped)
    _ids("again after a later one", verdict.order.stale)
    for name, count in report.left.items():
        click.echo(f"{name}: {count} events still wait")
    click.echo("nothing is lost" if report.ok else f"LOST: {verdict.lost} deliveries" if verdict.lost else "NOT RIGHT, see above")
    click.echo(f"again: {again}")


def _row(one: "Finding") -> dict[str, str]:
    lost = ", ".join(f"{len(ids)} {kind}" for kind, ids in one.missing.items())
    return {
        "TRIGGER": one.name, "ACKNOWLEDGED": str(one.wanted), "DELIVERED": str(one.delivered), "DEAD LETTERS": str(one.dead),
        "LOST": lost or "0", "DUPLICATES": str(one.duplicates), "GIVEN UP": str(one.given_up),
    }  # fmt: skip


def _ids(what: str, ids: "list[str] | tuple[str, ...]") -> None:
    if ids:
        click.echo(f"{what}: {' '.join(ids[:SHOWN])}{f' and {len(ids) - SHOWN} more' if len(ids) > SHOWN else ''}")
