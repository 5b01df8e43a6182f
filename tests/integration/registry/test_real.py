"""What only a real registry and a real network show: cut connections, TLS, collected blobs, the referrers' fallback tag, the store."""

import json
from pathlib import Path

import pytest

from builder import oci
from builder.errors import RegistryRefused, RegistryUntrusted
from builder.registry import pull
from builder.registry.push import attach, push
from builder.registry.reference import ImageRef
from builder.registry.settings import RegistrySettings
from builder.store import ImageStore
from tests.fakes.authority import Authority
from tests.fakes.cutting import wire
from tests.integration.registry.conftest import AMD64, Client, an_image, blob_file, quiet
from tests.peers.registry import PASSWORD, USER, distribution_3, registry, skopeo


class TestAConnectionThatBreaks:
    @pytest.mark.parametrize("monolithic", [50_000, 50_000_000], ids=["in chunks", "in one request"])
    async def test_in_the_middle_of_a_push_costs_that_request_only(self, tmp_path: Path, client: Client, monolithic: int) -> None:
        blob = blob_file(tmp_path, 3_000_000)
        async with registry(tmp_path) as reg, wire(reg.host, (1_500_000, 0), (0, 150), (1_200_000, 0)) as cut:
            ref = ImageRef(cut.host, "app", "1")
            async with client(monolithic=monolithic, chunk=1_000_000, parallel=1) as registries:
                await push(registries, an_image(blob), [ref], quiet)
            assert cut.connections > 3
            await skopeo("copy", "--src-tls-verify=false", f"docker://{reg.host}/app:1", f"oci:{tmp_path}/out:1")

    async def test_in_the_middle_of_a_download_goes_on_from_there(self, tmp_path: Path, client: Client) -> None:
        blob = blob_file(tmp_path, 3_000_000)
        async with registry(tmp_path) as reg, client() as registries:
            await push(registries, an_image(blob), [ImageRef(reg.host, "app", "1")], quiet)
            async with wire(reg.host, (0, 1_000_000), (0, 1_500_000)) as cut, client() as others:
                await others.download(ImageRef(cut.host, "app"), blob, tmp_path / "out")
                assert cut.connections == 3
        assert oci.sha256((tmp_path / "out").read_bytes()) == blob.digest


class TestVersion3:
    async def test_takes_chunks_cuts_mounts_and_referrers(self, tmp_path: Path, client: Client) -> None:
        blob, program = blob_file(tmp_path, 3_000_000), distribution_3()
        async with registry(tmp_path, program=program) as reg, wire(reg.host, (1_500_000, 0), (0, 150)) as cut:
            async with client(monolithic=50_000, chunk=1_000_000, parallel=1) as registries:
                content = an_image(blob)
                await push(registries, content, [ImageRef(cut.host, "app", "1")], quiet)
            async with client() as registries:
                ref = ImageRef(reg.host, "app", "1")
                away = await pull.everything(registries, ref)
                done = await push(registries, away, [ImageRef(reg.host, "second", "1")], quiet)
                assert done.mounted == sum(one.size for one in away.blobs)
                sbom = oci.artifact("x/sbom", content, (oci.blob(b"sbom", "text/plain"),), {})
                await attach(registries, [sbom], ref)
                assert [one.digest for one in await registries.referrers(ref, content.digest, "x/sbom")] == [sbom.digest]
                await pull.local(registries, away, tmp_path / "out")
                await skopeo("copy", "--src-tls-verify=false", f"docker://{ref}", f"oci:{tmp_path}/copy:1")

    async def test_takes_a_password(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="basic", program=distribution_3()) as reg:
            secret = json.dumps({"auths": {reg.host: {"username": USER, "password": PASSWORD}}}).encode()
            async with client(pull_secrets=(("secret", secret),)) as registries:
                await registries.check_push(ImageRef(reg.host, "app"))
            async with client() as registries:
                with pytest.raises(RegistryRefused):
                    await registries.check_push(ImageRef(reg.host, "app"))


