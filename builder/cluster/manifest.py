"""The Job of a build: a pod that passes the restricted Pod Security Standard and has no token, no links and no way to more. Pure.

What it may reach is the NetworkPolicy's business and what the controller may do the role's: see `access.py`.
"""

from typing import Any

from builder.cluster import wire
from builder.cluster.settings import Settings
from kfn.api import names
from kfn.api.base import Json
from kfn.api.batch import Job, JobSpec
from kfn.api.build import Build, BuildSpec
from kfn.api.core import Container, EnvVar, PodSpec, PodTemplateSpec, ResourceRequirements, VolumeMount
from kfn.api.meta import ObjectMeta, OwnerReference

BUILD_LABEL = "kfn.dev/build"  # on Jobs and pods: the Build's name
COMPONENT = {"app.kubernetes.io/component": "kfn-build", "app.kubernetes.io/managed-by": "kfn"}
CONTAINER = "build"
UID = 65532
SECRETS = "/run/kfn/secrets"
PLAIN_HTTP = "KFN_REGISTRY_PLAIN_HTTP"  # as the registry client reads it
TMP, CACHE = "/tmp", "/var/cache/kfn"  # noqa: S108 - the pod's own emptyDir
GRACE = 20  # seconds to end in order after SIGTERM
SWEEP_SECONDS = 120
_MODE = 0o440


def job_name(build: Build, attempt: int) -> str:
    return names.child(build.metadata.name, f"-{attempt}")


def sweep_name(build: Build) -> str:
    return names.child(build.metadata.name, "-sweep")


def job(build: Build, attempt: int, settings: Settings) -> Job:
    """The Job of a Build's attempt; its name follows from both, so that no crash can make a second one."""
    seconds = build.spec.timeout_seconds
    return _job(
        build, job_name(build, attempt), wire.request_of(build, own_cache=settings.own_cache), int(seconds + settings.slack), settings
    )


def sweep(build: Build, settings: Settings) -> Job:
    """The Job that deletes a Build's source artifact from the registry, with the Build's own right to push."""
    return _job(build, sweep_name(build), wire.request_of(build, sweep=True), SWEEP_SECONDS, settings)


def _job(build: Build, name: str, request: wire.Request, seconds: int, settings: Settings) -> Job:
    labels = {**COMPONENT, BUILD_LABEL: build.metadata.name}
    return Job(
        metadata=ObjectMeta(name=name, namespace=build.metadata.namespace, labels=labels, owner_references=[_owner(build)]),
        spec=JobSpec(
            parallelism=1,
            completions=1,
            backoff_limit=0,
            active_deadline_seconds=seconds,
            ttl_seconds_after_finished=settings.job_ttl,
            template=PodTemplateSpec(ObjectMeta(labels=labels), _pod(build.spec, request, settings)),
        ),
    )


def _owner(build: Build) -> OwnerReference:
    meta = build.metadata
    return OwnerReference(build.api_version, build.kind, meta.name, meta.uid, controller=True)


def _pod(spec: BuildSpec, request: wire.Request, settings: Settings) -> PodSpec:
    mounted = [(name, secret) for name, secret in _secrets(spec) if secret]
    container = Container(
        name=CONTAINER,
        image=settings.image,
        command=list(settings.command),
        env=[
            EnvVar(wire.REQUEST, wire.write_request(request)),
            *(EnvVar(name, value) for name, value in settings.environment),
            EnvVar(PLAIN_HTTP, ",".join(settings.plain_http)),
            *([EnvVar(wire.CA, settings.ca)] if settings.ca else []),
            EnvVar("HOME", TMP),
            EnvVar("TMPDIR", TMP),
            EnvVar("XDG_CACHE_HOME", CACHE),
            EnvVar("PYTHONUNBUFFERED", "1"),
            EnvVar("PYTHONDONTWRITEBYTECODE", "1"),
        ],
        resources=_resources(spec, settings),
        volume_mounts=[
            VolumeMount(name="tmp", mount_path=TMP),
            VolumeMount(name="cache", mount_path=CACHE),
            *(VolumeMount(name=name, mount_path=f"{SECRETS}/{name}", read_only=True) for name, _ in mounted),
        ],
        security_context={
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        termination_message_path="/dev/termination-log",
        termination_message_policy="File",
    )
    return PodSpec(
        containers=[container],
        volumes=[
            _scratch("tmp", settings.scratch),
            _scratch("cache", settings.cache),
            *({"name": name, "secret": {"secretName": secret, "defaultMode": _MODE}} for name, secret in mounted),
        ],
        automount_service_account_token=False,
        enable_service_links=False,
        restart_policy="Never",
        termination_grace_period_seconds=GRACE,
        security_context={
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )


def secrets(spec: BuildSpec) -> tuple[str, ...]:
    """The names of those that its pod cannot start without."""
    return tuple(sorted({secret for _, secret in _secrets(spec) if secret}))


def _secrets(spec: BuildSpec) -> tuple[tuple[str, str], ...]:
    """The volume of each secret, which is also its folder, and the Secret's name."""
    return ("push", spec.push_secret), ("pull", spec.pull_secret), ("index", spec.index_secret), ("git", spec.git_secret)


def _scratch(name: str, size: str) -> Json:
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _resources(spec: BuildSpec, settings: Settings) -> ResourceRequirements:
    limits: dict[str, Any] = {"cpu": settings.cpu, "memory": settings.memory}
    requests: dict[str, Any] = {"cpu": settings.request_cpu, "memory": settings.request_memory}
    own = spec.resources or ResourceRequirements()
    limits |= own.limits
    requests = {**{k: v for k, v in requests.items() if k not in own.limits}, **own.requests}
    return ResourceRequirements(limits, requests)
