"""The CloudEvents HTTP binding and JSON format, sentence by sentence: what must be accepted, kept, and refused."""

import base64
import json

import pytest

from kfn.cloudevents import Event, InvalidEvent, http
from kfn.cloudevents import json as format

MINIMAL = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def binary(attributes: dict[str, str], body: bytes = b"", content_type: str = "") -> list[Event]:
    headers = [(f"ce-{k}".encode(), v.encode()) for k, v in attributes.items()]
    return http.parse([*headers, *([(b"content-type", content_type.encode())] if content_type else [])], body)


def structured(fields: dict[str, object], content_type: str = "application/cloudevents+json") -> Event:
    [event] = http.parse([(b"Content-Type", content_type.encode())], json.dumps(fields).encode())
    return event


class TestBinary:
    def test_the_minimal_event(self) -> None:
        [event] = binary(MINIMAL)
        assert event == Event(MINIMAL, None)

    def test_the_content_type_is_the_datacontenttype_and_the_body_is_the_data_as_it_is(self) -> None:
        [event] = binary(MINIMAL, b"\x00\xff<x/>", "application/xml; charset=utf-8")
        assert event.datacontenttype == "application/xml; charset=utf-8"
        assert event.data == b"\x00\xff<x/>"

    def test_header_names_in_any_case(self) -> None:
        [event] = http.parse([(b"CE-SpecVersion", b"1.0"), (b"Ce-Id", b"1"), (b"ce-SOURCE", b"/s"), (b"ce-type", b"t")], b"")
        assert event.attributes == MINIMAL

    def test_extensions_are_kept(self) -> None:
        [event] = binary({**MINIMAL, "comexampleext": "x", "dataref": "http://x/y"})
        assert event.attributes["comexampleext"] == "x"

    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("100%", "100%"),
            ('"quoted \\" value"', 'quoted " value'),
            ("a%2fb", "a/b"),
            ("plain", "plain"),
        ],
    )
    def test_values_are_percent_decoded_and_quotes_removed(self, sent: str, meant: str) -> None:
        assert binary({**MINIMAL, "subject": sent})[0].attributes["subject"] == meant

    def test_what_is_percent_encoded_is_what_the_binding_says(self) -> None:
        headers, _ = http.binary(Event({**MINIMAL, "subject": 'Euro € "100%"~!#'}))
        assert dict(headers)["ce-subject"] == "Euro%20%E2%82%AC%20%22100%25%22~!#"

    def test_bytes_that_are_not_utf8_are_refused(self) -> None:
        with pytest.raises(InvalidEvent, match="ce-subject"):
            binary({**MINIMAL, "subject": "%FF%FE"})

    @pytest.mark.parametrize("version", ["1.0", "0.3"])
    def test_an_event_leaves_in_the_version_in_which_it_came(self, version: str) -> None:
        [event] = binary({**MINIMAL, "specversion": version})
        assert dict(http.binary(event)[0])["ce-specversion"] == version

    @pytest.mark.parametrize("missing", ["id", "source", "type"])
    def test_a_missing_or_empty_attribute_is_named(self, missing: str) -> None:
        with pytest.raises(InvalidEvent, match=f"ce-{missing}: is required"):
            binary({k: v for k, v in MINIMAL.items() if k != missing})
        with pytest.raises(InvalidEvent, match=f"ce-{missing}: is required"):
            binary({**MINIMAL, missing: ""})

    def test_a_request_that_is_no_event_at_all_is_told_so(self) -> None:
        with pytest.raises(InvalidEvent, match="not a CloudEvent"):
            http.parse([(b"content-type", b"application/json")], b"{}")

    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("specversion", "2.0"),
            ("time", "yesterday"),
            ("my_ext", "x"),
            ("dataschema", "no-scheme"),
            ("subject", ""),
            ("datacontenttype", "x/y"),
        ],
    )
    def test_a_wrong_attribute_is_named(self, attribute: str, value: str) -> None:
        with pytest.raises(InvalidEvent, match=f"ce-{attribute}: "):
            binary({**MINIMAL, attribute: value})


