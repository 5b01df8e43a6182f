"""What a signature says is believed only if the key, the text and the image fit. Each reason against it has its own words."""

import base64
import json
import random
from typing import Any

import pytest

from builder.oci import Content
from builder.registry.descriptor import subject
from builder.supply import bundle, claims, keys, sign
from builder.supply.attach import KEY, Wanted, attached, new
from builder.supply.dsse import PAYLOAD_TYPE, Malformed, pae, read, statement
from builder.supply.model import BUNDLE, PROVENANCE_PREDICATE, SIGNATURE_PREDICATE, Run
from tests.unit.builder.supply.test_sbom import described

SIGNER, OTHER = keys.generate(), keys.generate()
IMAGE = described().image
ANOTHER = Content(IMAGE.data + b" ", IMAGE.media_type, IMAGE.blobs)


def data_of(artifact: Content) -> bytes:
    body = artifact.blobs[1].data
    assert body is not None
    return body


def changed(data: bytes, **parts: Any) -> bytes:
    content = json.loads(data)
    content["dsseEnvelope"] |= parts
    return json.dumps(content).encode()


def checked(data: bytes, image: Content = IMAGE, verifier: keys.Verifier = SIGNER.verifier) -> claims.Claim:
    return claims.in_bundle(data, image.data, image.digest, verifier)


class TestABundle:
    GOOD = data_of(sign.signature(IMAGE, SIGNER))

    def test_of_the_key_about_the_image_holds(self) -> None:
        assert checked(self.GOOD).is_signature

    def test_is_as_cosign_writes_it(self) -> None:
        body = json.loads(self.GOOD)
        assert body.keys() == {"mediaType", "verificationMaterial", "dsseEnvelope"}
        assert body["mediaType"] == BUNDLE
        assert body["verificationMaterial"] == {"publicKey": {"hint": SIGNER.verifier.hint}}
        assert body["dsseEnvelope"]["payloadType"] == "application/vnd.in-toto+json"
        said = json.loads(base64.b64decode(body["dsseEnvelope"]["payload"]))
        assert said["predicateType"] == SIGNATURE_PREDICATE
        assert said["subject"] == [{"digest": {"sha256": IMAGE.digest.removeprefix("sha256:")}}]

    def test_of_another_key_names_both(self) -> None:
        with pytest.raises(Malformed, match="made with another key"):
            checked(self.GOOD, verifier=OTHER.verifier)

    def test_that_claims_this_key_but_was_made_by_another_is_wrong(self) -> None:
        body = json.loads(data_of(sign.signature(IMAGE, OTHER)))
        body["verificationMaterial"]["publicKey"]["hint"] = SIGNER.verifier.hint
        with pytest.raises(Malformed, match="its signature is wrong"):
            checked(json.dumps(body).encode())

    def test_about_another_image_is_valid_but_does_not_count(self) -> None:
        with pytest.raises(Malformed, match=r"validly signed, but speaks of sha256:.*, not of this image"):
            checked(self.GOOD, ANOTHER)

    def test_with_the_signature_of_another_text_is_wrong(self) -> None:
        elsewhere = json.loads(data_of(sign.signature(ANOTHER, SIGNER)))["dsseEnvelope"]["signatures"]
        with pytest.raises(Malformed, match="its signature is wrong"):
            checked(changed(self.GOOD, signatures=elsewhere))

    def test_whose_text_was_changed_is_wrong(self) -> None:
        text = base64.b64encode(statement([(IMAGE.digest, "")], PROVENANCE_PREDICATE, {"builder": "me"})).decode()
        with pytest.raises(Malformed, match="its signature is wrong"):
            checked(changed(self.GOOD, payload=text))

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (GOOD[:-20], "is not JSON"),
            (b"[]", "not a JSON object"),
            (b'{"mediaType":"x"}', "only v0.3 is read"),
            (changed(GOOD, signatures=[]), "exactly one signature"),
            (changed(GOOD, signatures=json.loads(GOOD)["dsseEnvelope"]["signatures"] * 2), "exactly one signature"),
            (changed(GOOD, payloadType="text/plain"), "not an in-toto statement"),
            (changed(GOOD, payload="%%%"), "not base64"),
            (b"[" * 100_000, "is not JSON"),
            (GOOD.replace(b'"publicKey"', b'"certificate"'), "with a certificate"),
            (GOOD.replace(b'"dsseEnvelope"', b'"nothing"'), "neither an envelope nor a signature"),
        ],
        ids=["cut", "list", "another type", "unsigned", "signed twice", "another payload", "no base64", "deep", "certificate", "empty"],
    )
    def test_that_is_malformed_says_how(self, body: bytes, words: str) -> None:
        with pytest.raises(Malformed, match=words):
            checked(body)

    def test_over_the_manifest_itself_holds(self) -> None:
        signature = base64.b64encode(SIGNER.sign(IMAGE.data)).decode()
        body = {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": ""}},
            "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": ""}, "signature": signature},
        }
        assert checked(json.dumps(body).encode()).is_signature
        with pytest.raises(Malformed, match="its signature is wrong"):
            checked(json.dumps(body).encode(), ANOTHER)


