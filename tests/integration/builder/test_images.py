"""Whole images of `kfn build` in containerd with runc, as an ordinary user on a root that cannot be written: what a cluster's node does."""

import socket
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest

from tests.integration.builder import bases
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.peers.containerd import PATIENCE, containerd

ROOT = Path(__file__).parents[3]
# In the image: every module has bytecode of its own interpreter and of its own text, which is never compared again (PEP 552).
BYTECODE = """
import importlib.util as util, pathlib
for root in ("/usr/lib/python3.13", "/opt/kfn"):
    for path in pathlib.Path(root).rglob("*.py"):
        if path.is_symlink():
            continue
        compiled = pathlib.Path(util.cache_from_source(str(path)))
        head = compiled.read_bytes()[:16] if compiled.is_file() else b""
        if head != util.MAGIC_NUMBER + bytes((1, 0, 0, 0)) + util.source_hash(path.read_bytes()):
            print(path)
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def answer(port: int, process: "subprocess.Popen[str]") -> bytes:
    with anyio.fail_after(PATIENCE):
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    return (await client.get(f"http://127.0.0.1:{port}/")).content
                except httpx.TransportError:
                    assert process.poll() is None, "it ended"
                    await anyio.sleep(0.05)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


class TestAnImageOnANode:
    @pytest.mark.parametrize(("name", "said"), [("python", b"hello"), ("node", b"hello world, from Node")])
    async def test_answers_and_ends_when_it_is_told_to(self, workshop: Workshop, archive: Path, name: str, said: bytes) -> None:
        await bases.base("node" if name == "node" else "python3.13", workshop.root, runtime=name)  # else it is skipped
        source = workshop.source(func_py=HANDLER) if name == "python" else ROOT / "examples/node"
        await workshop.build(source, base="", store=None, cache=bases.CACHE, outputs=(f"oci-archive:{archive}",), profile=False)
        with containerd() as runtime:
            image, port = runtime.load(archive), free_port()
            process = runtime.start(image, env={"PORT": str(port), "KFN_HOST": "127.0.0.1"}, read_only=True, host_network=True)
            try:
                assert (await answer(port, process)).startswith(said)
                pid, task = runtime.ctr("tasks", "ls").stdout.splitlines()[1].split()[1::-1]
                status = Path(f"/proc/{pid}/status").read_text()
                assert "CapEff:\t0000000000000000" in status and "Uid:\t0" not in status
                runtime.ctr("tasks", "kill", "--signal", "SIGTERM", task)
                process.communicate(timeout=PATIENCE)
                assert process.returncode == 0
            finally:
                runtime.end(process)

    async def test_starts_without_compiling_anything(self, workshop: Workshop, archive: Path) -> None:
        await bases.base("python3.13", workshop.root)
        source = workshop.source(func_py=HANDLER, requirements_txt="idna==3.7\n")
        await workshop.build(source, base="", store=None, cache=bases.CACHE, outputs=(f"oci-archive:{archive}",), profile=False)
        with containerd() as runtime:
            ended = runtime.run(runtime.load(archive), "python3", "-c", BYTECODE, read_only=True)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
