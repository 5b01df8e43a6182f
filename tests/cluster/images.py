"""Images of one static program, as OCI archives written here: what a cluster needs before anything that builds images is there."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def write(archive: Path, name: str, program: Path, *args: str) -> None:
    """`program` as /NAME, run with `args` as user 65532 unless the pod says otherwise."""
    layer = _tar({program.name: program.read_bytes()}, 0o755)
    run = {"Entrypoint": [f"/{program.name}"], "Cmd": list(args), "User": "65532:65532", "WorkingDir": "/"}
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    config = json.dumps({"architecture": ARCHITECTURE, "os": "linux", "config": run, "rootfs": rootfs}).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": _descriptor(config, f"{kind}.config.v1+json"),
            "layers": [_descriptor(layer, f"{kind}.layer.v1.tar")],
        }
    ).encode()
    entry = {**_descriptor(manifest, f"{kind}.manifest.v1+json"), "annotations": {"io.containerd.image.name": name}}
    blobs = {f"blobs/sha256/{_digest(one).removeprefix('sha256:')}": one for one in (layer, config, manifest)}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    archive.write_bytes(_tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
