"""Images of one static program, as OCI archives written here: what a cluster needs before anything that builds images is there."""

import hashlib
import io
import json
import os
import platform
import tarfile
from pathlib import Path

import httpx

_KIND = "application/vnd.oci.image"
_MANIFEST = f"{_KIND}.manifest.v1+json"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _parts(program: Path, args: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
    """Layer, configuration, manifest: `program` as /NAME, run with `args` as user 65532 unless the pod says otherwise."""
    layer = _tar({program.name: program.read_bytes()}, 0o755)
    run = {"Entrypoint": [f"/{program.name}"], "Cmd": list(args), "User": "65532:65532", "WorkingDir": "/"}
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    config = json.dumps({"architecture": ARCHITECTURE, "os": "linux", "config": run, "rootfs": rootfs}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(config, f"{_KIND}.config.v1+json"),
            "layers": [_descriptor(layer, f"{_KIND}.layer.v1.tar")],
        }
    ).encode()
    return layer, config, manifest


def write(archive: Path, name: str, program: Path, *args: str) -> None:
    """As an OCI archive, for `ctr images import`."""
    parts = _parts(program, args)
    entry = {**_descriptor(parts[2], _MANIFEST), "annotations": {"io.containerd.image.name": name}}
    blobs = {f"blobs/sha256/{_digest(one).removeprefix('sha256:')}": one for one in parts}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    archive.write_bytes(_tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}))


def push(registry: str, repository: str, tag: str, program: Path, *args: str) -> str:
    """To a registry that asks for no login; returns the image's name. kfn's own pusher is better: this one is there before kfn is."""
    *blobs, manifest = _parts(program, args)
    plain = registry in os.environ.get("KFN_REGISTRY_PLAIN_HTTP", "").split(",") or registry.startswith(("localhost:", "127."))
    base = f"{'http' if plain else 'https'}://{registry}/v2/{repository}"
    with httpx.Client(trust_env=False, timeout=60) as client:
        for blob in blobs:
            begun = client.post(f"{base}/blobs/uploads/").raise_for_status()
            place = begun.url.join(begun.headers["Location"]).copy_merge_params({"digest": _digest(blob)})
            client.put(place, content=blob).raise_for_status()
        client.put(f"{base}/manifests/{tag}", content=manifest, headers={"Content-Type": _MANIFEST}).raise_for_status()
    return f"{registry}/{repository}:{tag}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
