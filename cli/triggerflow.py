"""kfn trigger pause, resume and replay: when a trigger's events flow."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from cli import complete, objects, session
from cli.failures import CliError
from kfn.api import eventing, kinds, names
from kfn.clock import timestamp, utcnow

if TYPE_CHECKING:
    from kfn.kube.client import Client

_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SECONDS = 30.0  # until the platform has done what the annotation says


@click.command("pause")
@click.argument("name", shell_complete=complete.triggers)
@click.option("--for", "how_long", metavar="TIME", help="Resume by itself after that long (90s, 10m, 2h, 1d).")
@session.options
def pause(session: session.Session, name: str, how_long: str | None) -> None:
    """Stop delivering a trigger's events; they wait, and none is lost.

    What is being delivered is finished. The pause is an annotation on the trigger, so it outlives restarts and can be written
    in a manifest. An event waits as long as the broker keeps events, a day.

    \b
    kfn trigger pause price
    kfn trigger pause price --for 10m
    """
    value = timestamp(utcnow() + _duration(how_long)) if how_long else "true"
    message = _annotated(session, name, value)
    click.echo(f"trigger {name} paused: {message}", err=True)


@click.command("resume")
@click.argument("name", shell_complete=complete.triggers)
@session.options
def resume(session: session.Session, name: str) -> None:
    """Deliver a paused trigger's events again, first those that waited."""
    _annotated(session, name, None)
    click.echo(f"trigger {name} resumed", err=True)


@click.command("replay")
@click.argument("name", shell_complete=complete.triggers)
@click.option("--since", metavar="AGO", default="", help="From that long ago (10m, 2h), or from a time.")
@click.option("--from-sequence", "sequence", type=click.IntRange(min=1), help="From this event of the broker's stream.")
@session.options
def replay(session: session.Session, name: str, since: str, sequence: int | None) -> None:
    """Deliver events again to a trigger's subscriber, from a time or a sequence on, in addition to new ones.

    What was settled since then is delivered a second time: the handler sees the same source and id. Other triggers see nothing. An
    event that is not settled yet is never passed over, so the replay may begin before what was asked for. Only events that the broker
    still keeps can be replayed.

    \b
    kfn trigger replay price --since 2h
    kfn trigger replay price --from-sequence 4711
    """
    from cli.session import run

    if bool(since) == bool(sequence):
        raise CliError("say from where: --since or --from-sequence", 2)
    query = {"since": since} if since else {"from": str(sequence)}
    answer = run(_rewound, session, name, query)
    events = answer["events"]
    click.echo(f"{events} event{'s' * (events != 1)} from sequence {answer['from']} on are delivered again")
    if answer["from"] < answer["asked"]:
        click.echo(f"It begins before {answer['asked']}, because an event from then is not settled yet.", err=True)


async def _rewound(session: session.Session, name: str, query: dict[str, str]) -> Any:
    from cli.busdoor import open_door

    async with session.client() as client:
        trigger = await objects.get(client, kinds.TRIGGER, name, session.namespace, "trigger")
    broker = trigger.spec.broker or (trigger.spec.broker_ref.name if trigger.spec.broker_ref else "") or "default"
    async with open_door(session, broker) as ask:
        return await ask("POST", f"triggers/{name}/replay", query)


def _annotated(session: session.Session, name: str, value: str | None) -> str:
    """Write the annotation, and wait until the status follows it. Gives what the condition says."""
    import anyio

    from cli.session import run

    async def work() -> str:
        async with session.client() as client:
            trigger = await objects.get(client, kinds.TRIGGER, name, session.namespace, "trigger")
            patch = {"metadata": {"annotations": {names.PAUSED: value}}}
            await client.patch(kinds.TRIGGER, trigger.metadata.name, session.namespace, patch)
            with anyio.move_on_after(SECONDS):
                return await _until(client, name, session.namespace, value)
        raise CliError(f"the annotation is written, but the platform has not followed it within {SECONDS:g} s; is it running?", 124)

    return run(work)


async def _until(client: "Client", name: str, namespace: str, value: str | None) -> str:
    import anyio

    while True:
        trigger: eventing.Trigger = await client.get(kinds.TRIGGER, name, namespace)
        found = objects.condition(trigger.status.conditions, "Paused")
        if (found is None) == (value is None) and (found is None or value in ("true", None) or str(value) in found.message):
            return found.message if found else ""
        await anyio.sleep(0.1)


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found or not int(found[1]):
        raise CliError(f"--for {text!r}: write a time such as 90s, 10m or 2h", 2)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