class TestTls:
    """On 0.0.0.0, which is this machine too, but not loopback by its name, so that it is spoken to with TLS."""

    async def test_with_a_ca_of_ones_own_needs_to_be_told_of_it(self, tmp_path: Path, client: Client) -> None:
        authority = Authority()
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        async with registry(tmp_path, tls=authority.issue("0.0.0.0")) as reg:
            ref = ImageRef(reg.host.replace("127.0.0.1", "0.0.0.0"), "app")
            async with client() as registries:
                with pytest.raises(RegistryUntrusted, match="--registry-ca or KFN_REGISTRY_CA") as untrusted:
                    await registries.check_push(ref)
                assert untrusted.value.exit_code == 5
                assert registries.requests == 1
            async with client(ca_file=tmp_path / "ca.pem") as registries:
                await registries.check_push(ref)

    async def test_of_another_name_is_refused(self, tmp_path: Path, client: Client) -> None:
        authority = Authority()
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        async with registry(tmp_path, tls=authority.issue("other.example")) as reg, client(ca_file=tmp_path / "ca.pem") as registries:
            with pytest.raises(RegistryUntrusted, match="not trusted"):
                await registries.check_push(ImageRef(reg.host.replace("127.0.0.1", "0.0.0.0"), "app"))

    async def test_to_a_registry_without_it_names_the_flag(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path) as reg:
            ref = ImageRef(reg.host.replace("127.0.0.1", "0.0.0.0"), "app")
            async with client() as registries:
                with pytest.raises(RegistryUntrusted, match=r"does not speak TLS.*--plain-http"):
                    await registries.check_push(ref)
            async with client(plain_http=(ref.registry,)) as registries:
                await registries.check_push(ref)

    async def test_file_that_holds_no_certificate_is_named(self, tmp_path: Path) -> None:
        from builder.registry.client import Registries

        (tmp_path / "ca.pem").write_text("not a certificate")
        with pytest.raises(RegistryUntrusted, match=r"ca\.pem holds no certificates"):
            async with Registries(RegistrySettings(ca_file=tmp_path / "ca.pem")):
                pass


class TestACollectedBlob:
    async def test_is_sent_again_with_the_next_push(self, tmp_path: Path, client: Client) -> None:
        shared, tail = blob_file(tmp_path, 4000), blob_file(tmp_path, 500, b"2")
        async with registry(tmp_path) as reg:
            async with client() as registries:
                await push(registries, an_image(shared), [ImageRef(reg.host, "app", "1")], quiet)
            reg.blob(shared.digest).unlink()
            async with client() as registries:
                await push(registries, an_image(shared, tail), [ImageRef(reg.host, "app", "2")], quiet)
            await skopeo("copy", "--src-tls-verify=false", f"docker://{reg.host}/app:2", f"oci:{tmp_path}/out:2")


class TestAttaching:
    async def test_to_a_registry_without_referrers_keeps_the_fallback_tag(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 900))
        sbom, proof = (oci.artifact(kind, content, (oci.blob(kind.encode(), "text/plain"),), {"k": kind}) for kind in ("x/sbom", "x/proof"))
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "app", "1")
            await push(registries, content, [ref], quiet)
            for artifacts in ([sbom], [proof, sbom], [sbom]):
                await attach(registries, artifacts, ref)
            found = await registries.referrers(ref, content.digest)
            assert [one.digest for one in found] == [sbom.digest, proof.digest]
            assert found[0].annotations == {"k": "x/sbom"}
            fetched = await registries.manifest(ref.at(sbom.digest))
            assert await registries.blob(ref, fetched.blobs[1]) == b"x/sbom"
            raw = await skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{reg.host}/app:{content.digest.replace(':', '-')}")
            assert [one["artifactType"] for one in json.loads(raw)["manifests"]] == ["x/sbom", "x/proof"]

    async def test_and_deleting_what_was_pushed(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 900))
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "app", "1")
            await push(registries, content, [ref], quiet)
            await registries.delete(ref.at(content.digest))
            assert await registries.tags(ref) == ()
            await registries.delete(ref.at(content.digest))


class TestPullingIntoTheStore:
    async def test_makes_an_image_of_it_that_resolves(self, tmp_path: Path, client: Client) -> None:
        content = an_image(blob_file(tmp_path, 4000))
        store = ImageStore(tmp_path / "images")
        async with registry(tmp_path) as reg, client() as registries:
            ref = ImageRef(reg.host, "app", "1")
            await push(registries, content, [ref], quiet)
            made = await pull.into_store(registries, ref, AMD64, store, "kfn.local/default/app")
            before = registries.requests
            await pull.into_store(registries, ref, AMD64, store, "kfn.local/default/app")
            assert registries.requests == before + 1  # only the manifest: all blobs are there
        assert made.digest == content.digest
        assert store.resolve("kfn.local/default/app").layers[0].digest == content.blobs[1].digest
