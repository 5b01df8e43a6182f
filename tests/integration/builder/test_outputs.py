"""Images as folders and archives, read back by tools that are not ours."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.errors import UsageError
from tests.integration.builder.conftest import Workshop

skopeo = pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
umoci = pytest.mark.skipif(not shutil.which("umoci"), reason="umoci is not installed")


def inspected(reference: str) -> dict[str, object]:
    done = subprocess.run(["skopeo", "inspect", reference], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


class TestAFolderInOciLayout:
    @skopeo
    async def test_skopeo_reads_the_digest_that_the_build_told(self, workshop: Workshop, tmp_path: Path) -> None:
        made = await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out:hello",))
        seen = inspected(f"oci:{tmp_path}/out:hello")
        assert seen["Digest"] == made.digest
        assert seen["Layers"] == [built.layer.digest for built in made.layers]

    @umoci
    async def test_umoci_unpacks_the_function(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out:hello",))
        argv = ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/out:hello", str(tmp_path / "bundle")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "bundle/rootfs/func/func.py").read_text().startswith("def handle")

    async def test_a_second_image_joins_the_first_and_a_newer_one_takes_its_name(self, workshop: Workshop, tmp_path: Path) -> None:
        source = workshop.source()
        await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out:a",))
        (source / "func.py").write_text("def handle(request):\n    return 'two'\n")
        newer = await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out:a", f"oci:{tmp_path}/out:b"))
        entries = json.loads((tmp_path / "out/index.json").read_text())["manifests"]
        names = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in entries}
        assert names == {"b": newer.digest}, "one manifest has one entry, named last"

    async def test_holds_one_entry_though_the_start_was_profiled_so_that_it_can_be_read_without_a_name(
        self, workshop: Workshop, tmp_path: Path
    ) -> None:
        made = await workshop.build(workshop.source(), store=None, profile=True, outputs=(f"oci:{tmp_path}/out",))
        assert [one["digest"] for one in json.loads((tmp_path / "out/index.json").read_text())["manifests"]] == [made.digest]

    async def test_a_folder_with_other_files_is_left_alone(self, workshop: Workshop, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/thesis.txt").write_text("years of work")
        with pytest.raises(UsageError, match="holds other files and is no OCI layout"):
            await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/mine",))
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


class TestAnArchive:
    @skopeo
    @pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
    async def test_skopeo_reads_it(self, workshop: Workshop, tmp_path: Path, kind: str) -> None:
        made = await workshop.build(workshop.source(), store=None, outputs=(f"{kind}:{tmp_path}/image.tar:hello:v1",))
        seen = inspected(f"{kind}:{tmp_path}/image.tar")
        assert seen["Labels"]["dev.kfn.handler"] == "func:handle"  # type: ignore[index]
        assert len(seen["Layers"]) == len(made.layers)  # type: ignore[arg-type]

    async def test_the_same_image_is_the_same_file(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(
            workshop.source(), store=None, outputs=(f"docker-archive:{tmp_path}/one.tar", f"docker-archive:{tmp_path}/two.tar")
        )
        assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()

    async def test_docker_finds_its_way_by_manifest_json(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"docker-archive:{tmp_path}/image.tar:team/hello",))
        with tarfile.open(tmp_path / "image.tar") as tar:
            (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
            assert entry["RepoTags"] == ["team/hello:latest"]
            assert {entry["Config"], *entry["Layers"]} <= set(tar.getnames())

    async def test_a_folder_that_is_not_there_is_said_first(self, workshop: Workshop, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no folder"):
            await workshop.build(workshop.source(), store=None, outputs=(f"docker-archive:{tmp_path}/nowhere/image.tar",))


class TestCompression:
    @pytest.mark.parametrize("method", ["gzip", "zstd", "none"])
    async def test_changes_the_layers_and_not_what_is_in_them(self, workshop: Workshop, tmp_path: Path, method: str) -> None:
        plain = await workshop.build(workshop.source())
        packed = await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), compression=method)
        assert [b.layer.diff_id for b in packed.layers] == [b.layer.diff_id for b in plain.layers]
        assert packed.layers[0].layer.media_type.endswith({"gzip": "tar+gzip", "zstd": "tar+zstd", "none": "v1.tar"}[method])
        assert (packed.digest == plain.digest) == (method == "none")

    async def test_is_done_once(self, workshop: Workshop, tmp_path: Path) -> None:
        source, outputs = workshop.source(), (f"oci:{tmp_path}/out",)
        first = await workshop.build(source, store=None, outputs=outputs)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache/blobs/sha256").iterdir()}
        second = await workshop.build(source, store=None, outputs=outputs)
        assert second.digest == first.digest
        assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache/blobs/sha256").iterdir()}

    async def test_a_layer_that_was_damaged_is_made_again(self, workshop: Workshop, tmp_path: Path) -> None:
        source, outputs = workshop.source(), (f"oci:{tmp_path}/out",)
        first = await workshop.build(source, store=None, outputs=outputs)
        for blob in (tmp_path / "cache/blobs/sha256").iterdir():
            blob.write_bytes(b"\0" * blob.stat().st_size)
        shutil.rmtree(tmp_path / "out")
        second = await workshop.build(source, store=None, outputs=outputs)
        assert second.digest == first.digest
        assert any("changed" in warning for warning in second.warnings)


class TestWhatCannotBeWritten:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("oci", "is none of oci:PATH"),
            ("tar:x", "is none of oci:PATH"),
            ("oci::name", "names no file"),
        ],
    )
    async def test_is_said_before_anything_is_built(self, workshop: Workshop, text: str, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            await workshop.build(workshop.source(), store=None, outputs=(text,))
        assert workshop.steps == []
