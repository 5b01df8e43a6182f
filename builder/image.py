"""An image of a base and of what a language made: config and manifest as canonical JSON. The same parts give the same bytes. Pure."""

from typing import Any

from builder.base.model import Base
from builder.language import Parts
from builder.oci import EPOCH, Blob, Content, Layer, canonical, image

BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
USER = "1000:1000"  # unless the base has a user that is not root
ROOT = ("", "0", "root", "0:0", "root:root")


def make(base: Base, parts: Parts, layers: tuple[Layer, ...], blobs: tuple[Blob, ...], annotations: dict[str, str]) -> Content:
    """`layers` are the base's and then the function's own, in the form in which the image has them; `blobs` their bytes."""
    notes = {**annotations, **parts.annotations}
    if base.reference:
        notes |= {BASE_NAME: base.reference.partition("@")[0], BASE_DIGEST: base.digest}
    return image(_config(base, parts, layers), layers, blobs, base.platform, notes)


def _config(base: Base, parts: Parts, layers: tuple[Layer, ...]) -> bytes:
    own: dict[str, Any] = {
        "Env": _env(base.config.get("Env") or (), parts.env),
        "Entrypoint": list(parts.entrypoint),
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {**(base.config.get("Labels") or {}), **parts.labels},
        "User": USER if str(base.config.get("User", "")) in ROOT else base.config["User"],
        "WorkingDir": parts.folder,
    }
    kept = {key: value for key, value in base.config.items() if key in ("StopSignal", "Volumes")}
    return canonical(
        {
            **base.platform.oci,
            "created": EPOCH,
            "config": {**kept, **own},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": EPOCH, "created_by": f"kfn build: {layer.kind}"} for layer in layers],
        }
    )


def _env(base: tuple[str, ...], own: tuple[str, ...]) -> list[str]:
    """The base's variables, with the function's over them."""
    variables = dict(entry.partition("=")[::2] for entry in (*base, *own))
    return [f"{name}={value}" for name, value in variables.items()]
