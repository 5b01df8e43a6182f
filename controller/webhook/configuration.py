"""Pure: the webhook's configurations, by which an API server knows whom to ask, about what, and whom to trust.

On a cluster the chart makes them, without an authority, and only that is written here, and what SinkBindings are about. Beside a cluster
(`Settings.url`) there is no chart, and they are made as a whole.
"""

import base64
from collections.abc import Iterable
from typing import Any

from controller.webhook.settings import Settings
from kfn.api.admission import rules
from kfn.api.base import Json
from kfn.api.podspecable import KNOWN
from kfn.binding import EXCLUDE

NAME = "webhook.kfn.dev"
BINDINGS = "bindings.webhook.kfn.dev"
DEFAULT, VALIDATE, BIND = "/default", "/validate", "/bind"
_UNDELETED = {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}


def client_config(settings: Settings, bundle: bytes, path: str) -> Json:
    authority = {"caBundle": base64.b64encode(bundle).decode()}
    if settings.url:
        return {"url": f"{settings.url.rstrip('/')}{path}", **authority}
    return {"service": {"name": settings.service, "namespace": settings.namespace, "path": path, "port": 443}, **authority}


def mutating(settings: Settings, bundle: bytes) -> Json:
    # Asked again if another webhook has changed the object after it: what that one adds gets its defaults too.
    more = {"reinvocationPolicy": "IfNeeded"}
    return _whole("MutatingWebhookConfiguration", f"default.{NAME}", client_config(settings, bundle, DEFAULT), more)


def validating(settings: Settings, bundle: bytes) -> Json:
    return _whole("ValidatingWebhookConfiguration", f"validate.{NAME}", client_config(settings, bundle, VALIDATE), {})


def binding(settings: Settings, bundle: bytes) -> Json:
    """Of users' workloads, so nothing may depend on it. Its rules follow the SinkBindings; eventing's own writes have it all already."""
    left_out = {"matchExpressions": [{"key": EXCLUDE, "operator": "NotIn", "values": ["true"]}]}
    own = f"request.userInfo.username != 'system:serviceaccount:{settings.namespace}:kfn-eventing'"
    more = {
        "failurePolicy": "Ignore", "timeoutSeconds": 5, "reinvocationPolicy": "IfNeeded", "rules": [],
        "namespaceSelector": left_out, "objectSelector": left_out,
        "matchConditions": [_UNDELETED, {"name": "not-eventing", "expression": own}],
    }  # fmt: skip
    return _whole("MutatingWebhookConfiguration", BINDINGS, client_config(settings, bundle, BIND), more, BINDINGS)


def binding_rules(subjects: Iterable[tuple[str, str]]) -> list[Json]:
    """What is asked about for subjects of these (apiVersion, kind): their creation and change. Only of kinds that are known to carry pods:
    who writes a SinkBinding about Secrets or Leases must not have all of the cluster's sent here."""
    named = set(subjects)
    asked = sorted((kind.group, kind.version, kind.plural) for kind in KNOWN if (kind.api_version, kind.kind) in named)
    return [
        {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": [plural], "scope": "Namespaced"}
        for group, version, plural in asked
    ]


def ruled(hooks: list[Json], wanted: list[Json]) -> list[Json]:
    """The JSON patch that gives every hook these rules."""
    return [
        step
        for i, hook in enumerate(hooks)
        if (hook.get("rules") or []) != wanted
        for step in (
            {"op": "test", "path": f"/webhooks/{i}/name", "value": hook.get("name")},
            {"op": "add", "path": f"/webhooks/{i}/rules", "value": wanted},
        )
    ]


def _whole(kind: str, name: str, client: Json, more: Json, whole: str = NAME) -> Json:
    hook = {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 10,
        "matchPolicy": "Equivalent",
        "clientConfig": client,
        "rules": rules(),
        # What is being deleted only loses its finalizers: that goes on while nobody can be asked.
        "matchConditions": [_UNDELETED],
        **more,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": whole, "labels": {"app.kubernetes.io/name": "kfn", "app.kubernetes.io/part-of": "kfn"}},
        "webhooks": [hook],
    }


def repair(hooks: list[Json], settings: Settings, bundle: bytes, path: str) -> list[Json]:
    """The JSON patch that makes every hook trust `bundle`, and nothing else of it; empty when all do."""
    steps: list[Json] = []
    for i, hook in enumerate(hooks):
        client: Json = hook.get("clientConfig") or {}
        wanted = client_config(settings, bundle, path)
        if settings.url:
            right: Any = client == wanted
        else:
            wanted = {**client, "caBundle": wanted["caBundle"]}
            right = client.get("caBundle") == wanted["caBundle"]
        if not right:
            at = f"/webhooks/{i}"
            steps += [
                {"op": "test", "path": f"{at}/name", "value": hook.get("name")},
                {"op": "replace", "path": f"{at}/clientConfig", "value": wanted},
            ]
    return steps
