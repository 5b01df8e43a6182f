"""Names on the bus: streams, subjects, consumers, dedup ids. Distinct Brokers, Triggers, types and events never share one. Pure.

Whatever keeps events has a place below its namespace: a Broker its name, a Channel `channels/NAME`, an InMemoryChannel
`inmemorychannels/NAME`. So says its address, too. All that is called `broker` here and elsewhere on an event's way is such a place.
"""

import hashlib
import re
from urllib.parse import quote, unquote

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]")
_NOT_LOWER = re.compile(r"[^a-z0-9-]")
_LONGEST = 160
CHANNELS = {"Channel": "channels/", "InMemoryChannel": "inmemorychannels/"}
_STREAMS = {"Channel": "CH", "InMemoryChannel": "IMC"}  # namespaces have no capitals, so no Broker's stream is called so


def token(value: str) -> str:
    """Any string as one subject token. A long one is cut and made unique by its hash; `~` occurs in no other token."""
    escaped = _escape(_NOT_PLAIN, value)
    if len(escaped) <= _LONGEST:
        return escaped
    return f"{escaped[:100].rstrip('%')}~{hashlib.sha256(value.encode()).hexdigest()[:32]}"


def channel(name: str, kind: str = "Channel") -> str:
    """A channel's place."""
    return CHANNELS[kind] + name


def channel_at(place: str) -> str:
    """The channel of that place; empty for a Broker's."""
    return place.removeprefix(CHANNELS[kind]) if (kind := kind_at(place)) else ""


def kind_at(place: str) -> str:
    """Which kind of channel that place is of; empty for a Broker's."""
    return next((kind for kind, prefix in CHANNELS.items() if place.startswith(prefix)), "")


def address(ingress_url: str, namespace: str, place: str) -> str:
    return f"{ingress_url}/{quote(namespace)}/{quote(place)}"


def place_at(ingress_url: str, url: str) -> tuple[str, str] | None:
    """Namespace and place of what `address` gives this URL to; None for any other."""
    if not ingress_url or not url.startswith(f"{ingress_url}/") or "?" in url or "#" in url:
        return None
    match [unquote(part) for part in url.removeprefix(f"{ingress_url}/").split("/")]:
        case [namespace, broker] if namespace and broker:
            return namespace, broker
        case [namespace, places, name] if namespace and name and f"{places}/" in CHANNELS.values():
            return namespace, f"{places}/{name}"
    return None


def stream(namespace: str, broker: str) -> str:
    if name := channel_at(broker):
        return f"KFN_{_STREAMS[kind_at(broker)]}_{_escape(_NOT_LOWER, namespace)}_{_escape(_NOT_LOWER, name)}"
    return f"KFN_{_escape(_NOT_LOWER, namespace)}_{_escape(_NOT_LOWER, broker)}"


def dead_stream(namespace: str, broker: str) -> str:
    if name := channel_at(broker):
        return f"KFN_DLQ_{_STREAMS[kind_at(broker)]}_{_escape(_NOT_LOWER, namespace)}_{_escape(_NOT_LOWER, name)}"
    return f"KFN_DLQ_{_escape(_NOT_LOWER, namespace)}_{_escape(_NOT_LOWER, broker)}"


def events(namespace: str, broker: str) -> str:
    """Everything published to a Broker."""
    return f"kfn.{token(namespace)}.{token(broker)}.ev.>"


def dead_letters(namespace: str, broker: str) -> str:
    return f"kfn.{token(namespace)}.{token(broker)}.dlq.>"


def addressed(namespace: str, broker: str) -> str:
    """Everything that is meant for one Trigger alone, and that no other sees."""
    return f"kfn.{token(namespace)}.{token(broker)}.to.>"


def to(namespace: str, broker: str, trigger_uid: str) -> str:
    """Where an event goes that one Trigger alone shall have."""
    return f"kfn.{token(namespace)}.{token(broker)}.to.{token(trigger_uid)}"


def to_consumer(event: str, consumer: str) -> str:
    """As `to`, from the subject of any event of the Broker and the name of the Trigger's consumer."""
    return ".".join((*event.split(".")[:3], "to", consumer.removeprefix("kfn_t_")))


def dead_letters_of(namespace: str, broker: str, trigger: str) -> str:
    return f"kfn.{token(namespace)}.{token(broker)}.dlq.{token(trigger)}.*"


def event(namespace: str, broker: str, type_: str, key: str = "") -> str:
    """Where an event goes: its type, then its partition key or `-`."""
    return f"kfn.{token(namespace)}.{token(broker)}.ev.{token(type_)}.{token(key) if key else '-'}"


def of_key(namespace: str, broker: str, key: str) -> str:
    """Every event of that partition key, of whatever type."""
    return f"kfn.{token(namespace)}.{token(broker)}.ev.*.{token(key)}"


def dead_letter(namespace: str, broker: str, trigger: str, reason: str) -> str:
    return f"kfn.{token(namespace)}.{token(broker)}.dlq.{token(trigger)}.{token(reason)}"


def of_types(namespace: str, broker: str, types: frozenset[str] | None) -> tuple[str, ...]:
    """The subjects that a consumer of these types needs; None means all."""
    if types is None:
        return (events(namespace, broker),)
    return tuple(sorted(f"kfn.{token(namespace)}.{token(broker)}.ev.{token(type_)}.*" for type_ in types))


def consumer(trigger_uid: str) -> str:
    return f"kfn_t_{_escape(_NOT_PLAIN, trigger_uid)}"


def event_id(source: str, id_: str) -> str:
    """The dedup id of an event. CloudEvents are unique by source and id together; the length keeps the two apart."""
    return "ce:" + hashlib.sha256(f"{len(source)}:{source}{id_}".encode()).hexdigest()


def reply_id(trigger_uid: str, source: str, id_: str) -> str:
    """The dedup id of what a Trigger's subscriber answered to an event, so that a second run of it answers once."""
    return "re:" + hashlib.sha256(f"{trigger_uid}:{event_id(source, id_)}".encode()).hexdigest()


def again_id(dead_stream: str, sequence: int, time: str) -> str:
    """The dedup id of a dead letter that is delivered again; its time tells a stream that was made anew."""
    return f"again:{dead_stream}:{sequence}:{time}"


def dead_id(consumer: str, sequence: int) -> str:
    return f"dlq:{consumer}:{sequence}"


def _escape(pattern: re.Pattern[str], value: str) -> str:
    return pattern.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode("utf-8", "surrogatepass")), value)
