"""What lies beside an image in a registry, as cosign sees it and as kfn does: both kinds of signature, both ways round."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from builder.errors import BuildError, NotVerified
from builder.options import BuildOptions, BuildResult
from builder.platform import Platform
from builder.registry.client import Registries
from builder.registry.reference import parse_ref
from builder.supply import keys
from builder.supply.reading import place
from builder.supply.rebuild import rebuild
from builder.supply.verify import Verified, verify
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.peers.cosign import binary, cosign
from tests.peers.registry import Running, registry
from tests.unit.builder.test_elf import program

SIGNER = keys.generate()
OFFLINE = ("--insecure-ignore-tlog", "--allow-http-registry=true")


class Peer:
    """A registry, and a key pair in files."""

    def __init__(self, running: Running, folder: Path) -> None:
        self.host, self.folder, self.running = running.host, folder, running
        self.key, self.public = folder / "k.key", folder / "k.pub"
        self.key.write_bytes(keys.pem(SIGNER, b""))
        self.public.write_bytes(SIGNER.verifier.pem)

    @property
    def image(self) -> str:
        return f"{self.host}/team/hello:v1"

    async def build(self, workshop: Workshop, source: Path | None = None, **options: object) -> BuildResult:
        given = {"store": None, "push": True, "tags": (self.image,), "base": "none", "compression": "gzip", **options}
        return await workshop.build(source or workshop.source(), **given)

    async def verify(self, image: str = "", verifier: keys.Verifier = SIGNER.verifier) -> Verified:
        async with place(image or self.image) as where:
            return await verify(where, verifier)

    async def cosign(self, *args: str) -> tuple[int, str]:
        return await cosign(*args, home=self.folder)


@asynccontextmanager
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with registry(tmp_path) as running:
        yield Peer(running, tmp_path)


class TestCosign:
    @pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
    async def test_verifies_what_kfn_signed_in_both_forms(self, workshop: Workshop, tmp_path: Path, kind: str) -> None:
        binary()
        async with peer(tmp_path) as there:
            if kind == "ed25519":
                from cryptography.hazmat.primitives import serialization as s
                from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

                there.key.write_bytes(Ed25519PrivateKey.generate().private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
                there.public.write_bytes(keys.private(there.key).verifier.pem)
            made = await there.build(workshop, sign=there.key, sign_old=True)
            for form in ("--new-bundle-format=true", "--new-bundle-format=false"):
                code, said = await there.cosign("verify", form, "--key", str(there.public), *OFFLINE, there.image)
                assert code == 0, said
                assert made.digest in said

    async def test_verifies_sbom_and_provenance(self, workshop: Workshop, tmp_path: Path) -> None:
        binary()
        async with peer(tmp_path) as there:
            await there.build(workshop, sign=there.key)
            for kind in ("cyclonedx", "slsaprovenance1"):
                code, said = await there.cosign("verify-attestation", "--type", kind, "--key", str(there.public), *OFFLINE, there.image)
                assert code == 0, said

    async def test_refuses_another_key(self, workshop: Workshop, tmp_path: Path) -> None:
        binary()
        async with peer(tmp_path) as there:
            await there.build(workshop, sign=there.key, sign_old=True)
            there.public.write_bytes(keys.generate().verifier.pem)
            for form in ("--new-bundle-format=true", "--new-bundle-format=false"):
                code, _ = await there.cosign("verify", form, "--key", str(there.public), *OFFLINE, there.image)
                assert code != 0

    async def test_signs_what_kfn_verifies(self, workshop: Workshop, tmp_path: Path) -> None:
        """Its own key, as it encrypts it, and its own signatures of both kinds."""
        binary()
        async with peer(tmp_path) as there:
            made = await there.build(workshop)
            code, said = await there.cosign("generate-key-pair", "--output-key-prefix", "own")
            assert code == 0, said
            code, config = await there.cosign("signing-config", "create")
            (tmp_path / "none.json").write_text(config[config.index("{") :])
            image = f"{there.image.rpartition(':')[0]}@{made.digest}"
            plain = "--allow-http-registry=true"
            code, said = await there.cosign("sign", "--key", "own.key", "--signing-config", "none.json", plain, image)
            assert code == 0, said
            old = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")
            code, said = await there.cosign("sign", "--key", "own.key", *old, plain, image)
            assert code == 0, said
            found = await there.verify(verifier=keys.public(tmp_path / "own.pub"))
            assert sorted(one.form for one in found.signatures) == ["bundle", "tag"]

    async def test_keeps_its_old_signature_when_kfn_adds_one(self, workshop: Workshop, tmp_path: Path) -> None:
        binary()
        async with peer(tmp_path) as there:
            made = await there.build(workshop)
            await there.cosign("generate-key-pair", "--output-key-prefix", "own")
            image = f"{there.image.rpartition(':')[0]}@{made.digest}"
            old = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry=true")
            code, said = await there.cosign("sign", "--key", "own.key", *old, image)
            assert code == 0, said
            await there.build(workshop, sign=there.key, sign_old=True)
            for public in ("own.pub", str(there.public)):
                code, said = await there.cosign("verify", "--new-bundle-format=false", "--key", public, *OFFLINE, image)
                assert code == 0, said


class TestAPushedImage:
    async def test_has_sbom_and_provenance_beside_it_that_oras_would_list(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            made = await there.build(workshop)
            async with Registries() as registries:
                found = await registries.referrers(parse_ref(there.image), made.digest)
            kinds = {one.artifact_type for one in found}
            assert {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"} <= kinds

    async def test_without_them_if_asked_so(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            made = await there.build(workshop, attest=False, profile=False)
            async with Registries() as registries:
                assert await registries.referrers(parse_ref(there.image), made.digest) == ()

    async def test_pushed_again_gets_nothing_twice(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            made = [await there.build(workshop, sign=there.key, sign_old=True) for _ in range(3)][-1]
            async with Registries() as registries:
                found = await registries.referrers(parse_ref(there.image), made.digest)
                old = await registries.manifest(parse_ref(there.image).tagged(made.digest.replace(":", "-") + ".sig"))
            assert len([one for one in found if "bundle" in one.artifact_type]) == 3
            assert len(json.loads(old.data)["layers"]) == 1

    async def test_is_verified_by_its_tag_and_by_its_digest(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            made = await there.build(workshop, sign=there.key, sign_old=True)
            for image in (there.image, f"{there.host}/team/hello@{made.digest}"):
                found = await there.verify(image)
                assert found.digest == made.digest
                assert sorted(one.form for one in found.signatures) == ["bundle", "tag"]

    async def test_that_the_tag_was_moved_away_from_is_not_the_one_that_was_signed(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            await there.build(workshop, sign=there.key)
            other = workshop.source("other", func_py=HANDLER + "# other\n")
            await there.build(workshop, other, name="hello")
            with pytest.raises(NotVerified, match="nothing is signed there"):
                await there.verify()

    async def test_whose_manifest_the_registry_changed_is_refused(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            made = await there.build(workshop, sign=there.key)
            blob = there.running.blob(made.digest)
            blob.write_bytes(blob.read_bytes().replace(b'"schemaVersion":2', b'"schemaVersion": 2'))
            with pytest.raises(BuildError, match=r"the manifest is|digest"):
                await there.verify(f"{there.host}/team/hello@{made.digest}")

    async def test_rebuilt_from_its_source_is_the_same(self, workshop: Workshop, tmp_path: Path) -> None:
        async with peer(tmp_path) as there:
            made = await there.build(workshop, sign=there.key)
            async with place(there.image) as where:
                options = BuildOptions(None, cache=workshop.root / "cache")
                found = await rebuild(where, workshop.source(), options, lambda step: None)
                assert (found.same, found.rebuilt) == (True, made.digest)
                (workshop.root / "hello/func.py").write_text(HANDLER + "#\n")
                found = await rebuild(where, workshop.source("hello", func_py=HANDLER + "#\n"), options, lambda step: None)
            assert not found.same
            assert "func/func.py (content)" in "\n".join(found.notes)


class TestSeveralPlatforms:
    async def test_are_signed_together_and_each_alone(self, workshop: Workshop, tmp_path: Path) -> None:
        binary()
        async with peer(tmp_path) as there:
            for name, machine in (("amd64", 62), ("arm64", 183)):
                file = tmp_path / f"program-{name}"
                file.write_bytes(program(machine))
                file.chmod(0o755)
            both = (Platform("amd64"), Platform("arm64"))
            options = {"binary": f"{tmp_path}/program-{{arch}}", "base": "scratch", "platforms": both, "sign": there.key}
            made = await there.build(workshop, **options)
            digests = [made.digest, *(one.digest for one in made.content.images())]
            assert len(set(digests)) == 3
            for digest in digests:
                code, said = await there.cosign("verify", "--key", str(there.public), *OFFLINE, f"{there.host}/team/hello@{digest}")
                assert code == 0, said
                found = await there.verify(f"{there.host}/team/hello@{digest}")
                assert "https://slsa.dev/provenance/v1" in [one.kind for one in found.statements]
