"""kfn pipeline: functions put together. This file has the objects; their runs are `cli.pipelineruns`'."""

from typing import TYPE_CHECKING, Any

import click

from cli import complete, objects, output, pipelineruns, session
from cli.failures import CliError

if TYPE_CHECKING:
    from kfn.api.pipeline import Pipeline, PipelineStep
    from kfn.kube.client import Client

READY = 60.0  # seconds


@click.group("pipeline")
def command() -> None:
    """Apply, list, describe, delete, run, watch, retry or cancel pipelines."""


@command.command("apply")
@click.option("-f", "--file", "file", required=True, type=click.Path(dir_okay=False), help="A file with Pipelines; - is standard input.")
@click.option("--wait/--no-wait", default=True, help="Wait until it takes runs.")
@session.options
def apply(session: session.Session, file: str, wait: bool) -> None:
    """Check pipelines and create or change them; print their addresses. Runs that have begun go on as they were.

    \b
    kfn pipeline apply -f invoices.yaml
    """
    from cli import pipelinefile
    from cli.session import run
    from cli.waiting import until_ready
    from kfn.api import kinds

    given = pipelinefile.read(file, session.namespace)

    async def work() -> None:
        async with session.client() as client:
            for one in [await _put(client, one) for one in given]:
                meta, ready = one.metadata, one
                if wait:
                    ready = await until_ready(
                        client, kinds.PIPELINE, meta.name, meta.namespace, timeout=READY, generation=meta.generation,
                        say=lambda why: click.echo(f"  {why}", err=True),
                    )  # fmt: skip
                if ready.status.address:
                    click.echo(ready.status.address.url)

    run(work)


async def _put(client: "Client", given: Any) -> Any:
    """Create it, or give the one that is there the new spec; labels and annotations of the file are added."""
    from kfn.api import kinds
    from kfn.api.base import encode
    from kfn.kube import errors

    meta = given["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    for _ in range(5):
        try:
            there = await client.get(kinds.PIPELINE, name, namespace)
        except errors.NotFound:
            await objects.require_namespace(client, namespace)
            made = await client.create(kinds.PIPELINE, given, namespace)
            click.echo(f"pipeline {name} created", err=True)
            return made
        old = encode(there.metadata)
        notes = {word: {**(old.get(word) or {}), **(meta.get(word) or {})} for word in ("labels", "annotations")}
        try:
            made = await client.update(kinds.PIPELINE, {**given, "metadata": {**old, **notes}})
        except errors.Conflict:
            continue
        same = made.metadata.generation == there.metadata.generation
        click.echo(f"pipeline {name} {'unchanged' if same else 'changed'}", err=True)
        return made
    raise CliError(f"pipeline {name} is being changed by somebody else all the time; try again", 75)


@command.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List pipelines."""
    from cli import output as out
    from cli.session import run
    from kfn.api import kinds

    async def work() -> "list[Pipeline]":
        async with session.client() as client:
            return await objects.listed(client, kinds.PIPELINE, session.namespace)

    out.objects(output, run(work), row, empty=f"No pipelines in namespace {session.namespace}. `kfn pipeline apply -f FILE` makes one.")


@command.command("describe")
@click.argument("name", shell_complete=complete.of("PIPELINE"))
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show a pipeline: what starts it, its steps and what each needs, its conditions."""
    from cli import output as out
    from cli.session import run
    from kfn.api import kinds

    async def work() -> "Pipeline":
        async with session.client() as client:
            return await objects.get(client, kinds.PIPELINE, name, session.namespace, "pipeline")

    found = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [found], row, empty="", single=True)
        return
    spec, status = found.spec, found.status
    out.fields(
        [
            ("Name", found.metadata.name),
            ("Namespace", found.metadata.namespace),
            ("Address", status.address.url if status.address else ""),
            ("On", _start(found)),
            ("Key", spec.key),
            ("Timeout", spec.timeout or "10m"),
            ("Generation", str(found.metadata.generation)),
        ]
    )
    out.conditions(status.conditions)
    click.echo("\nSteps:")
    out.table([_line(name, step, needs) for name, step, needs in _steps(found)])


@command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.of("PIPELINE"))
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete pipelines, with the state of their runs."""
    from cli.session import run
    from kfn.api import kinds

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.PIPELINE, names, session.namespace, "pipeline")

    run(work)


def row(pipeline: "Pipeline", wide: bool) -> dict[str, str]:
    meta, status = pipeline.metadata, pipeline.status
    return {
        "NAME": meta.name,
        "ON": _start(pipeline),
        "STEPS": str(len(pipeline.spec.steps)),
        "URL": status.address.url if status.address else "",
        "AGE": output.age(meta.creation_timestamp),
        "READY": objects.ready(status.conditions),
        "REASON": objects.reason(status.conditions),
    } | ({"GENERATION": str(meta.generation)} if wide else {})


def _start(pipeline: "Pipeline") -> str:
    on, http = pipeline.spec.on, pipeline.spec.http
    ways = [f"{on.broker}: {on.type}"] if on else []
    return ", ".join([*ways, *(["HTTP"] if http or (on is None and http is None) else [])])


def _steps(pipeline: "Pipeline") -> "list[tuple[str, PipelineStep, str]]":
    """Each with what it needs, in the order in which they can run; as they are written where another kfn has let through what we do not
    understand."""
    from kfn import pipeline as meaning
    from kfn.api.errors import Invalid

    try:
        plan = meaning.read(pipeline)
    except Invalid:
        return [(name, step, "") for name, step in pipeline.spec.steps.items()]
    return [
        (step.name, pipeline.spec.steps[step.name], ", ".join(f"{need.name}{'?' if need.optional else ''}" for need in step.needs))
        for step in plan.steps
    ]


def _line(name: str, step: "PipelineStep", needs: str) -> dict[str, str]:
    target = step.uri or (f"{step.ref.kind}/{step.ref.name}" if step.ref else "")
    return {
        "  NAME": f"  {name}",
        "DOES": f"emit {step.emit}" if step.emit else step.fn or target,
        "NEEDS": needs,
        "MAP": step.map,
        "WHEN": step.when,
    }


for one in (pipelineruns.start, pipelineruns.runs, pipelineruns.show, pipelineruns.retry, pipelineruns.cancel):
    command.add_command(one)
