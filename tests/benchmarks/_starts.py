"""Container start to first answer, with the image's bytecode and without it: the same image, its `__pycache__` taken out of every layer."""

import asyncio
import gzip
import hashlib
import io
import json
import socket
import tarfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.benchmarks._measure import Table, interleaved
from tests.peers import containerd as runtime

Build = Callable[..., Awaitable[str]]
PATIENCE = 30.0  # seconds for the first answer


async def measured(root: Path, build: Build, project: Path, table: Table) -> None:
    """Adds the rows, or says what is missing."""
    if why := runtime.missing():
        print(f"starts were not measured: {why}")
        return
    full, bare = root / "full.tar", root / "bare.tar"
    await build(project, "-o", f"oci-archive:{full}:web")
    sizes = _without_bytecode(full, bare)
    with runtime.containerd() as node:
        images = {"with": node.load(full), "without": node.load(bare)}
        took = await interleaved({name: _start(node, image) for name, image in images.items()}, 7)
    beside = f"without bytecode: p50 {took['without'].p50 * 1e3:.0f} ms"
    table.add("container start to first answer, FastAPI", str(took["with"]), "", beside, took["with"].p50 / took["without"].p50)
    table.add("size of that image", f"{sizes[0] / 1e6:.1f} MB", "", f"without bytecode {sizes[1] / 1e6:.1f} MB", sizes[0] / sizes[1])


def _start(node: runtime.Containerd, image: str) -> Callable[[], Awaitable[None]]:
    async def start() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = node.start(image, env={"PORT": str(port)}, host_network=True)
        try:
            await _answered(port)
        finally:
            await asyncio.to_thread(node.end, process)

    return start


async def _answered(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < end, f"nothing listens on {port}"
            await asyncio.sleep(0.002)
            continue
        writer.write(b"GET / HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
        head = await reader.readline()
        writer.close()
        assert b" 200 " in head, head
        return


def _without_bytecode(source: Path, target: Path) -> tuple[int, int]:
    """Write the archive again without `__pycache__`; returns the bytes of both images' layers."""
    with tarfile.open(source) as archive:
        blobs = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    index = json.loads(blobs["index.json"])
    manifest = json.loads(blobs[_place(index["manifests"][0]["digest"])])
    config = json.loads(blobs[_place(manifest["config"]["digest"])])
    before = sum(layer["size"] for layer in manifest["layers"])
    out: dict[str, bytes] = {"oci-layout": blobs["oci-layout"]}
    for number, layer in enumerate(manifest["layers"]):
        plain = _strip(gzip.decompress(blobs[_place(layer["digest"])]))
        config["rootfs"]["diff_ids"][number] = _digest(plain)
        layer |= _put(out, gzip.compress(plain, 6, mtime=0))
    manifest["config"] |= _put(out, json.dumps(config).encode())
    index["manifests"] = [{**index["manifests"][0], **_put(out, json.dumps(manifest).encode())}]
    out["index.json"] = json.dumps(index).encode()
    with tarfile.open(target, "w") as archive:
        for name, data in out.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return before, sum(layer["size"] for layer in manifest["layers"])


def _strip(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            if "__pycache__" not in member.name:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    return out.getvalue()


def _put(out: dict[str, bytes], data: bytes) -> dict[str, Any]:
    out[_place(_digest(data))] = data
    return {"digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
