"""The logins with which a Revision's pods pull their images, read from Secrets as the kubelet reads them. Kept nowhere."""

import base64
import binascii
import json
from typing import Any

from kfn.api import core, kinds
from kfn.digests import Unresolved
from kfn.kube import errors
from kfn.kube.client import Client

MOST = 16  # Secrets of one pod that are read
_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}


async def docker_configs(client: Client, namespace: str, pod: core.PodSpec) -> list[dict[str, Any]]:
    """Those that the pod names, else those of its ServiceAccount, as Kubernetes has it. One that is not there is passed over."""
    names = _names(pod.image_pull_secrets) or await _of_account(client, namespace, pod.service_account_name or "default")
    found = []
    for name in names[:MOST]:
        try:
            secret = await client.get(kinds.SECRET, name, namespace)
        except errors.NotFound:
            continue
        except errors.Forbidden as error:
            raise Unresolved(f'the controller may not read the pull secret "{name}": {error.message}', lasting=True) from error
        if (config := _read(secret)) is not None:
            found.append(config)
    return found


async def _of_account(client: Client, namespace: str, name: str) -> list[str]:
    try:
        return _names((await client.get(kinds.SERVICE_ACCOUNT, name, namespace)).image_pull_secrets)
    except (errors.NotFound, errors.Forbidden):
        return []  # the pod will not start without it, and says so


def _names(references: list[dict[str, Any]]) -> list[str]:
    return [str(ref["name"]) for ref in references if ref.get("name")]


def _read(secret: core.Secret) -> dict[str, Any] | None:
    key = _KEYS.get(secret.type)
    if key is None or key not in secret.data:
        return None
    try:
        config = json.loads(base64.b64decode(secret.data[key]))
    except (ValueError, binascii.Error, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise Unresolved(f'{key} of the pull secret "{secret.metadata.name}" is not a JSON object; make it anew', lasting=True)
    return config
