"""Bits that flip in the cache: what would go into another image without a word is noticed, made again, and told."""

import json
import shutil
from pathlib import Path

import pytest

from builder.base import rootfs
from builder.cache import Cache
from builder.errors import BlobCorrupt
from builder.python.interpreter import SUMS, check, known
from tests.integration.builder import bases
from tests.integration.builder.conftest import HANDLER, Workshop


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # it may be linked
    path.write_bytes(bytes(data))


class TestFacts:
    async def test_one_changed_word_counts_as_none(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER + "def other(request):\n    return 'other'\n")
        first = await workshop.build(source)
        changed = 0
        for path in (workshop.root / "cache/keys").iterdir():
            text = path.read_text()
            path.write_text(text.replace("func:handle", "func:other"))
            changed += "func:handle" in text
        again = await workshop.build(source)
        assert changed
        assert (again.digest, again.handler) == (first.digest, "func:handle")

    async def test_what_is_whole_is_found_again(self, workshop: Workshop) -> None:
        await workshop.build(workshop.source())
        cache = Cache(workshop.root / "cache")
        assert all(cache.facts(path.stem) for path in (cache.path / "keys").iterdir())


@pytest.fixture
async def ready(workshop: Workshop, tmp_path: Path) -> Path:
    """The workshop's cache with a base in it, and that base's root folder."""
    base = await bases.base("python3.13", tmp_path)
    assert base.python
    root, cache = Path(base.python.root), workshop.root / "cache"
    shutil.copytree(root, cache / "rootfs" / root.name, symlinks=True)
    shutil.copytree(bases.CACHE / "keys", cache / "keys", dirs_exist_ok=True)
    for layer in base.layers:
        shutil.copy(Cache(bases.CACHE).blob(layer.digest), Cache(cache).blob(layer.digest))
    return cache / "rootfs" / root.name


class TestTheInterpreterThatCompiles:
    async def test_is_made_again_if_a_file_that_it_loads_has_changed(self, workshop: Workshop, ready: Path, tmp_path: Path) -> None:
        sums = json.loads((ready / SUMS).read_bytes())
        wanted = {"usr/bin/python3.13", "usr/lib/python3.13/ast.py", "usr/lib/x86_64-linux-gnu/libc.so.6", ".kfn-python.json"}
        assert wanted <= sums.keys()
        given = {"base": "python3.13", "outputs": (f"oci:{tmp_path / 'out'}",), "store": None, "profile": False}
        first = await workshop.build(workshop.source(), **given)
        flip(ready / "usr/lib/python3.13/importlib/__pycache__/__init__.cpython-313.pyc")
        again = await workshop.build(workshop.source(func_py=HANDLER + "# changed\n"), **given)
        assert any("of the base's Python in the cache, had changed on disk and was made again" in one for one in again.warnings)
        assert json.loads((ready / SUMS).read_bytes()) == sums
        assert (await workshop.build(workshop.source(func_py=HANDLER), **given)).digest == first.digest

    @pytest.mark.parametrize("path", ["usr/bin/python3.13", ".kfn-python.json", SUMS])
    async def test_is_never_started_so(self, ready: Path, path: str) -> None:
        python = rootfs.interpreter(ready, json.loads((ready / ".kfn-python.json").read_bytes()))
        check(python)
        flip(ready / path)
        with pytest.raises(BlobCorrupt, match="had changed on disk"):
            check(python)
        assert not ready.exists()

    async def test_one_that_is_gone_is_not_remembered(self, workshop: Workshop, ready: Path, tmp_path: Path) -> None:
        given = {"base": "python3.13", "outputs": (f"oci:{tmp_path / 'out'}",), "store": None, "profile": False}
        await workshop.build(workshop.source(), **given)
        shutil.rmtree(ready)
        assert (await workshop.build(workshop.source(func_py=HANDLER + "# changed\n"), **given)).warnings == ()
        assert known({"command": ["/usr/bin/env", "/gone"], "version": "3.13.5", "tag": "cpython-313", "root": ""}) is None

    async def test_a_layer_of_the_base_that_changed_is_not_unpacked(self, workshop: Workshop, ready: Path, tmp_path: Path) -> None:
        given = {"base": "python3.13", "outputs": (f"oci:{tmp_path / 'out'}",), "store": None, "profile": False, "compression": "none"}
        first = await workshop.build(workshop.source(), **given)
        shutil.rmtree(ready)
        base = first.layers[0].layer
        flip(workshop.root / "cache/blobs/sha256" / base.digest.removeprefix("sha256:"))
        shutil.rmtree(tmp_path / "out")
        again = await workshop.build(workshop.source(), **given)
        assert any("a layer of the base, had changed on disk" in one for one in again.warnings)
        assert again.digest == first.digest
