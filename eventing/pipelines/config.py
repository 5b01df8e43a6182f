"""The JetStream configuration of a Pipeline's stream and of its consumers. Pure."""

from eventing.pipelines.names import WATCH, Runs, consumer, everything, stream
from eventing.settings import Settings
from eventing.streams import HEADROOM, Config

_SECOND = 1_000_000_000


def of_stream(settings: Settings, namespace: str, name: str) -> Config:
    """One message a subject, the newest. No age: runs are removed whole, some time after their end. A full one refuses; starts are refused
    before that, so that runs under way can end."""
    return {
        "name": stream(namespace, name),
        "subjects": [everything(namespace, name)],
        "retention": "limits",
        "storage": "file",
        "num_replicas": settings.replicas,
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_bytes": settings.pipeline_max_bytes,
        "max_msg_size": settings.max_event + HEADROOM,
        "duplicate_window": 10 * _SECOND,  # nothing here has an id: what is there already is told by its subject
        "allow_direct": True,
        "metadata": {"dev.kfn.namespace": namespace, "dev.kfn.pipeline": name},
    }


def of_step(settings: Settings, namespace: str, name: str, step: str) -> Config:
    """A step's tasks, of all runs. One that is lost and made anew gets all again, and finds in the records what is done."""
    return _consumer(settings, consumer(step), [Runs(namespace, name).tasks(step)])


def of_watch(settings: Settings, namespace: str, name: str) -> Config:
    """What has runs looked at by time. Start data stays where it is: headers only."""
    return _consumer(settings, WATCH, list(Runs(namespace, name).watched)) | {"headers_only": True}


def _consumer(settings: Settings, name: str, subjects: list[str]) -> Config:
    filters: Config = {"filter_subject": subjects[0]} if len(subjects) == 1 else {"filter_subjects": subjects}
    return {
        "durable_name": name,
        "name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(settings.ack_wait * _SECOND),
        "max_deliver": -1,
        "max_ack_pending": settings.max_ack_pending,
        "replay_policy": "instant",
        **filters,
    }
