"""Bodies from bytes: JSON, YAML, and kubectl's protobuf; and nothing that could not be stored."""

import pytest

from embedded.api.decode import body
from embedded.api.status import StatusError

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"


def field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field: a number below 128, or text of fewer than 128 bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    raw = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(raw)]) + raw


def envelope(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


class TestText:
    @pytest.mark.parametrize(
        ("content", "media", "decoded"),
        [
            (b'{"a": [1, null]}', JSON, {"a": [1, None]}),
            (b"{}", "application/merge-patch+json", {}),
            (b"{}", "", {}),
            (b"", JSON, None),
            (b"a: 2020-01-01\n1: [x, yes]", YAML, {"a": "2020-01-01", "1": ["x", True]}),
            (b"a: .nan", "application/apply-patch+yaml; charset=utf-8", {"a": None}),
        ],
    )
    def test_it_is_decoded(self, content, media, decoded):
        assert body(content, media) == decoded

    @pytest.mark.parametrize(
        ("content", "media", "code"),
        [
            (b"{", JSON, 400),
            (b"\xff", JSON, 400),
            (b'"\\ud800"', JSON, 400),
            (b'{"a": NaN}', JSON, 400),
            (b'"\\ud800"', YAML, 400),
            (b"a: !!python/object:os.system x", YAML, 400),
            (b"a: &a [x]\nb: [*a, *a]", YAML, 400),
            (b"a: b\n---\na: c", YAML, 400),
            (b"[" * 100_000, JSON, 400),
            (b"x", "text/plain", 415),
        ],
    )
    def test_it_is_refused(self, content, media, code):
        with pytest.raises(StatusError) as refused:
            body(content, media)
        assert refused.value.code == code


class TestProtobuf:
    def test_maps_bytes_and_lists(self):
        meta = field(1, field(1, "s") + field(11, field(1, "k") + field(2, "v")) + field(14, "f1") + field(14, "f2"))
        raw = meta + field(2, field(1, "a") + field(2, b"\x00\xff")) + field(3, "Opaque")
        assert body(envelope("Secret", raw), PROTOBUF) == {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "labels": {"k": "v"}, "finalizers": ["f1", "f2"]},
            "data": {"a": "AP8="},
            "type": "Opaque",
        }

    def test_zero_replicas_are_zero_and_an_unset_number_is_absent(self):
        raw = field(1, field(1, "d") + field(7, 0)) + field(2, field(1, 0) + field(5, 0)) + field(3, b"")
        assert body(envelope("Deployment", raw, "apps/v1"), PROTOBUF)["spec"] == {"replicas": 0}
        assert body(envelope("Deployment", raw, "apps/v1"), PROTOBUF)["metadata"] == {"name": "d"}

    def test_a_port_by_number_or_by_name(self):
        def port(target: bytes) -> object:
            raw = field(2, field(1, field(3, 80) + field(4, target)))
            return body(envelope("Service", raw), PROTOBUF)["spec"]["ports"][0]["targetPort"]

        assert port(field(1, 0) + field(2, 90) + field(3, "")) == 90
        assert port(field(1, 1) + field(2, 0) + field(3, "web")) == "web"

    def test_a_field_it_does_not_know_is_refused_by_its_number_not_dropped(self):
        with pytest.raises(StatusError, match=r"field 9 of ConfigMap in protobuf: send it as JSON") as refused:
            body(envelope("ConfigMap", field(9, "value")), PROTOBUF)
        assert refused.value.code == 415

    @pytest.mark.parametrize(
        "content",
        [
            b"k8s",
            b"k8s\x00\xff",
            b"k8s\x00" + field(1, "\x0a\x7f"),
            envelope("Secret", b"\x0a"),
            envelope("Secret", b"\xff" * 20),
            envelope("Secret", b"\x0d"),
        ],
    )
    def test_broken_bytes_are_400(self, content):
        with pytest.raises(StatusError) as refused:
            body(content, PROTOBUF)
        assert refused.value.code == 400
