"""A 200 MB layer to Debian's docker-registry on loopback and back: seconds, and what memory it takes. skopeo copies the same beside it.

.venv/bin/python -m tests.benchmarks.registry [MEGABYTES]
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

from builder import oci
from builder.platform import Platform
from builder.registry import pull
from builder.registry.client import Registries
from builder.registry.push import push
from builder.registry.reference import ImageRef
from builder.registry.settings import RegistrySettings
from tests.peers.registry import registry


def _peak() -> float:
    """The most that this process has held since it was asked last, in MB. Linux counts from anew after a 5."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    Path("/proc/self/clear_refs").write_text("5")
    return int(found[1]) / 1000 if found else 0.0


def _layer(folder: Path, megabytes: int) -> oci.Blob:
    path = folder / "layer"
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    with path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    return oci.Blob(digest, megabytes * 1_000_000, oci.LAYER_TAR, path=path)


async def main(megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layer = _layer(folder, megabytes)
        config = oci.canonical({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.digest]}})
        own = oci.Layer(layer.digest, layer.digest, layer.size, layer.media_type, "deps")
        content = oci.image(config, (own,), (layer,), Platform("amd64"), {})
        async with registry(folder) as reg, registry(folder) as other, Registries(RegistrySettings(environ={})) as registries:
            ref = ImageRef(reg.host, "app", "1")
            _peak()
            at_rest = _peak()

            async def timed(what: str, copy: ImageRef, given: oci.Content) -> None:
                before, start = registries.requests, time.perf_counter()
                await push(registries, given, [copy], lambda step: None)
                took = time.perf_counter() - start
                made, held = registries.requests - before, _peak() - at_rest
                print(f"{what:34} {took:6.2f} s {megabytes / took:6.0f} MB/s, peak +{held:.0f} MB, {made} requests")

            await timed("push", ref, content)
            await timed("push, nothing changed", ref, content)
            away = await pull.everything(registries, ref)
            await timed("mounted in another repository", ImageRef(reg.host, "second", "1"), away)
            await timed("copied to another registry", ImageRef(other.host, "app", "1"), away)
            start = time.perf_counter()
            await pull.local(registries, away, folder / "out")
            took = time.perf_counter() - start
            print(f"{'download, verified and synced':34} {took:6.2f} s {megabytes / took:6.0f} MB/s, peak +{_peak() - at_rest:.0f} MB")
            start = time.perf_counter()
            flags = ["--src-tls-verify=false", "--dest-tls-verify=false"]
            argv = ["skopeo", "copy", "-q", *flags, f"docker://{ref}", f"docker://{other.host}/skopeo:1"]
            ended = await anyio.to_thread.run_sync(lambda: subprocess.run(argv, check=True, capture_output=True))
            took = time.perf_counter() - start
            print(f"{'skopeo copy between registries':34} {took:6.2f} s {megabytes / took:6.0f} MB/s (exit {ended.returncode})")


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
