"""kfn pipeline run, runs, show, retry, cancel: what a Pipeline's doors tell of its runs, and do with them."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli import complete, output, session
from cli.failures import CliError

if TYPE_CHECKING:
    from cli.busdoor import Ask

RUNNING, SUCCEEDED, FAILED, CANCELLED = "running", "succeeded", "failed", "cancelled"
STATUSES = (RUNNING, SUCCEEDED, FAILED, CANCELLED)
MARKS = {SUCCEEDED: "✓", FAILED: "✗", RUNNING: "…", CANCELLED: "✗"}
LOOK_FIRST, LOOK_LAST = 0.05, 1.0  # seconds between two looks at a run, at first and at last
PAGE = 100
ERROR_SHOWN = 300  # characters of a step's error in the table

NAME = click.argument("name", shell_complete=complete.of("PIPELINE"))
RUN = click.argument("run_", metavar="RUN")
WAIT = click.option("--wait/--no-wait", default=True, help="Wait for the end of the run.")
TIMEOUT = click.option("--timeout", default=600.0, type=click.FloatRange(min=0), show_default=True, help="Wait so many seconds at most.")


@click.command("run")
@NAME
@click.option("--data", "-d", help="JSON that starts the run; @FILE reads a file, - standard input.")
@WAIT
@TIMEOUT
@session.options
def start(session: session.Session, name: str, data: str | None, wait: bool, timeout: float) -> None:
    """Start a run and print what it answers; with --no-wait, its id.

    \b
    kfn pipeline run invoices -d '{"tenant": "acme"}'
    kfn pipeline run invoices -d @scan.json --no-wait
    """
    from cli.events import body
    from cli.session import run

    content = body(data, "--data")
    try:
        given = None if content is None else json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CliError(f"--data is not JSON, or nested too deeply: {error}", 2) from error

    async def work() -> Any:
        from cli.busdoor import open_door

        async with open_door(session, f"pipeline:{name}", {"Prefer": "respond-async"}) as ask:
            id = (await ask("POST", "", {}, given))["run"]
            if not wait:
                return id
            click.echo(f"run {id}", err=True)
            return await _end(ask, name, id, timeout)

    _print_end(name, run(work))


@click.command("runs")
@NAME
@click.option("--status", type=click.Choice(STATUSES), help="Only those that stand so.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@output.option
@session.options
def runs(session: session.Session, name: str, status: str | None, limit: int, output: str) -> None:
    """List a pipeline's runs, the newest first."""
    from cli import output as out
    from cli.session import run

    async def work() -> tuple[list[Any], bool]:
        from cli.busdoor import open_door

        found: list[Any] = []
        after = ""
        async with open_door(session, f"pipeline:{name}") as ask:
            while len(found) < limit:
                query = {"status": status or "", "limit": str(min(PAGE, limit - len(found))), "after": after}
                page = await ask("GET", "runs", {word: value for word, value in query.items() if value})
                found += page["runs"]
                after = page["after"]
                if not after:
                    break
        return found, bool(after)

    found, more = run(work)
    if output in ("json", "yaml"):
        out.data(output, found)
    elif found:
        out.table([_row(one) for one in found])
    else:
        click.echo(f"No runs of pipeline {name}{f' that are {status}' if status else ''}.", err=True)
    if more:
        click.echo(f"There are more than {limit}; --limit shows more.", err=True)


@click.command("show")
@NAME
@RUN
@output.option
@session.options
def show(session: session.Session, name: str, run_: str, output: str) -> None:
    """Show a run step by step: how each stands, its attempts, its time, its error."""
    from cli import output as out
    from cli.session import run

    found = run(_ask, session, name, "GET", f"runs/{_id(run_)}", {})
    if output in ("json", "yaml"):
        out.data(output, found)
    else:
        _picture(found)


@click.command("retry")
@NAME
@RUN
@click.option("--from", "from_", metavar="STEP", required=True, help="This step and all that follows from it are done again.")
@click.option("--wait/--no-wait", default=False, help="Wait for the end of the run.")
@TIMEOUT
@session.options
def retry(session: session.Session, name: str, run_: str, from_: str, wait: bool, timeout: float) -> None:
    """Do a run again from a step on; what the steps before it answered is kept.

    \b
    kfn pipeline retry invoices h4f1c --from ocr --wait
    """
    from cli.session import run

    id = _id(run_)

    async def work() -> Any:
        from cli.busdoor import open_door

        async with open_door(session, f"pipeline:{name}") as ask:
            await ask("POST", f"runs/{id}/retry", {"from": from_})
            return await _end(ask, name, id, timeout) if wait else id

    ended = run(work)
    if wait:
        _print_end(name, ended)
    else:
        click.echo(f"run {id} goes on from {from_}; `kfn pipeline show {name} {id}` shows it", err=True)


