"""Images into Debian's docker-registry, read back by skopeo."""

import json
from pathlib import Path

import pytest

from builder import oci
from builder.errors import ImageMissing
from builder.options import Step
from builder.registry import pull
from builder.registry.push import push
from builder.registry.reference import ImageRef
from tests.integration.registry.conftest import AMD64, ARM64, Client, an_image, blob_file, quiet
from tests.peers.registry import registry, skopeo


class TestPushingAnImage:
    async def test_makes_it_readable_by_others_and_tells_what_went_where(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 40_000), blob_file(tmp_path, 500, b"2"))
        steps: list[Step] = []
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "team/app", "1")
            done = await push(registries, content, [ref, ref.tagged("latest")], steps.append)
            assert done.digest == content.digest
            assert done.uploaded == sum(blob.size for blob in content.blobs)
            seen = json.loads(await skopeo("inspect", "--tls-verify=false", f"docker://{ref}"))
            assert seen["Digest"] == content.digest
            assert sorted(seen["RepoTags"]) == ["1", "latest"]
            await skopeo("copy", "--src-tls-verify=false", f"docker://{ref}", f"oci:{tmp_path}/out:1")
            assert (await registries.resolve(ref)).digest == content.digest
            assert sorted(await registries.tags(ref)) == ["1", "latest"]
        assert [step.name for step in steps] == ["push"]
        assert f"{ref.name}:1, latest 40.7 kB of 40.7 kB" in steps[0].detail

    async def test_takes_one_request_when_nothing_changed(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 1000))
        async with registry(tmp_path) as reg:
            ref = ImageRef(reg.host, "app", "1")
            async with client() as registries:
                await push(registries, content, [ref], quiet)
            async with client() as registries:
                done = await push(registries, content, [ref], quiet)
                assert registries.requests == 1
            assert reg.requests()[-1:] == ["HEAD /v2/app/manifests/1"]
        assert (done.uploaded, done.mounted, done.present) == (0, 0, sum(blob.size for blob in content.blobs))

    async def test_sets_a_tag_back_that_names_another_image_meanwhile(self, tmp_path: Path, client: Client) -> None:
        one, other = (an_image(blob_file(tmp_path, 900, seed)) for seed in (b"one", b"other"))
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "app", "1")
            for content in (one, other, one):
                await push(registries, content, [ref], quiet)
                assert (await registries.resolve(ref)).digest == content.digest

    async def test_asks_and_sends_no_more_than_needed_when_only_the_source_layer_changed(self, tmp_path: Path, client: Client) -> None:
        deps = blob_file(tmp_path, 20_000)
        before, after = (an_image(deps, blob_file(tmp_path, 900, seed)) for seed in (b"before", b"after"))
        async with registry(tmp_path) as reg:
            ref = ImageRef(reg.host, "app", "1")
            async with client() as registries:
                await push(registries, before, [ref], quiet)
            async with client() as registries:
                done = await push(registries, after, [ref], quiet)
                # HEAD of the tag, the manifest and three blobs, POST and PUT of config and source, the manifest by digest, the tag
                assert registries.requests == 1 + 1 + 3 + 2 * 2 + 2
        assert done.present == 20_000

    async def test_whose_blob_was_collected_though_its_manifest_is_there_is_sent_again(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 3000))
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "app", "1")
            await push(registries, content, [ref], quiet)
            lost = content.blobs[-1].digest
            reg.blob(lost).unlink()
            done = await push(registries, content, [ref.tagged("2")], quiet)
            assert done.uploaded == 3000
            assert reg.blob(lost).is_file()
            assert (await registries.resolve(ref.tagged("2"))).digest == content.digest

    async def test_puts_children_before_their_index_and_the_tag_last(self, tmp_path: Path, client: Client) -> None:
        images = tuple(an_image(blob_file(tmp_path, 3000, str(p).encode()), platform=p) for p in (AMD64, ARM64))
        content = oci.index(images, {})
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "app", "both")
            await push(registries, content, [ref], quiet)
            puts = [line.rpartition("/")[2] for line in reg.requests() if line.startswith("PUT /v2/app/manifests/")]
            assert puts == [*(child.digest for child in content.children), content.digest, "both"]
            raw = await skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{ref}")
            assert oci.sha256(raw.encode()) == content.digest
            found = await pull.image(registries, ref, ARM64)
            assert found.digest == images[1].digest
            assert found.blobs[0].origin == ref.name
            whole = await pull.everything(registries, ref)
            assert [child.digest for child in whole.children] == [child.digest for child in content.children]

    async def test_sends_a_large_layer_in_chunks(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 1_000_001))
        async with registry(tmp_path) as reg, client(monolithic=500_000, chunk=300_000) as registries:
            ref = ImageRef(reg.host, "app", "1")
            await push(registries, content, [ref], quiet)
            assert sum(line.startswith("PATCH") for line in reg.requests()) == 4
            local = await pull.local(registries, await pull.image(registries, ref, AMD64), tmp_path / "out")
            assert all(blob.path and oci.sha256(blob.path.read_bytes()) == blob.digest for blob in local.blobs)


class TestBytesThatAreElsewhere:
    async def test_are_mounted_within_a_registry(self, tmp_path: Path, client: Client) -> None:
        blob = blob_file(tmp_path, 5000)
        async with registry(tmp_path) as reg, client() as registries:
            base = ImageRef(reg.host, "bases/python", "1")
            await push(registries, an_image(blob), [base], quiet)
            away = oci.Blob(blob.digest, blob.size, blob.media_type, origin=base.name)
            done = await push(registries, an_image(away, note="other"), [ImageRef(reg.host, "team/app", "1")], quiet)
            assert done.mounted == 5000

    @pytest.mark.parametrize("size", [4000, 1_000_000], ids=["at once", "in chunks"])
    async def test_are_copied_from_another_registry(self, tmp_path: Path, client: Client, size: int) -> None:
        blob = blob_file(tmp_path, size)
        async with registry(tmp_path) as one, registry(tmp_path) as two, client(monolithic=10_000, chunk=300_000) as registries:
            base = ImageRef(one.host, "bases/python", "1")
            await push(registries, an_image(blob), [base], quiet)
            away = await pull.everything(registries, base)
            target = ImageRef(two.host, "app", "1")
            done = await push(registries, away, [target], quiet)
            assert done.uploaded == sum(blob.size for blob in away.blobs)
            assert two.blob(blob.digest).read_bytes() == blob.path.read_bytes()  # type: ignore[union-attr]
            assert (await registries.resolve(target)).digest == away.digest

    async def test_a_blob_that_the_registry_has_collected_is_named(self, tmp_path: Path, client: Client) -> None:
        blob = blob_file(tmp_path, 4000)
        async with registry(tmp_path) as one, registry(tmp_path) as two, client() as registries:
            base = ImageRef(one.host, "bases/python", "1")
            await push(registries, an_image(blob), [base], quiet)
            away = await pull.everything(registries, base)
            one.blob(blob.digest).unlink()
            with pytest.raises(ImageMissing, match=f"has no longer the layer {blob.digest}"):
                await push(registries, away, [ImageRef(two.host, "app", "1")], quiet)
