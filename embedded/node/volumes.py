"""Volumes of a pod, as folders of its own. There is no mount namespace here: the path is in `KFN_VOLUME_<NAME>`, not at mountPath.

Contents are written once, when the pod starts.
"""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded.node import environment
from embedded.node.errors import BadPod
from kfn.api import kinds, names
from kfn.api.core import Pod
from kfn.kube.client import Client
from kfn.kube.errors import KubeError, NotFound


def variables(folders: Mapping[str, Path]) -> dict[str, str]:
    """The environment that tells a container where its volumes are."""
    return {"KFN_VOLUME_" + re.sub(r"[^A-Z0-9]", "_", name.upper()): str(path) for name, path in folders.items()}


def at_nats(folders: Mapping[str, Path]) -> dict[str, str]:
    """Where a function's credentials for NATS are, which its Deployment says for a container that has them at a fixed place."""
    folder = folders.get(names.NATS_CREDENTIALS)
    return {"NATS_CREDS": str(folder / "nats.creds"), "NATS_CA": str(folder / "ca.crt")} if folder else {}


async def materialise(client: Client, pod: Pod, folder: Path) -> dict[str, Path]:
    """Make every volume of the pod under `folder`. Raises BadPod for a missing source or a kind that a local node cannot offer."""
    found: dict[str, Path] = {}
    for volume in pod.spec.volumes:
        name = str(volume.get("name", ""))
        try:
            found[name] = await _materialised(client, pod, folder / "volumes" / name, name, volume)
        except (OSError, ValueError) as error:
            raise BadPod(f"volume {name} cannot be written: {error}") from error
        except (AttributeError, KeyError, TypeError) as error:  # its inside is free of types: any JSON may be there
            raise BadPod(f"volume {name} is malformed: {type(error).__name__}: {error}") from error
    return found


async def _materialised(client: Client, pod: Pod, path: Path, name: str, volume: Mapping[str, Any]) -> Path:
    if "hostPath" in volume:
        return Path(volume["hostPath"].get("path", "/"))
    _fill(path, await _contents(client, pod, name, volume))
    return path


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for key, data in contents.items():
        target = folder / key
        if folder.resolve() not in target.resolve().parents:
            raise ValueError(f"{key!r} leads out of the volume")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(0o600)


async def _contents(client: Client, pod: Pod, name: str, volume: Mapping[str, Any]) -> dict[str, bytes]:
    if "projected" in volume:
        merged: dict[str, bytes] = {}
        for source in volume["projected"].get("sources") or ():
            merged |= await _source(client, pod, name, source)
        return merged
    if "emptyDir" in volume:
        return {}
    return await _source(client, pod, name, volume)


async def _source(client: Client, pod: Pod, volume: str, source: Mapping[str, Any]) -> dict[str, bytes]:
    if (given := source.get("secret")) is not None:
        secret_name = str(given.get("secretName") or given.get("name") or "")
        secret = await _get(client, kinds.SECRET, secret_name, pod, volume, bool(given.get("optional")))
        data = {k: base64.b64decode(v) for k, v in secret.data.items()} if secret else {}
        return _chosen(data, given, volume)
    if (given := source.get("configMap")) is not None:
        found = await _get(client, kinds.CONFIG_MAP, str(given.get("name") or ""), pod, volume, bool(given.get("optional")))
        data = {k: v.encode() for k, v in found.data.items()} if found else {}
        data |= {k: base64.b64decode(v) for k, v in found.binary_data.items()} if found else {}
        return _chosen(data, given, volume)
    if (given := source.get("downwardAPI")) is not None:
        items = given.get("items") or ()
        return {i["path"]: environment.field(pod, (i.get("fieldRef") or {}).get("fieldPath", ""), "", volume).encode() for i in items}
    if "serviceAccountToken" in source:
        return {}
    kind = next((key for key in source if key != "name"), "nothing")
    raise BadPod(f"volume {volume}: {kind} is not available on the local node; use secret, configMap, projected, emptyDir or hostPath")


async def _get(client: Client, kind: Any, name: str, pod: Pod, volume: str, optional: bool) -> Any:
    try:
        return await client.get(kind, name, pod.metadata.namespace)
    except NotFound:
        if optional:
            return None
        raise BadPod(f'volume {volume}: {kind.singular} "{name}" not found') from None
    except KubeError as error:
        raise BadPod(f"volume {volume}: {kind.singular} {name} cannot be read: {error}") from error


def _chosen(data: dict[str, bytes], given: Mapping[str, Any], volume: str) -> dict[str, bytes]:
    """All keys, or those that `items` lists, under the paths it gives."""
    items = given.get("items")
    if not items:
        return data
    missing = [i["key"] for i in items if i["key"] not in data]
    if missing and not given.get("optional"):
        raise BadPod(f"volume {volume}: references non-existent key: {', '.join(missing)}")
    return {i["path"]: data[i["key"]] for i in items if i["key"] in data}