class TestHostileBytes:
    def test_are_refused_in_words_or_change_nothing_that_is_signed(self) -> None:
        """Six bytes in a thousand are the hint, which is not signed; a change elsewhere is refused, never a crash."""
        chance, good = random.Random(7), TestABundle.GOOD
        said = bundle.read(good).payload
        for _ in range(1500):
            data = bytearray(good)
            for _ in range(chance.choice((1, 1, 2, 5))):
                data[chance.randrange(len(data))] = chance.randrange(256)
            body = bytes(data[: chance.randrange(len(data))] if chance.random() < 0.1 else data)
            try:
                checked(body)
            except Malformed:
                continue
            assert bundle.read(body).payload == said

    @pytest.mark.parametrize("value", [None, 1, [], {}, "x", True, [[]], {"a": {}}], ids=repr)
    def test_of_a_wrong_kind_are_refused_in_words(self, value: object) -> None:
        """Signed by the key, so that every check behind the signature is reached."""
        whole = json.loads(statement([(IMAGE.digest, "")], "t", {}))
        for name in (*whole, "digest"):
            said = {**whole, name: value} if name in whole else {**whole, "subject": [{"digest": value}]}
            body = json.dumps(said).encode()
            signed = bundle.write(body, SIGNER.sign(pae(PAYLOAD_TYPE, body)), SIGNER.verifier.hint)
            if name in ("_type", "subject", "digest"):
                with pytest.raises(Malformed):
                    checked(signed)


class TestAnOldSignature:
    def layer(self, **given: Any) -> tuple[dict[str, Any], bytes]:
        made = sign.old_signature(given.get("image", IMAGE), "registry.example/hello", given.get("signer", SIGNER))
        return json.loads(made.content.data)["layers"][0], data_of(made.content)

    def checked(self, layer: dict[str, Any], payload: bytes) -> claims.Claim:
        return claims.in_layer(layer, payload, IMAGE.digest, SIGNER.verifier)

    def test_holds_and_lies_under_cosigns_tag(self) -> None:
        assert self.checked(*self.layer()).form == "tag"
        tag = sign.old_signature(IMAGE, "r", SIGNER).tag
        assert tag == f"sha256-{IMAGE.digest.removeprefix('sha256:')}.sig"

    def test_of_another_key_is_wrong(self) -> None:
        with pytest.raises(Malformed, match="its signature is wrong"):
            self.checked(*self.layer(signer=OTHER))

    def test_of_another_image_does_not_count(self) -> None:
        with pytest.raises(Malformed, match="not of this image"):
            self.checked(*self.layer(image=ANOTHER))

    def test_of_a_changed_payload_is_wrong(self) -> None:
        layer, payload = self.layer()
        with pytest.raises(Malformed, match="its signature is wrong"):
            self.checked(layer, payload.replace(b"registry.example", b"attacker.example"))

    def test_without_its_annotation_says_so(self) -> None:
        layer, payload = self.layer()
        with pytest.raises(Malformed, match="has no annotation"):
            self.checked({**layer, "annotations": {}}, payload)

    def test_of_something_else_does_not_count(self) -> None:
        body = json.dumps({"critical": {"type": "atomic container signature", "image": {}}}).encode()
        layer = {"annotations": {sign.SIGNATURE: base64.b64encode(SIGNER.sign(body)).decode()}}
        with pytest.raises(Malformed, match="its payload is no"):
            self.checked(layer, body)


class TestWhatIsSigned:
    def test_cannot_pass_for_another_type(self) -> None:
        assert pae("a", b"b c") != pae("a b", b"c")
        assert pae("application/vnd.in-toto+json", b"{}") == b"DSSEv1 28 application/vnd.in-toto+json 2 {}"

    @pytest.mark.parametrize("body", [b"{}", b'{"_type":"https://in-toto.io/Statement/v1"}', b"null"], ids=repr)
    def test_is_a_statement(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            read(body)


class TestWhatIsAttached:
    def test_without_a_key_is_bare_and_speaks_of_the_image(self) -> None:
        made = attached([described()], IMAGE, Run("d"), Wanted("cyclonedx", True))
        assert [one.artifact_type for one in made.referrers] == ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]
        assert {subject(one) for one in made.referrers} == {IMAGE.digest}
        assert made.tagged == ()

    def test_with_a_key_is_signed_every_piece(self) -> None:
        made = attached([described()], IMAGE, Run("d"), Wanted("spdx", True, SIGNER, True), "r.example/hello")
        found = [checked(data_of(one)) for one in made.referrers]
        assert [one.kind for one in found] == ["https://spdx.dev/Document", PROVENANCE_PREDICATE, SIGNATURE_PREDICATE]
        assert len(made.tagged) == 1

    def test_a_second_time_is_there_already_but_for_what_changed(self) -> None:
        first, second, other = (
            attached([described()], IMAGE, Run(source, started=when), Wanted("cyclonedx", True, SIGNER)).referrers
            for source, when in (("d", "2026"), ("d", "2027"), ("e", "2028"))
        )
        there = [{**one.descriptor, "annotations": dict(one.annotations)} for one in first]
        assert new(first, there) == ()
        assert new(second, there) == ()
        assert [one.annotations[sign.PREDICATE] for one in new(other, there)] == [PROVENANCE_PREDICATE]
        assert all(KEY in one.annotations for one in second[:2])
        assert bundle.read(data_of(second[2])).signature == bundle.read(data_of(first[2])).signature
