"""A Trigger's durable consumer: made so that it starts now and can be set back later, kept as wanted, paused, set back.

A server sets a consumer back only if it was made to deliver all. So one is made paused, set to the end of its stream, and let go: whatever
dies between these, it is found paused with `MAKING`, and is set to the end again before anybody gets anything.
"""

import logging
from typing import Any

from eventing import errors, stored, streams, subjects
from eventing.bus import Bus
from eventing.stored import moment

log = logging.getLogger(__name__)

MAKING = "2100-01-01T00:00:00Z"


async def ensure(bus: Bus, stream: str, wanted: streams.Config, paused: str = "", born: str = "") -> None:
    """There, as wanted, and paused until that time, or not. Where it has got to stays. A new one begins at the end, but at the beginning of
    a stream that is younger than the Trigger, which was `born` then: it was lost and made anew. Raises `BusError`."""
    name = wanted["name"]
    try:
        found = await bus.consumer_info(stream, name)
    except errors.NoStream:
        found = await apply(bus, stream, {**wanted, "pause_until": MAKING})
        log.info("created consumer %s of %s", name, stream)
    now = found["config"]
    if now.get("pause_until") == MAKING:
        told = await bus.api(f"STREAM.INFO.{stream}")
        younger = bool(born) and moment(told["created"]).replace(microsecond=0) > moment(born)
        await _reset(bus, stream, name, 1 if younger else told["state"]["last_seq"] + 1)
        await _pause(bus, stream, name, paused)
        return
    differing = streams.changes({k: v for k, v in wanted.items() if k != "deliver_policy"}, now)
    if differing:
        kept = {k: v for k, v in now.items() if k not in ("filter_subject", "filter_subjects")}
        await apply(bus, stream, {**kept, **{k: v for k, v in wanted.items() if k != "deliver_policy"}})
        log.info("changed consumer %s of %s: %s", name, stream, ", ".join(sorted(differing)))
        if now.get("max_deliver", -1) > 0 and now.get("deliver_policy") == "all":
            # What was tried more often than a limit set by hand is dropped without a word, but the floor has stayed before it.
            await _reset(bus, stream, name, found["ack_floor"]["stream_seq"] + 1)
    if (moment(now["pause_until"]) if found.get("paused") else None) != (moment(paused) if paused else None):
        await _pause(bus, stream, name, paused)


async def rewind(bus: Bus, namespace: str, broker: str, uid: str, *, since: str = "", sequence: int = 0) -> dict[str, Any]:
    """Deliver again from a time or a sequence on, but from the first event that is not settled at the latest, so that none is passed over.
    Raises `BusError`, and ValueError for a sequence that is not there yet."""
    stream, name = subjects.stream(namespace, broker), subjects.consumer(uid)
    found = await bus.consumer_info(stream, name)
    if found["config"].get("deliver_policy") != "all":
        raise errors.Refused(
            "the trigger's consumer was made by an older kfn and cannot be set back; delete the trigger and create it again"
        )
    state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    if since:
        first = await stored.following(bus, stream, subjects.events(namespace, broker), since=since)
        sequence = first.sequence if first else state["last_seq"] + 1
    if sequence > state["last_seq"] + 1:
        raise ValueError(f"from: the newest event has sequence {state['last_seq']}")
    asked = sequence = max(sequence, state["first_seq"], 1)
    if found["num_pending"] or found["num_ack_pending"]:
        sequence = min(sequence, found["ack_floor"]["stream_seq"] + 1)
    answer = await _reset(bus, stream, name, sequence)
    log.info("consumer %s of %s delivers from sequence %d again", name, stream, sequence)
    return {"from": sequence, "asked": asked, "events": answer.get("num_pending", 0)}


async def apply(bus: Bus, stream: str, config: streams.Config) -> dict[str, Any]:
    """Make it, or change it. Raises `BusError`."""
    config = {name: value for name, value in config.items() if value is not None}
    return await bus.api(f"CONSUMER.CREATE.{stream}.{config['name']}", {"stream_name": stream, "config": config, "action": ""})


async def _reset(bus: Bus, stream: str, name: str, sequence: int) -> dict[str, Any]:
    return await bus.api(f"CONSUMER.RESET.{stream}.{name}", {"seq": sequence})


async def _pause(bus: Bus, stream: str, name: str, until: str) -> None:
    await bus.api(f"CONSUMER.PAUSE.{stream}.{name}", {"pause_until": until} if until else {})
