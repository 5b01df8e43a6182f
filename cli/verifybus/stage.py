"""The objects of the run: two functions, a Broker, and five Triggers on it.

`always` takes every event; `asks` answers each with an event, which `answers` takes; `fails` fails for marked events, so that these
end at its dead-letter sink; `ordered` asks for the events of one key in order. What has no such sink ends in the Broker's own
dead-letter stream.
"""

from pathlib import Path

from cli.failures import CliError
from cli.verifybus import sink
from cli.verifybus.platform import Platform
from cli.verifybus.sink import File, Sink
from cli.verifybus.writers import TYPE
from cli.waiting import until_ready
from kfn.api import eventing, kinds, names, serving
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta

NAMESPACE, BROKER = "default", "verify"
FUNCTIONS = ("always", "asks")
TRIGGERS = (*FUNCTIONS, "answers", "fails", "ordered")
READY = 120.0  # seconds
# A pause of 0.1 s before the first retry, 0.2 before the second, ...: three minutes in all, never more than 6 s at once.
PATIENT = DeliverySpec(retry=60, backoff_policy="linear", backoff_delay="PT0.1S", timeout="PT20S")


async def deploy(platform: Platform, root: Path) -> tuple[dict[str, Path], dict[str, File]]:
    """The functions' sources, and the files that they append to."""
    folders = {name: sink.write_function(root / "functions" / name, name) for name in FUNCTIONS}
    files = {name: File(root / f"{name}.seen") for name in FUNCTIONS}
    for name in FUNCTIONS:
        await platform.kfn("deploy", str(folders[name]), *environment(name, files[name]))
    return folders, files


def environment(name: str, file: File) -> tuple[str, ...]:
    """What a deploy of the function gives it."""
    return ("-e", f"OUT={file.path}", *(("-e", "REPLIES=yes") if name == "asks" else ()))


async def subscribe(platform: Platform, to: Sink) -> str:
    """Make Broker and Triggers, wait until they are ready; gives the Broker's address."""
    async with platform.client() as client:
        broker = eventing.Broker(metadata=ObjectMeta(name=BROKER), spec=eventing.BrokerSpec(delivery=PATIENT))
        await client.create(kinds.BROKER, broker, NAMESPACE)
        for trigger in _triggers(to):
            await client.create(kinds.TRIGGER, trigger, NAMESPACE)
        made = await until_ready(client, kinds.BROKER, BROKER, NAMESPACE, timeout=READY)
        for name in TRIGGERS:
            await until_ready(client, kinds.TRIGGER, name, NAMESPACE, timeout=READY)
    if made.status.address is None:
        raise CliError("the broker has no address")
    return made.status.address.url


async def uids(platform: Platform) -> dict[str, str]:
    """Trigger -> uid."""
    async with platform.client() as client:
        return {name: (await client.get(kinds.TRIGGER, name, NAMESPACE)).metadata.uid for name in TRIGGERS}


def _triggers(to: Sink) -> list[eventing.Trigger]:
    functions = {name: Destination(ref=KReference(api_version=serving.API_VERSION, kind="Service", name=name)) for name in FUNCTIONS}
    dead = DeliverySpec(
        retry=2, backoff_policy="linear", backoff_delay="PT0.1S", timeout="PT20S", dead_letter_sink=Destination(uri=to.url(sink.DEAD))
    )
    return [
        *(_trigger(name, TYPE, subscriber) for name, subscriber in functions.items()),
        _trigger("answers", "verify.answer", Destination(uri=to.url(sink.ANSWERS))),
        _trigger("fails", TYPE, Destination(uri=to.url(sink.FAILS)), dead),
        _trigger("ordered", TYPE, Destination(uri=to.url(sink.ORDERED)), annotations={names.ORDERING: "partitionkey"}),
    ]


def _trigger(
    name: str, type: str, subscriber: Destination, delivery: DeliverySpec | None = None, annotations: dict[str, str] | None = None
) -> eventing.Trigger:
    spec = eventing.TriggerSpec(
        broker=BROKER, filter=eventing.TriggerFilter(attributes={"type": type}), subscriber=subscriber, delivery=delivery
    )
    return eventing.Trigger(metadata=ObjectMeta(name=name, annotations=annotations or {}), spec=spec)
