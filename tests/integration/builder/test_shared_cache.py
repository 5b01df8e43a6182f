"""Layers that another machine made, taken out of Debian's docker-registry."""

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import oci
from builder.caching import shared
from builder.options import BuildOptions, BuildResult
from builder.registry.client import Registries
from builder.registry.reference import parse_ref, parse_repository
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.integration.builder.test_private_index import wheel
from tests.peers.registry import Running, registry, skopeo


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with registry(tmp_path) as found:
        yield found


@pytest.fixture
def source(workshop: Workshop) -> Path:
    wheels = workshop.root / "wheels"
    wheels.mkdir()
    (wheels / "tinything-1.0-py3-none-any.whl").write_bytes(wheel())
    return workshop.source(func_py="import tinything\n" + HANDLER, requirements_txt=f"--no-index\n--find-links {wheels}\ntinything\n")


def asked(running: Running, since: int) -> list[str]:
    return running.requests()[since:]


class Machine:
    """Builds and pushes with a cache of its own."""

    def __init__(self, workshop: Workshop, running: Running, name: str) -> None:
        self.workshop, self.running, self.cache = workshop, running, workshop.root / name
        if name == "first":
            shutil.copytree(workshop.root / "cache", self.cache)

    async def build(self, source: Path, **options: Any) -> BuildResult:
        given = {
            "store": None, "cache": self.cache, "push": True, "tags": (f"{self.running.host}/team/hello:v1",), "base": "none",
            "registry_cache": f"{self.running.host}/team/kfn-cache", "profile": False,
        }  # fmt: skip
        return await self.workshop.build(source, **{**given, **options})

    def has(self, result: BuildResult, kind: str) -> bool:
        """Whether the bytes of that layer are here."""
        layer = next(one.layer for one in result.layers if one.layer.kind == kind)
        return (self.cache / "blobs/sha256" / layer.digest.removeprefix("sha256:")).exists()


class TestAnotherMachine:
    async def test_takes_layers_without_their_bytes_and_makes_the_same_image(
        self, workshop: Workshop, running: Running, source: Path
    ) -> None:
        one, two = Machine(workshop, running, "first"), Machine(workshop, running, "second")
        first = await one.build(source, registry_cache_write=True)
        assert any(step.name == "share" for step in workshop.steps)
        since = len(running.requests())
        second = await two.build(source, tags=(f"{running.host}/team/other:v1",))
        assert second.digest == first.digest
        assert {b.layer.kind: b.cached for b in second.layers} == {"runtime": True, "deps": True, "source": False}
        assert not two.has(second, "deps")
        assert not two.has(second, "runtime")
        assert not [line for line in asked(running, since) if line.startswith("GET") and "/blobs/sha256" in line]
        seen = json.loads(await skopeo("inspect", "--tls-verify=false", f"docker://{running.host}/team/other:v1"))
        assert seen["Digest"] == first.digest

    async def test_that_does_not_push_gets_the_bytes_checked_and_unpacked(self, workshop: Workshop, running: Running, source: Path) -> None:
        first = await Machine(workshop, running, "first").build(source, registry_cache_write=True)
        two = Machine(workshop, running, "second")
        local = await two.build(source, push=False, tags=(), store=workshop.root / "images")
        assert {b.layer.kind: b.cached for b in local.layers} == {"runtime": True, "deps": True, "source": False}
        assert [b.layer.diff_id for b in local.layers] == [b.layer.diff_id for b in first.layers]
        assert workshop.store.resolve(local.reference).layers
        written = await two.build(source, push=False, tags=(), outputs=(f"oci:{workshop.root / 'layout'}",))
        assert written.digest == first.digest

    async def test_writes_nothing_unless_asked(self, workshop: Workshop, running: Running, source: Path) -> None:
        await Machine(workshop, running, "first").build(source)
        assert not [line for line in running.requests() if line.startswith(("PUT", "POST", "PATCH")) and "kfn-cache" in line]

    async def test_makes_itself_what_the_registry_has_collected(self, workshop: Workshop, running: Running, source: Path) -> None:
        first = await Machine(workshop, running, "first").build(source, registry_cache_write=True)
        for built in first.layers:
            if built.layer.kind == "deps":
                running.blob(built.layer.digest).unlink()
        two = Machine(workshop, running, "second")
        second = await two.build(source, tags=(f"{running.host}/team/other:v1",))
        assert second.digest == first.digest
        assert {b.layer.kind: b.cached for b in second.layers}["deps"] is False

    async def test_goes_on_without_a_registry_that_is_not_there_and_says_so_once(
        self, workshop: Workshop, running: Running, source: Path
    ) -> None:
        result = await Machine(workshop, running, "first").build(source, registry_cache="127.0.0.1:1/team/kfn-cache")
        assert len([warning for warning in result.warnings if "--registry-cache 127.0.0.1:1/team/kfn-cache" in warning]) == 1


class TestAPoisonedEntry:
    @pytest.mark.parametrize("change", ["key", "form", "diff-id", "type", "facts"])
    async def test_of_another_key_or_of_another_content_is_not_taken(
        self, workshop: Workshop, running: Running, source: Path, change: str
    ) -> None:
        first = await Machine(workshop, running, "first").build(source, registry_cache_write=True)
        repository = parse_repository(f"{running.host}/team/kfn-cache")
        async with Registries(BuildOptions(store=None).registry_settings()) as registries:
            for tag in await registries.tags(repository):
                old = await registries.manifest(repository.tagged(tag))
                notes = dict(old.annotations)
                notes |= {
                    "key": {shared.KEY: "0" * 64}, "form": {shared.FORM: "gzip of somebody else"}, "facts": {shared.FACTS: "[1"},
                    "diff-id": {shared.DIFF_ID: "sha256:" + "0" * 64} if shared.DIFF_ID in notes else {}, "type": {},
                }[change]  # fmt: skip
                kind = "application/x" if change == "type" else shared.TYPE
                blobs = tuple(replace(one, origin=repository.name) for one in old.blobs[1:])
                await registries.put_manifest(repository.tagged(tag), oci.artifact(kind, None, blobs, notes))
        two = Machine(workshop, running, "second")
        local = await two.build(source, push=False, tags=(), store=workshop.root / "images")
        assert [b.layer.diff_id for b in local.layers] == [b.layer.diff_id for b in first.layers]
        assert {b.layer.kind: b.cached for b in local.layers} == {"runtime": False, "deps": False, "source": False}
        assert any("does not hold what it promises" in warning for warning in local.warnings) == (change == "diff-id")


def test_a_tag_is_one_that_registries_take() -> None:
    made = shared.Shared(parse_ref("127.0.0.1:5000/x"), shared.Form("gzip"), Registries(BuildOptions(store=None).registry_settings()))
    assert len(made.tag("a" * 64)) == len("deps-") + 40
    assert made.tag("a" * 64) != made.tag("b" * 64)
