"""The Knative objects that run a project: its Service, and a Trigger for each subscription. Pure; who applies them is `cli`.

Names and labels are those of Knative's `func`, so that its tools find what kfn deploys.
"""

from typing import Any

from builder.project import EnvVar, Project
from kfn.api import names
from kfn.api.eventing import API_VERSION as EVENTING
from kfn.api.serving import API_VERSION as SERVING

FUNCTION = "function.knative.dev"
Json = dict[str, Any]


def service_manifest(project: Project, image: str, *, name: str, namespace: str) -> Json:
    """`serving.knative.dev/v1` Service. `image` is a reference with its digest."""
    spec: Json = {"containers": [_container(project, image)], **project.pod}
    if volumes := _volumes(project):
        spec["volumes"] = [*volumes, *spec.get("volumes", ())]
    if project.concurrency is not None:
        spec["containerConcurrency"] = project.concurrency
    if project.timeout_seconds is not None:
        spec["timeoutSeconds"] = project.timeout_seconds
    if project.service_account:
        spec["serviceAccountName"] = project.service_account
    if project.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": project.image_pull_secret}]
    labels = {FUNCTION: "true", f"{FUNCTION}/name": name, f"{FUNCTION}/runtime": project.runtime, **project.labels}
    template = {"labels": labels, "annotations": {**_autoscaling(project), **_of_revision(project)}}
    return {
        "apiVersion": SERVING,
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": _of_service(project)},
        "spec": {"template": {"metadata": template, "spec": spec}},
    }


def trigger_manifests(project: Project, *, name: str, namespace: str) -> list[Json]:
    """One Trigger for each entry of `deploy.subscriptions`, whose `source` is a Broker."""
    sink = {"ref": {"apiVersion": SERVING, "kind": "Service", "name": name}}
    return [
        {
            "apiVersion": EVENTING,
            "kind": "Trigger",
            "metadata": {"name": f"{name}-function-trigger-{n}", "namespace": namespace, "labels": {f"{FUNCTION}/name": name}},
            "spec": {"broker": one.source or "default", "subscriber": sink}
            | ({"filter": {"attributes": one.filters}} if one.filters else {}),
        }
        for n, one in enumerate(project.subscriptions)
    ]


def _container(project: Project, image: str) -> Json:
    container: Json = {"name": names.DEFAULT_CONTAINER, "image": image}
    if variables := [_env(e) for e in project.envs if e.name]:
        container["env"] = variables
    if whole := [_env_from(e) for e in project.envs if not e.name]:
        container["envFrom"] = whole
    if project.requests or project.limits:
        container["resources"] = {k: dict(v) for k, v in (("requests", project.requests), ("limits", project.limits)) if v}
    if project.volumes:
        container["volumeMounts"] = [{"name": f"volume-{n}", "mountPath": v.path} for n, v in enumerate(project.volumes)]
    for probe, path in (("livenessProbe", project.health.liveness), ("readinessProbe", project.health.readiness)):
        if path:
            container[probe] = {"httpGet": {"path": path}}
    return container


def _env(env: EnvVar) -> Json:
    if env.secret:
        return {"name": env.name, "valueFrom": {"secretKeyRef": {"name": env.secret, "key": env.key}}}
    if env.config_map:
        return {"name": env.name, "valueFrom": {"configMapKeyRef": {"name": env.config_map, "key": env.key}}}
    return {"name": env.name, "value": env.value}


def _env_from(env: EnvVar) -> Json:
    return {"secretRef": {"name": env.secret}} if env.secret else {"configMapRef": {"name": env.config_map}}


def _volumes(project: Project) -> list[Json]:
    found: list[Json] = []
    for n, volume in enumerate(project.volumes):
        entry: Json = {"name": f"volume-{n}"}
        if volume.secret:
            entry["secret"] = {"secretName": volume.secret}
        elif volume.config_map:
            entry["configMap"] = {"name": volume.config_map}
        elif claim := volume.persistent_volume_claim:
            entry["persistentVolumeClaim"] = {"claimName": claim.claim_name, "readOnly": claim.read_only}
        else:
            empty = volume.empty_dir
            entry["emptyDir"] = {
                k: v for k, v in (("medium", empty.medium if empty else ""), ("sizeLimit", empty.size_limit if empty else "")) if v
            }
        found.append(entry)
    return found


def _autoscaling(project: Project) -> dict[str, str]:
    scale = project.scale
    wanted = {
        "min-scale": scale.min,
        "max-scale": scale.max,
        "metric": scale.metric,
        "target": scale.target,
        "target-utilization-percentage": scale.utilization,
    }
    return {
        f"{names.AUTOSCALING}{key}": f"{value:g}" if isinstance(value, float) else str(value)
        for key, value in wanted.items()
        if value not in (None, "")
    }


def _of_revision(project: Project) -> dict[str, str]:
    """Autoscaling is read from the revision's template only; Knative refuses it elsewhere."""
    return {key: value for key, value in project.annotations.items() if key not in _SERVICE_ONLY}


def _of_service(project: Project) -> dict[str, str]:
    return {key: value for key, value in project.annotations.items() if not key.startswith((names.AUTOSCALING, names.PROGRESS_DEADLINE))}


_SERVICE_ONLY = (names.ROLLOUT_DURATION, names.VISIBILITY, names.HOSTS)
