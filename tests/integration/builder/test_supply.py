"""What lies beside an image in a folder: signed and found again, refused when anything was changed; and images built again to compare."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from builder.errors import BuildError, KeyInvalid, NotVerified, UsageError
from builder.oci import LAYER_GZIP
from builder.options import BuildOptions, Step
from builder.supply import keys
from builder.supply.compare import LayerFile, paths
from builder.supply.reading import place
from builder.supply.rebuild import Rebuilt, rebuild
from builder.supply.verify import Verified, verify
from tests.integration.builder.conftest import HANDLER, Workshop

SIGNER = keys.generate()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "signing.key"
    path.write_bytes(keys.pem(SIGNER, b""))
    return path


async def verified(out: Path, verifier: keys.Verifier = SIGNER.verifier) -> Verified:
    async with place(f"oci:{out}") as where:
        return await verify(where, verifier)


async def rebuilt(out: Path, source: Path, workshop: Workshop, **options: object) -> Rebuilt:
    told: list[Step] = []
    async with place(f"oci:{out}") as where:
        return await rebuild(where, source, BuildOptions(None, cache=workshop.root / "cache", **options), told.append)  # type: ignore[arg-type]


def blobs(out: Path, kind: str) -> list[Path]:
    """The first layers of the manifests of that artifactType; for an empty one, of images."""
    found = []
    for entry in json.loads((out / "index.json").read_text())["manifests"]:
        manifest = out / "blobs/sha256" / entry["digest"].removeprefix("sha256:")
        body = json.loads(manifest.read_text())
        if body.get("artifactType", "") == kind:
            found.append(out / "blobs/sha256" / body["layers"][-1]["digest"].removeprefix("sha256:"))
    return found


BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class TestASignedFolder:
    async def test_is_verified_with_its_statements(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        made = await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", sign=key)
        found = await verified(tmp_path / "out")
        assert found.digest == made.digest
        assert [one.form for one in found.signatures] == ["bundle"]
        assert sorted(one.kind for one in found.statements) == ["https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"]
        assert found.problems == ()

    async def test_has_the_same_digest_as_one_that_is_not_signed(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        source = workshop.source()
        one = await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/a",), base="none", sign=key)
        two = await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/b",), base="none")
        assert one.digest == two.digest
        assert len(json.loads((tmp_path / "b/index.json").read_text())["manifests"]) == 1  # nobody asked for more

    async def test_holds_nothing_of_the_machine(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        for blob in blobs(tmp_path / "out", "application/vnd.in-toto+json"):
            text = blob.read_text()
            for secret in (str(tmp_path), str(Path.home()), "signing.key"):
                assert secret not in text

    async def test_with_another_key_is_refused(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", sign=key)
        with pytest.raises(NotVerified, match="made with another key"):
            await verified(tmp_path / "out", keys.generate().verifier)

    async def test_without_any_signature_says_so(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        with pytest.raises(NotVerified, match="nothing is signed there"):
            await verified(tmp_path / "out")

    async def test_with_a_changed_manifest_is_refused(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        made = await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", sign=key)
        manifest = tmp_path / "out/blobs/sha256" / made.digest.removeprefix("sha256:")
        manifest.write_bytes(manifest.read_bytes().replace(b'"schemaVersion":2', b'"schemaVersion":3'))
        with pytest.raises(NotVerified, match=f"asked for {made.digest} and got other bytes"):
            await verified(tmp_path / "out")

    async def test_with_a_changed_layer_is_refused(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", sign=key)
        layer = blobs(tmp_path / "out", "")[0]
        data = bytearray(layer.read_bytes())
        data[len(data) // 2] ^= 1
        layer.write_bytes(data)
        with pytest.raises(NotVerified, match="has changed"):
            await verified(tmp_path / "out")

    async def test_with_a_cut_bundle_is_refused(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", sign=key)
        for bundle in blobs(tmp_path / "out", BUNDLE):
            bundle.write_bytes(bundle.read_bytes()[:-30])
        with pytest.raises(NotVerified, match="got other bytes"):
            await verified(tmp_path / "out")

    async def test_an_unsigned_image_with_the_signature_of_another_is_refused(self, workshop: Workshop, key: Path, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out:a",), base="none", sign=key)
        other = workshop.source("other", func_py=HANDLER + "# other\n")
        made = await workshop.build(other, store=None, outputs=(f"oci:{tmp_path}/out:b",), base="none")
        async with place(f"oci:{tmp_path}/out:b") as where:
            with pytest.raises(NotVerified, match="nothing is signed there"):
                await verify(where, SIGNER.verifier)
        assert made.digest
        with pytest.raises(UsageError, match="holds 2 images; name one"):
            await verified(tmp_path / "out")

    async def test_that_is_none_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="is no OCI layout"):
            await verified(tmp_path / "nothing")


class TestSigning:
    async def test_with_a_bad_key_fails_before_anything_is_built(self, workshop: Workshop, tmp_path: Path) -> None:
        (tmp_path / "bad").write_text("no key")
        with pytest.raises(KeyInvalid, match="no private key"):
            await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", sign=tmp_path / "bad")
        assert workshop.steps == []
        assert not (tmp_path / "out").exists()

    async def test_what_stays_in_the_store_is_refused(self, workshop: Workshop, key: Path) -> None:
        with pytest.raises(UsageError, match="add --push or -o oci:DIR"):
            await workshop.build(workshop.source(), sign=key)


class TestARebuild:
    async def test_of_the_same_source_is_the_same_in_another_folder(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        found = await rebuilt(tmp_path / "out", workshop.source("elsewhere"), workshop, name="hello")
        assert found.same
        assert found.digest == found.rebuilt
        assert found.notes == ()

    async def test_takes_its_options_from_the_image(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", compression="zstd", attest=True)
        found = await rebuilt(tmp_path / "out", workshop.source(), workshop)
        assert found.same
        assert found.digest == found.rebuilt

    async def test_of_another_source_names_the_layer_and_the_files(self, workshop: Workshop, tmp_path: Path) -> None:
        source = workshop.source(func_py=HANDLER, gone_txt="x", same_txt="y")
        await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        (source / "func.py").write_text(HANDLER + "# changed\n")
        (source / "gone.txt").unlink()
        (source / "new.txt").write_text("z")
        found = await rebuilt(tmp_path / "out", source, workshop)
        assert not found.same
        text = "\n".join(found.notes)
        assert "layer 2 (source) is sha256:" in text
        assert "func/func.py (content)" in text
        assert "func/gone.txt (only in the image)" in text
        assert "func/new.txt (only in the rebuild)" in text
        assert "same.txt" not in text

    async def test_of_another_setting_names_it(self, workshop: Workshop, tmp_path: Path) -> None:
        source = workshop.source(func_py="def handle(r): pass\ndef other(r): pass\n")
        await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out",), base="none")
        (source / "func.yaml").write_text("name: hello\nruntime: python\nkfn:\n  handler: func:other\n")
        found = await rebuilt(tmp_path / "out", source, workshop, base="none")
        assert not found.same
        assert any("config.Env" in note and "func:other" in note for note in found.notes)

    async def test_writes_nothing_but_the_cache(self, workshop: Workshop, tmp_path: Path) -> None:
        await workshop.build(workshop.source(), store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        before = sorted(tmp_path.iterdir())
        await rebuilt(tmp_path / "out", workshop.source(), workshop)
        assert sorted(tmp_path.iterdir()) == before
        assert not (workshop.root / "cache/tmp/verify").exists()


class TestACommit:
    def commit(self, folder: Path) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        for argv in (
            ["init", "-q"],
            ["remote", "add", "origin", "https://alice:token@git.example/team/hello.git"],
            ["add", "-A"],
            [*who, "commit", "-q", "-m", "one", "--date", "2026-01-02T03:04:05Z"],
        ):
            subprocess.run(
                ["git", "-C", str(folder), *argv], check=True, timeout=60, env={**os.environ, "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
            )
        done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, timeout=60, capture_output=True, text=True)
        return done.stdout.strip()

    async def test_is_in_the_provenance_without_the_token_and_not_in_the_image(self, workshop: Workshop, tmp_path: Path) -> None:
        plain = await workshop.build(workshop.source("copy"), name="hello", store=None, outputs=(f"oci:{tmp_path}/a",), base="none")
        source = workshop.source()
        commit = self.commit(source)
        made = await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        assert made.digest == plain.digest
        (body,) = [json.loads(path.read_bytes()) for path in blobs(tmp_path / "out", "application/vnd.in-toto+json")]
        told = body["predicate"]["buildDefinition"]["externalParameters"]["source"]
        assert told["uri"] == f"git+https://git.example/team/hello.git@{commit}"
        assert told["digest"]["gitCommit"] == commit

    async def test_comes_with_whether_source_distributions_were_allowed_by_whomever(self, workshop: Workshop, tmp_path: Path) -> None:
        source = workshop.source()
        workshop.write(source / "func.yaml", "runtime: python\nkfn: {allowSdists: true}\n")
        await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out",), base="none", attest=True)
        (body,) = [json.loads(path.read_bytes()) for path in blobs(tmp_path / "out", "application/vnd.in-toto+json")]
        assert body["predicate"]["buildDefinition"]["externalParameters"]["options"]["allowSdists"] is True

    async def test_is_in_the_image_if_asked(self, workshop: Workshop, tmp_path: Path) -> None:
        source = workshop.source()
        commit = self.commit(source)
        asked = {"timestamp": "commit", "git_annotations": True, "attest": True}
        made = await workshop.build(source, store=None, outputs=(f"oci:{tmp_path}/out",), base="none", **asked)
        assert made.content.annotations["org.opencontainers.image.revision"] == commit
        assert made.content.annotations["org.opencontainers.image.source"] == "https://git.example/team/hello.git"
        assert json.loads(made.content.blobs[0].data or b"")["created"] == "2026-01-02T03:04:05Z"
        found = await rebuilt(tmp_path / "out", source, workshop)
        assert (found.same, found.rebuilt) == (True, made.digest)


class TestALayerOfSomebodyElse:
    def test_that_unpacks_without_end_is_refused(self, tmp_path: Path) -> None:
        import gzip
        import io
        import tarfile

        small, bomb = tmp_path / "small", tmp_path / "bomb"
        small.write_bytes(b"\0" * 10240)
        with gzip.open(bomb, "wb") as out, tarfile.open(fileobj=out, mode="w|") as tar:
            info = tarfile.TarInfo("zeros")
            info.size = 200 << 20
            tar.addfile(info, io.BytesIO(bytes(info.size)))
        with pytest.raises(NotVerified, match="far more than it should"):
            paths(LayerFile(bomb, LAYER_GZIP), LayerFile(small, "application/vnd.oci.image.layer.v1.tar"))

    def test_that_is_no_archive_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"hello")
        with pytest.raises(NotVerified, match="cannot be read"):
            paths(LayerFile(tmp_path / "a", LAYER_GZIP), LayerFile(tmp_path / "a", LAYER_GZIP))