@click.command("cancel")
@NAME
@RUN
@session.options
def cancel(session: session.Session, name: str, run_: str) -> None:
    """End a run: no step begins any more. What has been asked of a function already is not taken back."""
    from cli.session import run

    found = run(_ask, session, name, "DELETE", f"runs/{_id(run_)}", {})
    click.echo(f"run {run_} {'is' if found['status'] == CANCELLED else 'was over:'} {found['status']}", err=True)


async def _ask(session: session.Session, name: str, method: str, path: str, query: dict[str, str]) -> Any:
    from cli.busdoor import open_door

    async with open_door(session, f"pipeline:{name}") as ask:
        return await ask(method, path, query)


def _id(run: str) -> str:
    if not run.isalnum() or not run.isascii():
        raise CliError(f"{run!r} is not the id of a run; `kfn pipeline runs NAME` lists them", 2)
    return run


async def _end(ask: "Ask", name: str, id: str, timeout: float) -> Any:
    """The run, once it is over."""
    import anyio

    pause = LOOK_FIRST
    try:
        with anyio.fail_after(timeout):
            while (found := await ask("GET", f"runs/{id}", {}))["status"] == RUNNING:
                await anyio.sleep(pause)
                pause = min(LOOK_LAST, pause * 1.5)
            return found
    except TimeoutError:
        raise CliError(f"run {id} is not over after {timeout:g} s, and goes on; `kfn pipeline show {name} {id}` shows it", 124) from None


def _print_end(name: str, ended: Any) -> None:
    """What a run that is over answered, for scripts; or the id of one that nobody waits for."""
    if isinstance(ended, str):
        click.echo(ended)
        return
    if ended["status"] != SUCCEEDED:
        at = f" at step {ended['step']}" if ended.get("step") else ""
        why = f": {output.printable(str(ended['error']))}" if ended.get("error") else ""
        raise CliError(f"run {ended['id']} {ended['status']}{at}{why}. `kfn pipeline show {name} {ended['id']}` shows it", 1)
    if "output" not in ended:
        raise CliError(f"run {ended['id']} succeeded, but {ended.get('error') or 'it has no output'}", 1)
    click.echo(json.dumps(ended["output"], indent=2, ensure_ascii=False))


def _row(run: Any) -> dict[str, str]:
    return {
        "RUN": run["id"],
        "STATUS": run["status"],
        "AGE": output.age(run["started"]),
        "TIME": _took(run),
        "GENERATION": str(run["generation"]),
    }


def _picture(run: Any) -> None:
    from cli import output as out

    event = run.get("event") or {}
    out.fields(
        [
            ("Run", run["id"]),
            ("Status", run["status"]),
            ("Started", f"{out.age(run['started'])} ago" if run["started"] else ""),
            ("Time", _took(run)),
            ("Generation", str(run["generation"])),
            ("Event", " ".join(out.printable(str(event.get(word, ""))) for word in ("type", "source", "id")) if event else ""),
            ("Error", out.printable(str(run.get("error", "")))),
        ]
    )
    click.echo()
    out.table([_step(name, step) for name, step in run["steps"].items()])
    if "output" in run:
        text = json.dumps(run["output"], indent=2, ensure_ascii=False)
        click.echo(f"\nOutput ({len(text.encode())} bytes):")
        click.echo(text if len(text) < 4000 else f"{text[:4000]}\n... -o json shows it all")


def _step(name: str, step: Any) -> dict[str, str]:
    items = step.get("items")
    failed = f", {items['failed']} failed" if items and items["failed"] else ""
    error = output.printable(" ".join(str(step["error"]).split()))
    return {
        "  STEP": f"{MARKS.get(step['status'], '·')} {name}",
        "STATUS": step["status"],
        "ATTEMPTS": str(step["attempts"] or ""),
        "TIME": _took(step),
        "ITEMS": f"{items['done']}/{items['total']}{failed}" if items else "",
        "VERSION": step.get("version") or "",
        "ERROR": error if len(error) <= ERROR_SHOWN else f"{error[:ERROR_SHOWN]}...",
    }


def _took(what: Any) -> str:
    """How long it took, or has taken so far."""
    from kfn.clock import utcnow

    if not what["started"]:
        return ""
    end = datetime.fromisoformat(what["ended"]) if what["ended"] else utcnow()
    seconds = max(0.0, (end - datetime.fromisoformat(what["started"])).total_seconds())
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s" if seconds < 120 else f"{seconds / 60:.0f}m"
