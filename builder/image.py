"""An image of a base and of what a language made: config and manifest as canonical JSON. The same parts give the same bytes. Pure."""

from collections.abc import Mapping
from typing import Any

from builder.base.model import Base
from builder.language import Parts
from builder.oci import EPOCH, Blob, Content, Layer, canonical, image

BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
USER = "1000:1000"  # unless the base has a user that is not root
ROOT = ("", "0", "root", "0:0", "root:root")


def make(
    base: Base, parts: Parts, layers: tuple[Layer, ...], blobs: tuple[Blob, ...], annotations: Mapping[str, str], created: str = EPOCH
) -> Content:
    """`layers` are the base's and then the function's own, in the form in which the image has them; `blobs` their bytes."""
    notes = {**annotations, **parts.annotations}
    if base.reference:
        notes |= {BASE_NAME: base.reference.partition("@")[0], BASE_DIGEST: base.digest}
    return image(_config(base, parts, layers, created), layers, blobs, base.platform, notes)


def _config(base: Base, parts: Parts, layers: tuple[Layer, ...], created: str) -> bytes:
    below = base.config if parts.config is None else parts.config
    user = str(below.get("User", ""))
    own: dict[str, Any] = {
        "Env": _env(below.get("Env") or (), parts.env),
        "Entrypoint": list(parts.entrypoint),
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {**(below.get("Labels") or {}), **parts.labels},
        "User": USER if user in ROOT and parts.config is None else user,
        "WorkingDir": parts.folder,
    }
    names = ("StopSignal", "Volumes") if parts.config is None else ("StopSignal", "Volumes", "Cmd")
    kept = {key: below[key] for key in names if below.get(key)}
    return canonical(
        {
            **base.platform.oci,
            "created": created,
            "config": {**kept, **own},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": EPOCH, "created_by": f"kfn build: {layer.kind}"} for layer in layers],
        }
    )


def _env(base: tuple[str, ...], own: tuple[str, ...]) -> list[str]:
    """The base's variables, with the function's over them."""
    variables = dict(entry.partition("=")[::2] for entry in (*base, *own))
    return [f"{name}={value}" for name, value in variables.items()]
