"""What carries a pod template, read and written as JSON, so that nothing of it gets lost that kfn knows no type for."""

from typing import Any

from kfn.api import batch, kinds, serving
from kfn.api.base import Base, Json
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta


class PodSpecable(Base, frozen=True):
    """A workload of any kind."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


def _kind(group: str, version: str, kind: str, plural: str) -> Kind[PodSpecable]:
    return Kind(group, version, kind, plural, PodSpecable)


DEPLOYMENT = _kind(kinds.DEPLOYMENT.group, "v1", "Deployment", "deployments")
JOB = _kind(batch.GROUP, "v1", "Job", "jobs")
# Those that a SinkBinding's rights are for, and that it looks through for what it has bound.
KNOWN = (
    DEPLOYMENT,
    _kind("apps", "v1", "StatefulSet", "statefulsets"),
    _kind("apps", "v1", "DaemonSet", "daemonsets"),
    JOB,
    _kind(batch.GROUP, "v1", "CronJob", "cronjobs"),
    _kind(serving.GROUP, "v1", "Service", "services"),
)


def kind_of(api_version: str, kind: str) -> Kind[PodSpecable]:
    """The kind that they name; of one that is not known here, its plural is what most have."""
    found = next((one for one in KNOWN if (one.api_version, one.kind) == (api_version, kind)), None)
    if found is not None:
        return found
    group, _, version = api_version.rpartition("/")
    return _kind(group, version, kind, f"{kind.lower()}s")


def template_path(kind: str) -> tuple[str, ...]:
    """Where the pod template is in an object of that kind."""
    return ("spec", "jobTemplate", "spec", "template") if kind == "CronJob" else ("spec", "template")


def template_of(obj: Json) -> Json:
    """The object's pod template; an empty one where there is none."""
    found: Any = obj
    for step in template_path(str(obj.get("kind", ""))):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def with_template(obj: Json, template: Json) -> Json:
    """The object with another pod template; nothing of the old one is changed in place."""
    return _put(obj, template_path(str(obj.get("kind", ""))), template)


def _put(obj: Json, path: tuple[str, ...], value: Json) -> Json:
    if not path:
        return value
    inner = obj.get(path[0])
    return {**obj, path[0]: _put(inner if isinstance(inner, dict) else {}, path[1:], value)}
