"""What a message becomes, and who we are to a server: the pure parts of the sources that read from message systems."""

import base64
import subprocess
import sys

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from eventing.courier import Courier
from eventing.delivery import Policy
from eventing.metrics import Metrics
from eventing.settings import Settings
from eventing.sources.carrier import Carrier, Route
from eventing.sources.queues import kafkamessage, kafkapump, natsmessage
from eventing.sources.queues.natsmessage import Made, Message
from eventing.sources.queues.offsets import Progress
from kfn.busauth import nkey

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


def record(key: bytes | None = None, value: bytes | None = b"x", **headers: bytes) -> kafkamessage.Record:
    return kafkamessage.Record("t", 1, 7, 1_700_000_000_123, key, value, [(name.replace("_", "-"), one) for name, one in headers.items()])


class TestKafkaRecords:
    @pytest.mark.parametrize(
        ("type_", "key", "told"),
        [
            ("string", b"eu", "eu"),
            ("string", b"\xff\x00", "/wA="),
            ("string", b"a\nb", "YQpi"),
            ("int", b"\x00\x00\x00\x2a", "42"),
            ("int", b"\xff" * 8, "-1"),
            ("int", b"abc", "YWJj"),
            ("float", b"\x3f\x00\x00\x00", "0.5"),
            ("byte-array", b"eu", "ZXU="),
        ],
    )
    def test_a_key_is_told_by_its_type(self, type_: str, key: bytes, told: str) -> None:
        event = kafkamessage.event(record(key), kafkamessage.Made("ns", "ks", type_))
        assert (event.attributes["key"], event.attributes["partitionkey"]) == (told, told)

    def test_a_plain_record_is_as_knative_makes_it(self) -> None:
        event = kafkamessage.event(record(X_One=b"1", bad=b"\xff"), kafkamessage.Made("ns", "ks"))
        assert event.attributes == {
            "specversion": "1.0", "id": "partition:1/offset:7", "source": "/apis/v1/namespaces/ns/kafkasources/ks#t",
            "type": "dev.knative.kafka.event", "subject": "partition:1#7", "time": "2023-11-14T22:13:20.123Z", "kafkaheaderxone": "1",
        }  # fmt: skip

    def test_a_structured_event_passes_and_one_that_is_not_valid_goes_as_it_is(self) -> None:
        whole = b'{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}}'
        event = kafkamessage.event(record(b"k", whole, content_type=b"application/cloudevents+json"), kafkamessage.Made("ns", "ks"))
        assert (event.id, event.data, event.attributes["partitionkey"], "key" in event.attributes) == ("1", b'{"n": 1}', "k", False)
        broken = kafkamessage.event(record(b"k", b"{", content_type=b"application/cloudevents+json"), kafkamessage.Made("ns", "ks"))
        assert (broken.type, broken.data) == ("dev.knative.kafka.event", b"{")


class TestOffsets:
    def test_what_may_be_committed_ends_before_the_first_that_is_not_done(self) -> None:
        progress = Progress(5)
        assert progress.settled == 5
        assert [progress.begin(offset) for offset in (5, 6, 9)] == [True] * 3
        progress.done(6)
        progress.done(9)
        assert progress.settled == 5
        progress.done(5)
        assert progress.settled == 10

    def test_nothing_is_begun_twice(self) -> None:
        progress = Progress(5)
        assert progress.begin(7)
        assert not progress.begin(6)
        assert not progress.begin(7)


class TestKafkaLogins:
    @pytest.mark.parametrize(
        ("login", "protocol", "mechanism"),
        [
            (kafkapump.Login(), "PLAINTEXT", None),
            (kafkapump.Login(sasl=True, user=b"me\n", password=b"pw\n"), "SASL_PLAINTEXT", "PLAIN"),
            (kafkapump.Login(tls=True, sasl=True, user=b"me", password=b"pw", type=b"SCRAM-SHA-512\n"), "SASL_SSL", "SCRAM-SHA-512"),
            (kafkapump.Login(tls=True), "SSL", None),
        ],
    )
    def test_they_are_what_aiokafka_takes(self, login: kafkapump.Login, protocol: str, mechanism: str | None) -> None:
        options = login.options()
        assert (options["security_protocol"], options.get("sasl_mechanism")) == (protocol, mechanism)
        assert (options.get("sasl_plain_username"), options.get("sasl_plain_password")) == (("me", "pw") if mechanism else (None, None))
        assert "pw" not in repr(login)

    def test_what_is_wrong_is_named_and_not_shown(self) -> None:
        with pytest.raises(ValueError, match=r"spec\.net\.sasl\.type is not one of PLAIN"):
            kafkapump.Login(sasl=True, type=b"hunter2").options()
        with pytest.raises(ValueError, match=r"spec\.net\.tls\.caCert is no certificate in PEM"):
            kafkapump.Login(tls=True, ca=b"hunter2").options()
        with pytest.raises(ValueError, match=r"spec\.net\.tls\.cert and spec\.net\.tls\.key are no certificate"):
            kafkapump.Login(tls=True, cert=b"hunter2", key=b"hunter2").options()


class TestWithoutAiokafka:
    async def test_the_condition_says_which_package_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "aiokafka", None)
        monkeypatch.delitem(sys.modules, "eventing.sources.queues.member", raising=False)
        told = anyio.Event()
        metrics = Metrics()
        reading = kafkapump.Reading(("127.0.0.1:9",), ("t",), "g", True, True, kafkapump.Login())
        route = Route("kafka", "default/orders", "http://127.0.0.1:9", Policy())
        pump = kafkapump.KafkaPump(Carrier(Courier(Settings()), metrics), metrics, reading, route, kafkamessage.Made("ns", "ks"), told.set)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.run)
            await told.wait()
            tasks.cancel_scope.cancel()
        assert pump.problem == "KafkaSources need a package more: pip install 'kfn[kafka]' (aiokafka is not there)"

    def test_nothing_of_it_is_loaded_when_eventing_starts(self) -> None:
        code = "import sys, eventing.app; print([name for name in sys.modules if name.startswith('aiokafka')])"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
