"""The Deployment that runs one source's adapter in the source's namespace, under its service account, and what its status says. Pure.

It satisfies the restricted Pod Security Standard, and has no Secret but the one that the source names, to publish with: all that it may do
is what the service account may.
"""

import hashlib
import json
from dataclasses import dataclass

from eventing.apiserver import config as configs
from eventing.apiserver.config import Config
from eventing.conditions import false, true, unknown
from kfn.api import names
from kfn.api.apiserversource import ApiServerSource
from kfn.api.base import Json
from kfn.api.core import Deployment
from kfn.api.meta import Condition

UID = "sources.kfn.dev/source-uid"
HASH = "sources.kfn.dev/adapter-hash"  # of what was applied last
LABELS = {
    "app.kubernetes.io/name": "kfn",
    "app.kubernetes.io/component": "apiserver-adapter",
    "app.kubernetes.io/managed-by": "kfn-eventing",
}
PORT = 8081
_USER = 65532
_TOKENS = "/etc/kfn/tokens"


@dataclass(frozen=True, slots=True)
class Pods:
    """What the pods of adapters run: kfn's own image. Without an image there are none."""

    image: str = ""
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()  # by name, in the source's namespace
    listen: str = "0.0.0.0"  # noqa: S104 - where a pod's health and metrics are asked for; `::` where addresses are of version 6
    memory: str = "512Mi"


def name(source: ApiServerSource) -> str:
    """Told apart by the uid: a source that is made anew does not get the pod of the one before."""
    short = source.metadata.name[:30].replace(".", "-").strip("-")
    return f"apiserversource-{short}-{hashlib.sha256(source.metadata.uid.encode()).hexdigest()[:10]}"


def deployment(pods: Pods, source: ApiServerSource, config: Config, url: str) -> Json:
    """As it is applied. A new pod comes before the old one goes: what both tell has the same ids, and nothing is missed between them."""
    meta = source.metadata
    labels = {**LABELS, UID: meta.uid}
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name(source),
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": {},
            "ownerReferences": [
                {"apiVersion": source.api_version, "kind": source.kind, "name": meta.name, "uid": meta.uid, "controller": True}
            ],
        },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": {UID: meta.uid}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(pods, source, config, url)},
        },
    }
    body["metadata"]["annotations"][HASH] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
    return body


def _pod(pods: Pods, source: ApiServerSource, config: Config, url: str) -> Json:
    tokens = source.metadata.annotations.get(names.AUTH, "")
    container: Json = {
        "name": "adapter",
        "image": pods.image,
        "imagePullPolicy": pods.pull_policy,
        "args": ["source-adapter", "apiserver", f"--admin-host={pods.listen}", f"--admin-port={PORT}", "--log-format=json"],
        "env": [
            {"name": configs.SINK, "value": url},
            {"name": configs.CONFIG, "value": configs.dumps(config)},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - nothing is written there
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            *([{"name": configs.TOKENS, "value": _TOKENS}] if tokens else []),
        ],
        **({"volumeMounts": [{"name": "tokens", "mountPath": _TOKENS, "readOnly": True}]} if tokens else {}),
        "ports": [{"name": "admin", "containerPort": PORT}],
        "startupProbe": _probe("/healthz", period=1, failures=60),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=2, failures=3),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": pods.memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "serviceAccountName": configs.account(source),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,  # so that a SIGTERM that comes early is not lost, as with all of kfn's processes
        "terminationGracePeriodSeconds": 20,
        **({"imagePullSecrets": [{"name": one} for one in pods.pull_secrets]} if pods.pull_secrets else {}),
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        **({"volumes": [{"name": "tokens", "secret": {"secretName": tokens, "defaultMode": 0o440}}]} if tokens else {}),
    }  # fmt: skip


def _probe(path: str, *, period: int, failures: int) -> Json:
    return {"httpGet": {"path": path, "port": "admin"}, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures}


def is_ours(found: Deployment, source: ApiServerSource) -> bool:
    return any(one.controller and one.uid == source.metadata.uid for one in found.metadata.owner_references)


def deployed(found: Deployment) -> Condition:
    """The condition Deployed, from what the cluster says of the Deployment."""
    status = found.status
    conditions = {one.type: one for one in status.conditions}
    failure = conditions.get("ReplicaFailure")
    if failure is not None and failure.status == "True":
        return false("Deployed", failure.reason, failure.message)
    where = f"Deployment {found.metadata.name}"
    if status.observed_generation < found.metadata.generation or status.updated_replicas < 1:
        return unknown("Deployed", "DeploymentUpdating", f"{where} is being brought up to date")
    available = conditions.get("Available")
    if available is None or available.status != "True" or status.unavailable_replicas:
        late = conditions.get("Progressing")
        if late is not None and late.status == "False":
            return false("Deployed", late.reason, f"{where}: {late.message}; `kubectl logs -n {found.metadata.namespace} deploy/"
                         f"{found.metadata.name}` may say why")  # fmt: skip
        return unknown("Deployed", "DeploymentUnavailable", f"{where} has no pod that is ready")
    return true("Deployed")
