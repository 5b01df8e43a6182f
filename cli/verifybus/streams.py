"""Looks into JetStream itself at the end: what the Broker's streams hold, and whether the Triggers have anything left to do."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from nats.aio.msg import Msg

from cli.failures import CliError
from cli.verifybus.platform import Platform, nats_secret
from cli.verifybus.stage import BROKER, NAMESPACE
from cli.verifybus.verdict import Id, parse
from eventing import subjects
from eventing.bus import Bus
from eventing.settings import Settings

EVENTS, DEAD = subjects.stream(NAMESPACE, BROKER), subjects.dead_stream(NAMESPACE, BROKER)
PATIENCE = 60.0  # seconds to read a stream
WINDOW = Settings().duplicate_window


@dataclass
class Stored:
    """`events` and `replies`: when each was stored, in seconds. `whole` says that nothing was removed to make room."""

    events: dict[Id, list[float]] = field(default_factory=lambda: defaultdict(list))
    replies: dict[Id, list[float]] = field(default_factory=lambda: defaultdict(list))
    whole: bool = False


@asynccontextmanager
async def connected(platform: Platform) -> AsyncIterator[Bus]:
    bus = Bus(Settings(nats_url=str(platform.facts.get("nats", "")), nats_keys=nats_secret(platform.data)))
    with anyio.fail_after(PATIENCE):
        connection = bus.connected()
        await connection.__aenter__()
    try:
        yield bus
    finally:
        await connection.__aexit__(None, None, None)


async def lags(bus: Bus, uids: dict[str, str]) -> dict[str, int]:
    """Events of each Trigger that wait or are not acknowledged; only those that have any."""
    found = {}
    for name, uid in uids.items():
        info = await bus.consumer_info(EVENTS, subjects.consumer(uid))
        if left := int(info["num_pending"]) + int(info["num_ack_pending"]):
            found[name] = left
    return found


async def dead_letters(bus: Bus) -> dict[str, Counter[Id]]:
    """By Trigger, what the Broker's dead-letter stream holds."""
    found: dict[str, Counter[Id]] = defaultdict(Counter)
    messages, _ = await _read(bus, DEAD)
    for message in messages:
        if (id := parse((message.headers or {}).get("ce-id", ""))) is not None:
            found[message.subject.split(".")[4]][id] += 1
    return found


async def stored(bus: Bus) -> Stored:
    messages, first = await _read(bus, EVENTS)
    found = Stored(whole=first <= 1)
    for message in messages:
        headers = message.headers or {}
        if (id := parse(headers.get("ce-id", ""))) is not None:
            of = found.events if headers.get("ce-source", "") == f"/verify/w{id.writer}" else found.replies
            of[id].append(message.metadata.timestamp.timestamp())
    return found


async def _read(bus: Bus, stream: str) -> tuple[list[Msg], int]:
    """Every message of a stream without its data, and the first sequence that it has."""
    state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    messages: list[Msg] = []
    complete = anyio.Event()

    async def take(message: Msg) -> None:
        messages.append(message)
        if len(messages) >= state["messages"]:
            complete.set()

    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox, cb=take)
    try:
        config = {
            "deliver_subject": inbox, "deliver_policy": "all", "ack_policy": "none", "headers_only": True, "mem_storage": True,
            "num_replicas": 1, "replay_policy": "instant", "inactive_threshold": 30_000_000_000,
        }  # fmt: skip
        await bus.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        with anyio.move_on_after(PATIENCE):
            if state["messages"]:
                await complete.wait()
            return messages, int(state["first_seq"])
    finally:
        await subscription.unsubscribe()
    raise CliError(f"stream {stream} could not be read: {len(messages)} of {state['messages']} messages came in {PATIENCE:g} s")
