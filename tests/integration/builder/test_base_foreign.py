"""Somebody's image as a base: from a registry (docker-registry on loopback) by digest, or imported from a file without one."""

import shutil
import subprocess
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import oci
from builder.base import foreign, imported, manage
from builder.base.app import find
from builder.base.model import Base
from builder.cache import Cache
from builder.errors import ImageMissing, RegistryError, UsageError
from builder.layout import Output, write
from builder.options import BuildOptions
from builder.platform import Platform, host
from builder.project import Project
from builder.registry.client import Registries
from builder.registry.push import push
from builder.registry.reference import parse_ref
from builder.tar import Member
from tests.integration.builder.bases import CACHE, archive, base, content
from tests.peers.registry import registry

Find = Callable[..., Awaitable[Base]]


@pytest.fixture
def a_find(tmp_path: Path) -> Find:
    """As a build asks for its base, with a cache of its own."""

    async def ask(name: str, architecture: str = host().architecture, runtime: str = "python", **given: Any) -> Base:
        project = Project(tmp_path, "test", runtime=runtime)
        return await find(name, Platform(architecture), project, BuildOptions(**{"store": None, "cache": tmp_path / "cache", **given}))

    return ask


async def put(image: oci.Content, name: str) -> None:
    async with Registries() as registries:
        await push(registries, image, (parse_ref(name),), lambda step: None)


def small(tmp_path: Path, members: list[Member], architecture: str = host().architecture, **config: Any) -> oci.Content:
    """An image of one layer."""
    cache = Cache(tmp_path / "small")
    layer = cache.add("small", "base", members, {}).layer
    one = Base("small", Platform(architecture), layers=(layer,), config=config)
    return content(one, cache.path)


class TestFromARegistry:
    async def test_its_own_interpreter_is_used_for_both_platforms_and_its_layers_stay_where_they_are(
        self, tmp_path: Path, a_find: Find
    ) -> None:
        both = [await base("python3.13", tmp_path, architecture) for architecture in ("amd64", "arm64")]
        async with registry(tmp_path) as reg:
            name = f"{reg.host}/team/python:1"
            await put(oci.index(tuple(map(content, both)), {}), name)
            for own in both:
                found = await a_find(name, own.platform.architecture)
                assert found.python
                assert (found.python.version, found.libc) == ("3.13.5", "glibc 2.41")
                assert str(tmp_path / "cache") in found.python.command[-1]
                assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in own.layers]
                assert {layer.origin for layer in found.layers} == {f"{reg.host}/team/python"}
                assert not any(Cache(tmp_path / "cache").blob(layer.digest).exists() for layer in found.layers)
                assert found.reference.endswith(f"@{found.digest}")
        again = await a_find(name)  # the registry is gone
        assert again.digest == (await a_find(name, offline=True, locked=True)).digest

    async def test_a_tag_keeps_its_meaning_until_it_is_renewed(self, tmp_path: Path, a_find: Find) -> None:
        async with registry(tmp_path) as reg:
            name = f"{reg.host}/tool:latest"
            await put(small(tmp_path, [Member("a", load=lambda: b"1")]), name)
            first = await a_find(name, runtime="go")
            await put(small(tmp_path, [Member("a", load=lambda: b"2")]), name)
            assert (await a_find(name, runtime="go")).digest == first.digest
            assert (tmp_path / "kfn-images.lock").read_text().count(name) == 1
            (change,) = await manage.renew_images(tmp_path)
            assert (change.old, (await a_find(name, runtime="go")).digest == first.digest) == (first.digest, False)

    async def test_what_cannot_be_stood_on_is_named(self, tmp_path: Path, a_find: Find) -> None:
        other = "arm64" if host().architecture == "amd64" else "amd64"
        async with registry(tmp_path) as reg:
            await put(small(tmp_path, [Member("a", load=lambda: b"1")]), f"{reg.host}/tool:1")
            with pytest.raises(UsageError, match=f"is for {host()}, the image is to be for linux/{other}"):
                await a_find(f"{reg.host}/tool:1", other, "go")
            with pytest.raises(ImageMissing, match="404"):
                await a_find(f"{reg.host}/tool:2")
            with pytest.raises(UsageError, match=r"--locked: base .* has no digest"):
                await a_find(f"{reg.host}/tool:3", locked=True)
            with pytest.raises(UsageError, match=r"--offline: base .* has no digest"):
                await a_find(f"{reg.host}/tool:3", offline=True)
            assert (await a_find(f"{reg.host}/tool:1")).python is None
        with pytest.raises(UsageError, match=r"'pythn3' is not one of none, scratch, python, python3\.13"):
            await a_find("pythn3")

    async def test_a_python_that_only_root_may_read_is_refused(self, tmp_path: Path, a_find: Find) -> None:
        own = await base("python3.13", tmp_path)
        cache = Cache(CACHE)
        closing = cache.add(
            "test closing", "base", [Member("usr/lib", folder=True, mode=0o700), Member("usr/bin", folder=True, mode=0o700)], {}
        )
        async with registry(tmp_path) as reg:
            await put(content(replace(own, layers=(*own.layers, closing.layer))), f"{reg.host}/closed:1")
            with pytest.raises(UsageError, match="only root may read /usr/bin"):
                await a_find(f"{reg.host}/closed:1")

    async def test_a_python_that_does_not_start_here_gives_way_to_the_hosts_of_the_same_minor_version(
        self, tmp_path: Path, a_find: Find
    ) -> None:
        broken = [Member("usr/bin/python3", load=lambda: b"#!/bin/sh\n", executable=True)]
        own = ".".join(map(str, __import__("sys").version_info[:2]))
        async with registry(tmp_path) as reg:
            await put(small(tmp_path, broken, Env=[f"PYTHON_VERSION={own}.99", "PATH=/usr/bin"]), f"{reg.host}/broken:1")
            found = await a_find(f"{reg.host}/broken:1")
            assert found.python
            assert found.python.minor == own
            assert "this machine's" in found.warnings[0]
            await put(small(tmp_path, broken, Env=["PYTHON_VERSION=3.9.1", "PATH=/usr/bin"]), f"{reg.host}/broken:2")
            with pytest.raises(UsageError, match=r"has Python 3\.9\.1"):
                await a_find(f"{reg.host}/broken:2")

    async def test_musl_is_told_from_glibc(self, tmp_path: Path, a_find: Find) -> None:
        machine = host().machine
        loader = Member(f"lib/ld-musl-{machine}.so.1", load=lambda: b"\x7fELF...musl libc\0Version\0" + b"\0" + b"1.2.5\0", executable=True)
        async with registry(tmp_path) as reg:
            await put(small(tmp_path, [loader]), f"{reg.host}/musl:1")
            assert (await a_find(f"{reg.host}/musl:1")).libc == "musl 1.2"

    async def test_own_bases_can_be_pushed_for_those_without_a_mirror(self, tmp_path: Path, a_find: Find) -> None:
        await base("static", tmp_path)
        async with registry(tmp_path) as reg:
            given = BuildOptions(store=None, cache=CACHE)
            pushed = await manage.push("static", f"{reg.host}/bases/static:13", (Platform("amd64"), Platform("arm64")), given)
            for architecture in ("amd64", "arm64"):
                assert len((await a_find(pushed, architecture, "go")).layers) == 1