class TestStructured:
    def test_json_data_keeps_its_exact_bytes(self) -> None:
        body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a": 1.10,  "b":[1e3]}}'
        [event] = http.parse([(b"content-type", b"application/cloudevents+json; charset=UTF-8")], body)
        assert event.data == b'{"a": 1.10,  "b":[1e3]}'
        assert event.datacontenttype == "application/json"

    def test_a_json_string_of_another_type_is_its_text(self) -> None:
        assert structured({**MINIMAL, "datacontenttype": "text/plain", "data": "hi ü"}).data == "hi ü".encode()

    def test_a_json_string_of_a_json_type_stays_json(self) -> None:
        assert structured({**MINIMAL, "datacontenttype": "application/vnd.x+json", "data": "hi"}).data == b'"hi"'

    def test_base64_data(self) -> None:
        event = structured({**MINIMAL, "datacontenttype": "image/png", "data_base64": base64.b64encode(b"\x89PNG").decode()})
        assert event.data == b"\x89PNG"

    def test_version_03_says_base64_by_an_attribute(self) -> None:
        fields = {**MINIMAL, "specversion": "0.3", "datacontentencoding": "base64", "data": base64.b64encode(b"\x00").decode()}
        event = structured(fields)
        assert (event.data, "datacontentencoding" in event.attributes) == (b"\x00", False)

    def test_booleans_and_integers_become_their_canonical_strings_and_null_is_absent(self) -> None:
        attributes = structured({**MINIMAL, "flag": True, "n": -5, "gone": None}).attributes
        assert (attributes["flag"], attributes["n"], "gone" in attributes) == ("true", "-5", False)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"n": 1.5},
            {"n": [1]},
            {"id": None},
            {"data": 1, "data_base64": "AA=="},
            {"data_base64": "not base64!"},
            {"n": 2**40},
            {"Bad": "x"},
        ],
    )
    def test_wrong_values_are_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(InvalidEvent):
            structured({**MINIMAL, **wrong})

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff"])
    def test_what_is_not_a_json_object_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidEvent, match="not a JSON object"):
            http.parse([(b"content-type", b"application/cloudevents+json")], body)

    @pytest.mark.parametrize(
        "media", ["application/cloudevents+xml", "application/cloudevents+json; charset=utf-16", "application/cloudevents+avro"]
    )
    def test_other_formats_are_unsupported(self, media: str) -> None:
        with pytest.raises(http.UnsupportedFormat):
            http.parse([(b"content-type", media.encode())], b"{}")

    @pytest.mark.parametrize(
        "event",
        [
            Event({**MINIMAL, "datacontenttype": "application/json"}, b'{"a": 1}'),
            Event({**MINIMAL, "datacontenttype": "application/json"}, b"this is not json"),
            Event({**MINIMAL, "datacontenttype": "text/plain", "ext": "é"}, "ü".encode()),
            Event({**MINIMAL, "specversion": "0.3", "datacontenttype": "image/png"}, b"\x00\xff"),
            Event(MINIMAL, None),
        ],
    )
    def test_an_event_survives_both_modes(self, event: Event) -> None:
        assert format.loads(format.dumps(event)) == event
        headers, body = http.binary(event)
        assert http.parse([(k.encode(), v.encode()) for k, v in headers], body) == [event]


class TestBatch:
    HEADERS = ((b"content-type", b"application/cloudevents-batch+json"),)

    def test_each_event_in_order(self) -> None:
        body = json.dumps([{**MINIMAL, "id": str(n)} for n in range(3)]).encode()
        assert [e.id for e in http.parse(self.HEADERS, body)] == ["0", "1", "2"]

    def test_an_empty_batch(self) -> None:
        assert http.parse(self.HEADERS, b"[]") == []

    def test_every_wrong_event_is_named_by_its_place(self) -> None:
        body = json.dumps([MINIMAL, {"id": "1"}, MINIMAL, {**MINIMAL, "type": ""}]).encode()
        with pytest.raises(InvalidEvent, match=r"\[1\]\.specversion: .*\[3\]\.type: "):
            http.parse(self.HEADERS, body)

    def test_one_event_is_not_a_batch(self) -> None:
        with pytest.raises(InvalidEvent, match="not a JSON array"):
            http.parse(self.HEADERS, json.dumps(MINIMAL).encode())
