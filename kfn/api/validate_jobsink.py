"""Rules for JobSink: what can be said of its Job without asking a cluster, which has the last word."""

from collections.abc import Callable
from typing import Any

from kfn.api import naming
from kfn.api.errors import FieldError
from kfn.api.jobsink import JobSink

POLICIES = ("Never", "OnFailure")


def job_sink(obj: JobSink, old: JobSink | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    at = "spec.job.spec.template.spec"
    if obj.spec.job is None:
        return [*errors, FieldError("spec.job", "missing; give a Job, with spec.template.spec.containers")]
    pod: Any = obj.spec.job
    for step in ("spec", "template", "spec"):
        pod = pod.get(step) if isinstance(pod, dict) else None
    containers = pod.get("containers") if isinstance(pod, dict) else None
    if not isinstance(containers, list) or not containers or not all(isinstance(one, dict) for one in containers):
        return [*errors, FieldError(f"{at}.containers", "missing; name at least one, with its image")]
    errors += [FieldError(f"{at}.containers[{i}].image", "missing") for i, one in enumerate(containers) if not one.get("image")]
    if pod.get("restartPolicy") not in (None, *POLICIES):
        errors.append(FieldError(f"{at}.restartPolicy", f"{pod['restartPolicy']!r} is none for a Job; use {' or '.join(POLICIES)}"))
    return errors


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {"jobsinks.sinks.knative.dev": job_sink}
