"""What registries and networks do to a push or a pull, and that it still ends well, or says what happened."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder import oci
from builder.errors import (
    BlobCorrupt,
    DigestMismatch,
    ImageMissing,
    RegistryError,
    RegistryRefused,
    RegistryUnreachable,
    RegistryUntrusted,
)
from builder.registry import pull
from builder.registry.client import Moved
from builder.registry.push import attach, push
from builder.registry.reference import ImageRef
from tests.fakes.raw_http import Hangup, Request, Response, serve
from tests.fakes.registry import FakeRegistry, error, fake_registry, hangs_up
from tests.integration.registry.conftest import AMD64, ARM64, Client, an_image, blob_file, quiet

CHUNKS = {"monolithic": 50_000, "chunk": 100_000}


async def pushed(fake: FakeRegistry, content: oci.Content, client: Client, **settings: object) -> None:
    """Push, and see that it is all there."""
    async with client(**settings) as registries:
        await push(registries, content, [ImageRef(fake.host, "app", "1")], quiet)
    assert fake.manifests["app", "1"][1] == content.data
    for blob in content.blobs:
        assert oci.sha256(fake.blobs["app", blob.digest]) == blob.digest


class TestAMount:
    async def test_that_is_answered_with_a_session_goes_on_in_it(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            blob = replace(blob_file(tmp_path, 5000), origin=f"{fake.host}/base")
            await pushed(fake, an_image(blob), client)
            posts = [line for line in fake.log if line.startswith("POST")]
            assert len(posts) == 2  # one for the config, one for the layer: the mount's
            assert sum("mount=" in line and "from=base" in line for line in posts) == 1

    @pytest.mark.parametrize("status", [400, 403, 404, 405, 500])
    async def test_that_is_refused_makes_the_layer_travel(self, tmp_path: Path, client: Client, status: int) -> None:
        async with fake_registry() as fake:
            fake.when("POST", error(status, "DENIED"), "mount=")
            await pushed(fake, an_image(replace(blob_file(tmp_path, 5000), origin=f"{fake.host}/base")), client)


class TestAnUpload:
    async def test_follows_a_relative_location_with_its_query(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry(relative=True) as fake:
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
            assert all("_state=a%3Db" in line for line in fake.log if line.startswith(("PATCH", "PUT /v2/app/blobs")))

    async def test_goes_on_where_a_cut_chunk_left_a_living_session(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def cut(request: Request) -> Response | None:
                data = await request.body(60_000)
                fake.sessions[request.path.rpartition("/")[2]] += data
                raise Hangup

            fake.when("PATCH", cut)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
            ranges = [request.headers["content-range"] for request in fake.seen if request.method == "PATCH"]
            assert ranges[:2] == ["0-99999", "60000-159999"]
            assert fake.count("POST") == 2

    async def test_begins_again_when_the_session_died_with_the_connection(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def dies(request: Request) -> Response | None:
                await request.body(10_000)
                fake.sessions.pop(request.path.rpartition("/")[2])
                raise Hangup

            async def first(request: Request) -> Response | None:
                return None

            fake.when("PATCH", first)
            fake.when("PATCH", dies, times=1)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
            assert fake.count("POST") == 3

    async def test_that_loses_every_session_is_sent_in_one_request(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("PATCH", error(404, "BLOB_UPLOAD_UNKNOWN"), times=99)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)

    async def test_to_a_registry_without_chunks_is_sent_in_one_request(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("PATCH", error(405, "UNSUPPORTED"), times=99)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)

    async def test_does_not_trust_an_answer_with_another_range(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def takes_half(request: Request) -> Response | None:
                number = request.path.rpartition("/")[2]
                fake.sessions[number] += (await request.body())[:50_000]
                return fake.state("app", number, 202)

            fake.when("PATCH", takes_half)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)

    async def test_that_was_taken_twice_is_begun_again(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def twice(request: Request) -> Response | None:
                number = request.path.rpartition("/")[2]
                fake.sessions[number] += 2 * await request.body()
                raise Hangup

            fake.when("PATCH", twice)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
            assert fake.count("PATCH") == 1 + 3  # at once, not after the digest has told

    async def test_that_a_proxy_answered_for_is_not_sent_twice(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def arrives(request: Request) -> Response | None:
                fake.sessions[request.path.rpartition("/")[2]] += await request.body()
                return error(503, "UNAVAILABLE")

            fake.when("PATCH", arrives)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
            assert fake.count("PATCH") == 3

    async def test_asks_for_the_state_when_an_answer_has_no_range(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def silent(request: Request) -> Response | None:
                number = request.path.rpartition("/")[2]
                fake.sessions[number] += await request.body()
                answer = fake.state("app", number, 202)
                del answer.headers["Range"]
                return answer

            fake.when("PATCH", silent)
            await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
            assert fake.count("GET") == 1

    async def test_honours_the_least_size_of_a_chunk(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def begins(request: Request) -> Response | None:
                return fake.begin("app", **{"OCI-Chunk-Min-Length": "200000"})

            fake.when("POST", begins, times=9)
            await pushed(fake, an_image(blob_file(tmp_path, 450_000)), client, **CHUNKS)
            assert fake.count("PATCH") == 3

    async def test_finds_that_it_was_complete_when_the_last_answer_is_lost(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            blob = blob_file(tmp_path, 5000)

            async def lost(request: Request) -> Response | None:
                fake.blobs["app", request.parameter("digest")] = await request.body()
                raise Hangup

            fake.when("PUT", lost, "blobs")
            await pushed(fake, an_image(blob), client)
            assert fake.count("POST") == 2

    async def test_gets_a_new_token_in_the_middle(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            tokens = 0

            async def token_server(request: Request) -> Response:
                nonlocal tokens
                tokens += 1
                return Response.json({"token": f"t{tokens}"})

            async with serve(token_server) as realm:
                asks = Response(401, headers={"WWW-Authenticate": f'Bearer realm="http://{realm}/t",scope="repository:app:pull,push"'})
                fake.when("HEAD", asks)
                fake.when("PATCH", asks)
                await pushed(fake, an_image(blob_file(tmp_path, 250_000)), client, **CHUNKS)
                patches = [request.headers["authorization"] for request in fake.seen if request.method == "PATCH"]
                assert patches == ["Bearer t1", "Bearer t2", "Bearer t2", "Bearer t2"]

    async def test_of_a_spoilt_file_names_and_removes_it(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            blob = blob_file(tmp_path, 5000)
            assert blob.path
            blob.path.write_bytes(b"x" * 5000)
            with pytest.raises(BlobCorrupt, match=f"holds sha256:.*and not {blob.digest}"):
                await registries.push_blob(ImageRef(fake.host, "app"), blob)
            assert not blob.path.exists()

    async def test_of_a_file_that_is_gone_or_short_says_so(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            blob = blob_file(tmp_path, 5000)
            assert blob.path
            blob.path.write_bytes(b"x" * 4000)
            with pytest.raises(BlobCorrupt, match="shorter"):
                await registries.push_blob(ImageRef(fake.host, "app"), blob)
            blob.path.unlink()
            with pytest.raises(BlobCorrupt, match="is gone"):
                await registries.push_blob(ImageRef(fake.host, "app"), blob)

    async def test_that_never_gets_through_ends(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("PUT", hangs_up, "blobs", times=99)
            with pytest.raises(RegistryUnreachable) as failed:
                await pushed(fake, an_image(blob_file(tmp_path, 5000)), client, retries=2)
            assert failed.value.exit_code == 75
            assert not fake.manifests

    async def test_from_a_registry_that_is_down_names_that_one(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as other:
            origin = f"{other.host}/base"
        async with fake_registry() as fake, client(retries=1, **CHUNKS) as registries:
            blob = replace(blob_file(tmp_path, 250_000), path=None, origin=origin)
            with pytest.raises(RegistryUnreachable, match=f"{other.host}.*given up after 2 tries"):
                await registries.push_blob(ImageRef(fake.host, "app"), blob)
            assert fake.count("PATCH") == 1

    async def test_is_not_led_to_a_place_without_tls(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("POST", Response(202, headers={"Location": "http://elsewhere.example/upload"}), times=9)
            with pytest.raises(RegistryError, match="not https"):
                await pushed(fake, an_image(blob_file(tmp_path, 5000)), client)


class TestAManifest:
    async def test_whose_blob_was_collected_sends_that_blob_again_once(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            blob = blob_file(tmp_path, 5000)
            fake.when("HEAD", Response(200), blob.digest)  # it was there a moment ago
            await pushed(fake, an_image(blob), client)
            assert fake.count(f"HEAD /v2/app/blobs/{blob.digest}") == 1

    async def test_whose_blob_stays_missing_is_an_error_and_moves_no_tag(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            content = an_image(blob_file(tmp_path, 5000))
            fake.when("PUT", error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown", content.blobs[0].digest), "manifests", times=9)
            with pytest.raises(RegistryError, match="lacks what app needs"):
                await pushed(fake, content, client)
            assert fake.count("PUT /v2/app/manifests") == 2
            assert not fake.manifests

    async def test_that_an_odd_answer_hides_is_pushed(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("HEAD", error(500, "UNKNOWN"), times=99)
            await pushed(fake, an_image(blob_file(tmp_path, 5000)), client)

    async def test_that_is_too_large_is_not_read_to_its_end(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client(max_manifest=10_000) as registries:
            fake.manifests["app", "1"] = (oci.MANIFEST, b"{" + b" " * 1_000_000)
            with pytest.raises(RegistryError, match="more than 10000 bytes"):
                await registries.manifest(ImageRef(fake.host, "app", "1"))

    async def test_with_another_digest_is_refused(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            asked = ImageRef(fake.host, "app", digest="sha256:" + "a" * 64)
            fake.manifests["app", asked.digest] = (oci.MANIFEST, b"{}")
            with pytest.raises(DigestMismatch) as wrong:
                await registries.manifest(asked)
            assert wrong.value.exit_code == 5

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"schemaVersion": 1, "name": "app", "fsLayers": []}, "schema 1"),
            ({"schemaVersion": 2, "mediaType": "text/plain"}, "neither an image nor an index"),
            ([], "not a JSON object"),
            ({"mediaType": oci.MANIFEST, "layers": []}, "no proper descriptor"),
            ({"mediaType": oci.MANIFEST, "config": {"digest": "sha256:../../x", "size": 1, "mediaType": "x"}}, "which is not sha256"),
            ({"mediaType": oci.MANIFEST, "config": {"digest": "sha256:" + "a" * 64, "size": -1, "mediaType": "x"}}, "the size '-1'"),
            ({"mediaType": oci.MANIFEST, "config": {"digest": "sha256:" + "a" * 64, "size": 1}, "layers": [{}] * 101}, "101 layers"),
            ({"mediaType": oci.INDEX, "manifests": "x"}, "not a list"),
            ({"mediaType": oci.INDEX, "manifests": [], "annotations": {"a": 1}}, "annotations"),
        ],
        ids=["schema 1", "text", "list", "no config", "digest", "size", "layers", "manifests", "annotations"],
    )  # fmt: skip
    async def test_that_is_none_is_refused_by_name(self, client: Client, body: object, says: str) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.manifests["app", "1"] = ("application/json", json.dumps(body).encode())
            with pytest.raises(RegistryError, match=says):
                await registries.manifest(ImageRef(fake.host, "app", "1"))

    async def test_with_a_foreign_layer_is_refused(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            digest = "sha256:" + "a" * 64
            layer = {"digest": digest, "size": 1, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}
            body = {"schemaVersion": 2, "config": {**layer, "mediaType": oci.CONFIG}, "layers": [layer]}
            fake.manifests["app", "1"] = (oci.MANIFEST, oci.canonical(body))
            with pytest.raises(RegistryError, match="foreign"):
                await pull.image(registries, ImageRef(fake.host, "app", "1"), AMD64)

    async def test_that_is_not_there_for_the_platform_says_for_which_it_is(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            ref = ImageRef(fake.host, "app", "1")
            await push(registries, oci.index((an_image(blob_file(tmp_path, 500), platform=AMD64),), {}), [ref], quiet)
            with pytest.raises(ImageMissing, match="not there for linux/arm64, only for linux/amd64"):
                await pull.image(registries, ref, ARM64)

    async def test_that_does_not_exist_is_named(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            with pytest.raises(ImageMissing, match="app:nosuch"):
                await registries.resolve(ImageRef(fake.host, "app", "nosuch"))


class TestADownload:
    async def downloaded(self, fake: FakeRegistry, client: Client, tmp_path: Path, size: int = 3_000_000) -> None:
        blob = blob_file(tmp_path, size)
        assert blob.path
        fake.blobs["app", blob.digest] = blob.path.read_bytes()
        target = tmp_path / "out/blob"
        async with client() as registries:
            await registries.download(ImageRef(fake.host, "app"), blob, target)
        assert target.read_bytes() == blob.path.read_bytes()
        assert [path.name for path in target.parent.iterdir()] == ["blob"]

    @pytest.mark.parametrize("ranges", [True, False], ids=["with ranges", "without ranges"])
    async def test_that_is_cut_goes_on(self, tmp_path: Path, client: Client, ranges: bool) -> None:
        async with fake_registry(has_ranges=ranges) as fake:

            async def cut(request: Request) -> Response | None:
                fake_answer = fake._blob(request, "app", request.path.rpartition("/")[2])
                fake_answer.cut = len(fake_answer.body) // 2
                return fake_answer

            fake.when("GET", cut, times=3)
            await self.downloaded(fake, client, tmp_path)
            assert fake.count("GET") == 4

    async def test_that_goes_on_at_another_place_is_refused(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:

            async def cut(request: Request) -> Response | None:
                whole = fake._blob(request, "app", request.path.rpartition("/")[2])
                whole.cut = len(whole.body) // 2
                return whole

            fake.when("GET", cut)
            fake.when("GET", Response(206, b"x" * 1_500_000, {"Content-Range": "bytes 7-1500006/3000000"}))
            with pytest.raises(RegistryError, match="sent it from 7 on"):
                await self.downloaded(fake, client, tmp_path)

    async def test_is_led_elsewhere_without_the_login(self, tmp_path: Path, client: Client) -> None:
        blob = blob_file(tmp_path, 5000)
        asked: list[Request] = []

        async def storage(request: Request) -> Response:
            asked.append(request)
            assert blob.path
            return Response(200, blob.path.read_bytes())

        async with fake_registry() as fake, serve(storage) as elsewhere:
            fake.when("GET", Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
            fake.when("GET", Response(307, headers={"Location": f"http://{elsewhere}/signed?key=1"}))
            secret = json.dumps({"auths": {fake.host: {"username": "me", "password": "geheim"}}}).encode()
            async with client(pull_secrets=(("secret", secret),)) as registries:
                await registries.download(ImageRef(fake.host, "app"), blob, tmp_path / "out/blob")
            assert "authorization" in fake.seen[-1].headers
            assert [request.headers.get("authorization") for request in asked] == [None]

    async def test_is_not_led_to_a_place_without_tls(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("GET", Response(302, headers={"Location": "http://elsewhere.example/blob"}))
            with pytest.raises(RegistryUntrusted, match="not https"):
                await self.downloaded(fake, client, tmp_path, 500)

    async def test_in_circles_ends(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake:
            fake.when("GET", Response(302, headers={"Location": "/v2/app/blobs/x"}), times=99)
            with pytest.raises(RegistryError, match="redirected 5 times"):
                await self.downloaded(fake, client, tmp_path, 500)

    @pytest.mark.parametrize("size", [5000, 6000], ids=["other bytes", "more bytes"])
    async def test_of_the_wrong_bytes_leaves_nothing(self, tmp_path: Path, client: Client, size: int) -> None:
        blob = blob_file(tmp_path, 5000)
        async with fake_registry() as fake, client() as registries:
            fake.blobs["app", blob.digest] = b"x" * size
            with pytest.raises(DigestMismatch):
                await registries.download(ImageRef(fake.host, "app"), blob, tmp_path / "out/blob")
            assert list((tmp_path / "out").iterdir()) == []
            with pytest.raises(DigestMismatch):
                await registries.blob(ImageRef(fake.host, "app"), blob)

    async def test_from_a_silent_registry_ends(self, tmp_path: Path, client: Client) -> None:
        async def silent(request: Request) -> Response | None:
            await asyncio.sleep(60)
            return None

        async with fake_registry() as fake, client(retries=1, read_timeout=0.2) as registries:
            fake.when("GET", silent, times=9)
            with pytest.raises(RegistryUnreachable, match="given up after 2 tries"):
                await registries.manifest(ImageRef(fake.host, "app", "1"))


class TestARequest:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_is_made_again_when_the_registry_asks_for_it(self, tmp_path: Path, client: Client, status: int) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", error(status, "TOOMANYREQUESTS", **{"Retry-After": "0"}), times=2)
            with pytest.raises(ImageMissing):
                await registries.manifest(ImageRef(fake.host, "app", "1"))
            assert fake.count("GET") == 3

    async def test_that_is_to_wait_too_long_is_given_up(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", error(429, "TOOMANYREQUESTS", **{"Retry-After": "3600"}), times=9)
            with pytest.raises(RegistryUnreachable, match="it asks to wait 3600 s"):
                await registries.manifest(ImageRef(fake.host, "app", "1"))
            assert fake.count("GET") == 1

    @pytest.mark.parametrize("status", [400, 500])
    async def test_that_is_wrong_is_made_once(self, client: Client, status: int) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", error(status, "UNKNOWN", "no\x1b[2J way"), times=9)
            with pytest.raises(RegistryError, match=rf"answered {status} .*UNKNOWN no \[2J way"):
                await registries.manifest(ImageRef(fake.host, "app", "1"))
            assert fake.count("GET") == 1

    async def test_that_is_too_large_for_a_proxy_names_its_setting(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("PUT", Response(413, b"<html>", {"Content-Type": "text/html"}))
            with pytest.raises(RegistryError, match=r"413 .*client_max_body_size"):
                await registries.push_blob(ImageRef(fake.host, "app"), blob_file(tmp_path, 900))

    async def test_that_is_denied_is_made_once(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", error(403, "DENIED", "not you"), times=9)
            with pytest.raises(RegistryRefused, match="403 Forbidden: DENIED not you"):
                await registries.manifest(ImageRef(fake.host, "app", "1"))
            assert fake.count("GET") == 1

    async def test_to_nobody_says_so(self, client: Client) -> None:
        async with fake_registry() as fake:
            host = fake.host
        async with client(retries=1) as registries:
            with pytest.raises(RegistryUnreachable, match=f"{host}.*given up after 2 tries"):
                await registries.check_push(ImageRef(host, "app"))

    async def test_is_made_again_when_the_connection_breaks(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("POST", hangs_up, times=2)
            await registries.check_push(ImageRef(fake.host, "app"))
            assert [line.partition(" ")[0] for line in fake.log] == ["POST", "POST", "POST", "DELETE"]

    async def test_for_a_token_is_made_with_the_identity_token(self, tmp_path: Path, client: Client) -> None:
        forms: list[bytes] = []

        async def token_server(request: Request) -> Response:
            forms.append(await request.body())
            return Response.json({"access_token": "t1"})

        async with fake_registry() as fake, serve(token_server) as realm:
            fake.when("POST", Response(401, headers={"WWW-Authenticate": f'Bearer realm="http://{realm}/t",service="s"'}))
            secret = json.dumps({"auths": {fake.host: {"auth": "bWU6", "identitytoken": "geheim"}}}).encode()
            async with client(pull_secrets=(("secret", secret),)) as registries:
                await registries.check_push(ImageRef(fake.host, "app"))
            assert fake.seen[-1].headers["authorization"] == "Bearer t1"
        assert [b"grant_type=refresh_token&refresh_token=geheim" in form for form in forms] == [True]
        assert b"scope=repository%3Aapp%3Apull%2Cpush" in forms[0]

    async def test_for_a_token_never_goes_to_a_server_without_tls(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", Response(401, headers={"WWW-Authenticate": 'Bearer realm="http://tokens.example/t"'}))
            with pytest.raises(RegistryUntrusted, match="not https"):
                await registries.manifest(ImageRef(fake.host, "app", "1"))


class TestThePermissionToPush:
    async def test_is_asked_for_with_an_upload_that_is_given_up(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            await registries.check_push(ImageRef(fake.host, "app", "1"))
            assert not fake.sessions

    async def test_names_a_repository_that_must_be_made_first(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("POST", error(404, "NAME_UNKNOWN", "The repository does not exist"))
            with pytest.raises(RegistryError, match="aws ecr create-repository --repository-name team/app"):
                await registries.check_push(ImageRef(fake.host, "team/app"))


class TestReferrers:
    @pytest.mark.parametrize("api", [True, False], ids=["by the API", "by the fallback tag"])
    async def test_are_found_by_their_type(self, tmp_path: Path, client: Client, api: bool) -> None:
        async with fake_registry(has_referrers=api) as fake, client() as registries:
            ref = ImageRef(fake.host, "app", "1")
            content = an_image(blob_file(tmp_path, 900))
            await push(registries, content, [ref], quiet)
            one, two = (oci.artifact(kind, content, (oci.blob(kind.encode(), "text/plain"),), {"a": kind}) for kind in ("x/one", "x/two"))
            for artifact in (one, two, one):
                await attach(registries, [artifact], ref)
            assert [found.digest for found in await registries.referrers(ref, content.digest, "x/two")] == [two.digest]
            assert {found.digest for found in await registries.referrers(ref, content.digest)} == {one.digest, two.digest}
            assert (("app", content.digest.replace(":", "-")) in fake.manifests) is not api

    async def test_that_two_attach_at_once_are_both_there(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            ref = ImageRef(fake.host, "app", "1")
            content = an_image(blob_file(tmp_path, 900))
            await push(registries, content, [ref], quiet)
            many = [oci.artifact(f"x/{n}", content, (), {}) for n in range(4)]

            async def slowly(request: Request) -> Response | None:
                await asyncio.sleep(0.5)  # so that whoever read before this PUT has long looked whether his own is there
                return None

            fake.when("PUT", slowly, content.digest.replace(":", "-"))
            async with asyncio.TaskGroup() as tasks:
                for artifact in many:
                    tasks.create_task(attach(registries, [artifact], ref))
            assert {found.digest for found in await registries.referrers(ref, content.digest)} == {one.digest for one in many}

    async def test_that_another_client_overwrites_are_added_again(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            ref = ImageRef(fake.host, "app", "1")
            content = an_image(blob_file(tmp_path, 900))
            await push(registries, content, [ref], quiet)
            ours, theirs = (oci.artifact(kind, content, (), {}) for kind in ("x/ours", "x/theirs"))
            tag = content.digest.replace(":", "-")

            async def overwritten(request: Request) -> Response | None:
                await request.body()
                fake.manifests["app", tag] = (oci.INDEX, oci.index((theirs,), {}).data)
                return Response(201)

            fake.when("PUT", overwritten, tag)
            await attach(registries, [ours], ref)
            assert {found.digest for found in await registries.referrers(ref, content.digest)} == {ours.digest, theirs.digest}


class TestTags:
    async def test_come_in_pages(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", Response.json({"tags": ["a"]}, Link='</v2/app/tags/list?n=1&last=a>; rel="next"'))
            fake.when("GET", Response.json({"tags": ["b"]}))
            assert await registries.tags(ImageRef(fake.host, "app")) == ("a", "b")
            assert fake.log[1] == "GET /v2/app/tags/list?n=1&last=a"

    async def test_pages_elsewhere_or_for_ever_are_not_followed(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", Response.json({"tags": ["a"]}, Link='<http://elsewhere.example/v2/app/tags/list>; rel="next"'))
            assert await registries.tags(ImageRef(fake.host, "app")) == ("a",)
            assert fake.count("GET") == 1
            fake.when("GET", Response.json({"tags": ["a"]}, Link='</v2/app/tags/list?n=1>; rel="next"'), times=999)
            assert len(await registries.tags(ImageRef(fake.host, "app"), limit=20)) == 20

    async def test_of_a_repository_that_is_not_there_are_none(self, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            fake.when("GET", error(404, "NAME_UNKNOWN"))
            assert await registries.tags(ImageRef(fake.host, "app")) == ()


class TestDeleting:
    async def test_says_when_a_registry_does_not(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            ref = ImageRef(fake.host, "app", "1")
            await push(registries, an_image(blob_file(tmp_path, 900)), [ref], quiet)
            await registries.delete(ref)
            with pytest.raises(ImageMissing):
                await registries.resolve(ref)
            fake.when("DELETE", error(405, "UNSUPPORTED"))
            with pytest.raises(RegistryError, match="does not delete"):
                await registries.delete(ref)

    async def test_and_pushing_again_sends_what_is_missing(self, tmp_path: Path, client: Client) -> None:
        async with fake_registry() as fake, client() as registries:
            ref, blob = ImageRef(fake.host, "app", "1"), blob_file(tmp_path, 900)
            assert await registries.push_blob(ref, blob) is Moved.UPLOADED
            assert await registries.push_blob(ref, blob) is Moved.PRESENT
            assert await registries.has_blob(ref, blob.digest)