class TestAConfigOfSomebodyElse:
    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            '{"config": [1]}',
            '{"config": {"Env": "A=1"}}',
            '{"config": {"Env": [1]}}',
            '{"config": {"Labels": [1]}}',
            '{"config": {"Labels": {"dev.kfn.python": 3}}}',
            '{"rootfs": [1]}',
            '{"rootfs": {"diff_ids": [1]}}',
            '{"rootfs": {"diff_ids": ["sha256:../../x"]}}',
            "[" * 100_000,
        ],
    )
    def test_of_another_form_is_refused_in_words(self, text: str) -> None:
        with pytest.raises(RegistryError, match="its config is not what an image's is"):
            foreign.config_of(text.encode(), "x")


class TestImported:
    @pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
    async def test_an_image_in_a_file_is_a_base_without_any_registry(self, tmp_path: Path, a_find: Find, kind: str) -> None:
        own = await base("python3.13", tmp_path)
        file = archive(own, tmp_path / "image", kind, "nowhere.example/python:1")
        one = imported.bring(Cache(tmp_path / "cache"), file)
        assert (one.name, one.platforms) == ("nowhere.example/python:1", (str(host()),))
        found = await a_find("nowhere.example/python:1", offline=True)
        assert found.python
        assert found.python.version == "3.13.5"
        assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in own.layers]
        assert all(Cache(tmp_path / "cache").blob(layer.digest).stat().st_size == layer.size for layer in found.layers)

    def test_a_folder_that_changes_later_changes_nothing_of_what_was_kept(self, tmp_path: Path) -> None:
        image = small(tmp_path, [Member("a", load=lambda: b"1")])
        write(Output("oci", tmp_path / "layout"), image, (), "nowhere.example/x:1")
        imported.bring(Cache(tmp_path / "cache"), tmp_path / "layout")
        theirs = tmp_path / "layout/blobs/sha256" / image.blobs[1].digest[7:]
        kept = tmp_path / "cache" / imported.FOLDER / theirs.name
        assert kept.read_bytes() == theirs.read_bytes()
        assert not kept.samefile(theirs)
        assert sorted(path.suffix for path in kept.parent.iterdir()) == ["", ".json"]

    @pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
    async def test_what_skopeo_saves_as_docker_does_is_read(self, tmp_path: Path, a_find: Find) -> None:
        image = small(tmp_path, [Member("a", load=lambda: b"1")])
        write(Output("oci", tmp_path / "layout"), image, (), "x")
        command = ["skopeo", "copy", f"oci:{tmp_path}/layout:x", f"docker-archive:{tmp_path}/saved.tar:team/tool:1"]
        subprocess.run(command, check=True, capture_output=True)
        one = imported.bring(Cache(tmp_path / "cache"), tmp_path / "saved.tar", "mine/tool:2")
        assert one.name.endswith("mine/tool:2")
        assert len((await a_find("mine/tool:2", runtime="go")).layers) == 1

    def test_what_is_damaged_or_hostile_is_refused_and_nothing_is_kept(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path / "cache")
        image = small(tmp_path, [Member("a", load=lambda: b"1")])
        write(Output("oci", tmp_path / "layout"), image, (), "nowhere.example/x:1")
        layer = image.blobs[1]
        (tmp_path / "layout/blobs/sha256" / layer.digest[7:]).write_bytes(b"0" * layer.size)
        with pytest.raises(UsageError, match="damaged"):
            imported.bring(cache, tmp_path / "layout")
        with tarfile.open(tmp_path / "evil.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo("../evil"))
        with pytest.raises(UsageError, match="leads outside"):
            imported.bring(cache, tmp_path / "evil.tar")
        (tmp_path / "text").write_text("no tar")
        with pytest.raises(UsageError, match="is no image archive"):
            imported.bring(cache, tmp_path / "text")
        with pytest.raises(UsageError, match="does not exist"):
            imported.bring(cache, tmp_path / "missing")
        assert imported.listing(cache) == ()
        assert not (tmp_path / "evil").exists()
