"""What becomes of one event that a JobSink is sent: the Job, the Secret that holds the event, and what is said of how the Job stands. Pure.

Both are named by a hash of the sink, and of the event's source and id: the same event makes one Job, however often it comes and whichever
replica takes it.
"""

import base64
import copy
import hashlib
from dataclasses import dataclass

from kfn.api import batch, defaults
from kfn.api.base import Json
from kfn.api.batch import Job
from kfn.api.jobsink import API_VERSION, ID_LABEL, NAME_LABEL, JobSink

VOLUME, MOUNTED_AT, KEY, PATH = "jobsink-event", "/etc/jobsink-event", "event", "K_EVENT_PATH"
LONGEST = 63  # of a Job's name: its pods carry it as a label
MOST = 1 << 20  # bytes; what a Secret can hold


@dataclass(frozen=True, slots=True)
class State:
    """`status` is the answer's, as Knative gives it: 202 while it runs, 200 when it is done, 400 when it has failed."""

    status: int
    word: str
    reason: str = ""
    message: str = ""


def name_of(sink: str, source: str, id: str) -> str:
    mark = hashlib.sha256("\0".join((sink, source, id)).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{sink[: LONGEST - 1 - len(mark)].replace('.', '-').rstrip('-')}-{mark}"


def labels(sink: JobSink, name: str) -> dict[str, str]:
    return {NAME_LABEL: sink.metadata.name, ID_LABEL: name}


def job(sink: JobSink, name: str) -> Json:
    """The Job of the sink's spec, under this name, with the event where its containers find it."""
    made: Json = copy.deepcopy(sink.spec.job or {})
    defaults.job_sink({"spec": {"job": made}})
    meta = made.get("metadata") or {}
    owner = {"apiVersion": API_VERSION, "kind": "JobSink", "name": sink.metadata.name, "uid": sink.metadata.uid, "controller": True}
    made |= {"apiVersion": batch.API_VERSION, "kind": "Job"}
    made["metadata"] = {
        "name": name,
        "namespace": sink.metadata.namespace,
        "labels": {**(meta.get("labels") or {}), **labels(sink, name)},
        "annotations": meta.get("annotations") or {},
        "ownerReferences": [owner],
    }
    made.pop("status", None)
    pod = made.setdefault("spec", {}).setdefault("template", {}).setdefault("spec", {})
    pod.setdefault("restartPolicy", "Never")
    for container in (*pod.get("containers", []), *pod.get("initContainers", [])):
        _mount(container)
    volumes = pod.setdefault("volumes", [])
    if not any(one.get("name") == VOLUME for one in volumes):
        volumes.append({"name": VOLUME, "secret": {"secretName": name}})
    return made


def _mount(container: Json) -> None:
    """At the place that the container itself gives the volume, if it does."""
    mounts = container.setdefault("volumeMounts", [])
    mine = next((one for one in mounts if one.get("name") == VOLUME), None)
    if mine is None:
        mine = {"name": VOLUME, "mountPath": MOUNTED_AT, "readOnly": True}
        mounts.append(mine)
    env = container.setdefault("env", [])
    if not any(one.get("name") == PATH for one in env):
        env.append({"name": PATH, "value": mine.get("mountPath", MOUNTED_AT)})


def secret(sink: JobSink, owner: Job, event: bytes) -> Json:
    """It goes with its Job."""
    meta = owner.metadata
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": labels(sink, meta.name),
            "ownerReferences": [{"apiVersion": batch.API_VERSION, "kind": "Job", "name": meta.name, "uid": meta.uid, "controller": True}],
        },
        "immutable": True,
        "type": "Opaque",
        "data": {KEY: base64.b64encode(event).decode()},
    }


def is_of(found: Job, sink: JobSink) -> bool:
    """Whether it was made for this sink, and not for one before it of the same name."""
    return any(one.controller and one.uid == sink.metadata.uid for one in found.metadata.owner_references)


def state(found: Job) -> State:
    end = batch.ended(found)
    if end is None:
        return State(202, "Running" if found.status.active else "Pending")
    return State(200, end.type) if end.type == "Complete" else State(400, end.type, end.reason, end.message)
