"""Pure: the webhook's two configurations, by which an API server knows whom to ask, about what, and whom to trust.

On a cluster the chart makes them, without an authority, and only the authority is written here. Beside a cluster (`Settings.url`) there
is no chart, and they are made as a whole.
"""

import base64
from typing import Any

from controller.webhook.settings import Settings
from kfn.api.admission import rules
from kfn.api.base import Json

NAME = "webhook.kfn.dev"
DEFAULT, VALIDATE = "/default", "/validate"


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


def _whole(kind: str, name: str, client: Json, more: Json) -> Json:
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
        "matchConditions": [{"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}],
        **more,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/name": "kfn", "app.kubernetes.io/part-of": "kfn"}},
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
