"""What a message becomes, and who we are to a server: the pure parts of the sources that read from message systems."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from eventing.sources.queues import natsmessage, nkey
from eventing.sources.queues.natsmessage import Made, Message

SEED = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
MADE = Made("nats://n.example:4222", "dev.kfn.sources.nats")


class TestNatsMessages:
    @pytest.mark.parametrize(
        ("server", "subject", "source"),
        [
            ("nats://n.example:4222", "a.b", "nats://n.example:4222/a.b"),
            ("tls://n.example", "a.>", "nats://n.example/a.%3E"),
            ("nats://me:secret@n.example:1", "a", "nats://n.example:1/a"),
            ("nats://[::1]:4222", "a/b", "nats://[::1]:4222/a%2Fb"),
        ],
    )
    def test_the_source_is_server_and_subject_without_credentials(self, server: str, subject: str, source: str) -> None:
        assert natsmessage.source(server, subject) == source

    def test_a_media_type_that_is_none_is_left_out(self) -> None:
        event = natsmessage.event(Message("a", {"Content-Type": "text"}, b"x", "1", "2026-01-01T00:00:00Z"), MADE)
        assert event.attributes == {
            "specversion": "1.0", "id": "1", "source": "nats://n.example:4222/a", "type": "dev.kfn.sources.nats", "subject": "a",
            "time": "2026-01-01T00:00:00Z",
        }  # fmt: skip


class TestNkeys:
    def test_a_seed_signs_as_its_public_key_says(self) -> None:
        one = nkey.from_seed(SEED)
        assert one.public.startswith("U")
        raw = base64.b32decode(one.public)[1:33]
        Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(one.sign("nonce")), b"nonce")

    def test_credentials_have_a_jwt_and_a_seed(self) -> None:
        file = f"-----BEGIN NATS USER JWT-----\nj.w.t\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{SEED}\n------END"
        one = nkey.from_credentials(file)
        assert (one.jwt, one.public) == ("j.w.t", nkey.from_seed(SEED).public)

    @pytest.mark.parametrize("text", ["", "hunter2", SEED[:-3] + "AAA", SEED.replace("SU", "SA"), "-----BEGIN NATS USER JWT-----"])
    def test_what_is_none_is_refused_and_not_repeated(self, text: str) -> None:
        for read in (nkey.from_seed, nkey.from_credentials):
            with pytest.raises(nkey.NkeyError) as refused:
                read(text)
            assert not text or text not in str(refused.value)
