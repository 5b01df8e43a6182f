"""An image's config and manifest, as canonical JSON: the same layers and facts give the same bytes. Pure."""

from dataclasses import dataclass

from builder.store import CONFIG, LAYER_KIND, MANIFEST, Layer, canonical

RUNTIME, DEPS, FUNC = "opt/kfn/runtime", "opt/kfn/deps", "func"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a function's image beside its layers."""

    python: str  # 3.11.7
    machine: str  # x86_64
    handler: str
    invoke: str
    preload: tuple[str, ...]


def config(facts: Facts, layers: tuple[Layer, ...]) -> bytes:
    """No base yet: the node's interpreter of this exact version runs it."""
    labels = {
        "dev.kfn.runtime": "python",
        "dev.kfn.python": facts.python,
        "dev.kfn.handler": facts.handler,
        "dev.kfn.preload": ",".join(facts.preload),
        "dev.kfn.invoke": facts.invoke,
    }
    env = [f"KFN_HANDLER={facts.handler}", f"KFN_SOURCE=/{FUNC}", f"PYTHONPATH=/{RUNTIME}:/{DEPS}", "PYTHONUNBUFFERED=1"]
    return canonical(
        {
            "architecture": ARCHITECTURES.get(facts.machine, facts.machine),
            "os": "linux",
            "created": EPOCH,
            "config": {
                "Env": env,
                "Entrypoint": ["python3", "-m", "kfn.function"],
                "ExposedPorts": {"8080/tcp": {}},
                "Labels": labels,
                "User": "1000:1000",
                "WorkingDir": f"/{FUNC}",
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": EPOCH, "created_by": f"kfn build: {layer.kind}"} for layer in layers],
        }
    )


def manifest(facts: Facts, config_digest: str, config_size: int, layers: tuple[Layer, ...]) -> bytes:
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
            "layers": [
                {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size, "annotations": {LAYER_KIND: layer.kind}}
                for layer in layers
            ],
            "annotations": {"dev.kfn.handler": facts.handler, "dev.kfn.python": facts.python},
        }
    )
