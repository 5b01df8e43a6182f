"""The JetStream configuration that a Broker and a Trigger need, as the server's JSON API takes it. Pure."""

from typing import Any

from eventing import ordering, subjects
from eventing.settings import Settings

Config = dict[str, Any]
_SECOND = 1_000_000_000
ADVISORIES, GIVEN_UP = "KFN_ADVISORIES", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.*"
HEADROOM = 64 * 1024  # a stored message is the event plus its headers


def events(settings: Settings, namespace: str, broker: str) -> Config:
    """A Broker's stream. A full one refuses (`discard: new`), so that a publisher learns of it; limits retention, so that no
    consumer's settling deletes what another still needs."""
    return {
        "name": subjects.stream(namespace, broker),
        "subjects": [subjects.events(namespace, broker), subjects.addressed(namespace, broker)],
        "retention": "limits",
        "storage": "file",
        "num_replicas": settings.replicas,
        "discard": "new",
        "max_age": int(settings.retention * _SECOND),
        "max_bytes": settings.channel_max_bytes if subjects.channel_at(broker) else settings.max_bytes,
        "max_msg_size": settings.max_event + HEADROOM,
        "duplicate_window": int(min(settings.duplicate_window, settings.retention) * _SECOND),
        "allow_direct": True,
        "metadata": {"dev.kfn.namespace": namespace, "dev.kfn.broker": broker},
    }


def dead_letters(settings: Settings, namespace: str, broker: str) -> Config:
    """Where a Broker's events end that could not be delivered and have no dead-letter sink. Not a work queue: those cannot be browsed."""
    return {
        **events(settings, namespace, broker),
        "name": subjects.dead_stream(namespace, broker),
        "subjects": [subjects.dead_letters(namespace, broker)],
        "max_age": int(settings.dead_retention * _SECOND),
        "max_bytes": settings.channel_dead_max_bytes if subjects.channel_at(broker) else settings.dead_max_bytes,
        "max_msg_size": settings.max_event + 2 * HEADROOM,
    }


def advisories(replicas: int) -> Config:
    """What the server says once when it gives an event up: kept until it is put right."""
    return {
        "name": ADVISORIES,
        "subjects": [GIVEN_UP],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "discard": "old",
        "max_age": 7 * 86400 * _SECOND,
        "max_bytes": 4 << 20,
    }


def consumer(settings: Settings, trigger_uid: str, filter_subjects: tuple[str, ...], trigger: str, *, ordered: bool = False) -> Config:
    """A Trigger's durable consumer. `max_deliver` -1: kfn counts attempts itself, so that the server never parks an event silently.
    An `ordered` one gives events to one replica at a time."""
    filters = {"filter_subject": filter_subjects[0]} if len(filter_subjects) == 1 else {"filter_subjects": list(filter_subjects)}
    return {
        "durable_name": subjects.consumer(trigger_uid),
        "name": subjects.consumer(trigger_uid),
        "deliver_policy": "all",  # consumers.py sets it to the end: one that is made to begin there cannot be set back
        "ack_policy": "explicit",
        "ack_wait": int(settings.ack_wait * _SECOND),
        "max_deliver": -1,
        "max_ack_pending": settings.max_ack_pending,
        "replay_policy": "instant",
        "metadata": {"dev.kfn.trigger": trigger},
        "priority_policy": "pinned_client" if ordered else None,
        "priority_groups": [ordering.GROUP] if ordered else None,
        "priority_timeout": int(ordering.pin_time(settings.ack_wait) * _SECOND) if ordered else None,
        **filters,
    }


def filters(consumer: Config) -> list[str]:
    """What a consumer's configuration lets through."""
    one = consumer.get("filter_subject")
    return [one] if one else list(consumer.get("filter_subjects") or [])


def tail(filter_subject: str, since: str) -> Config:
    """A consumer for looking on: no acknowledgements, gone soon after its reader. `since` is RFC 3339, empty for from now on."""
    start: Config = {"deliver_policy": "by_start_time", "opt_start_time": since} if since else {"deliver_policy": "new"}
    return {
        "ack_policy": "none",
        "replay_policy": "instant",
        "inactive_threshold": 30 * _SECOND,
        "mem_storage": True,
        "num_replicas": 1,
        "filter_subject": filter_subject,
        **start,
    }


def changes(wanted: Config, current: Config) -> Config:
    """Which settings differ. Metadata of the server's own (`_nats.`) does not count."""
    found = {k: v for k, v in wanted.items() if k != "metadata" and current.get(k) != v}
    kept = {k: v for k, v in (current.get("metadata") or {}).items() if not k.startswith("_nats.")}
    if wanted.get("metadata", {}) != kept:
        found["metadata"] = wanted.get("metadata", {})
    return found
