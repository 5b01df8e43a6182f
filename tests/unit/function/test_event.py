"""CloudEvents in and out of HTTP's forms."""

import json
from typing import Any

import pytest

import kfn
from kfn.function.errors import BadEvent
from kfn.function.event_http import batch_from_http, from_http, from_json, is_event, to_headers, to_json

BASE = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/s"), (b"ce-type", b"t")]


def received(*more: tuple[bytes, bytes], body: bytes = b"") -> kfn.Event:
    event = from_http([*BASE, *more], body)
    assert event is not None
    return event


class TestReceived:
    @pytest.mark.parametrize("value", [b"plain", b"a%20b", b"%22quoted%22", b"50%25", b"%C3%BC%E2%82%AC", b"a=b;c,d"])
    def test_an_attribute_goes_through_byte_for_byte(self, value: bytes) -> None:
        event = received((b"ce-ext", value))
        assert (b"ce-ext", value) in to_headers(event)

    def test_data_goes_through_byte_for_byte(self) -> None:
        body = b'{ "b":1,\n "a" : 2.0 }'
        event = received((b"content-type", b"application/json"), body=body)
        assert event.data == {"b": 1, "a": 2.0}
        assert event.body == body

    @pytest.mark.parametrize(
        ("content_type", "body", "data"),
        [
            (b"application/json; charset=utf-8", b"[1]", [1]),
            (b"application/vnd.x+json", b"1", 1),
            (b"text/plain", "ü".encode(), "ü"),
            (b"image/png", b"\x89", b"\x89"),
            (b"application/json", b"", None),
        ],
    )
    def test_data_is_what_its_content_type_says(self, content_type: bytes, body: bytes, data: Any) -> None:
        assert received((b"content-type", content_type), body=body).data == data

    def test_a_request_without_attributes_is_no_event(self) -> None:
        assert from_http([(b"content-type", b"application/json")], b"{}") is None
        assert not is_event([(b"content-type", b"application/json")])
        assert is_event([(b"content-type", b"application/cloudevents+json")])

    @pytest.mark.parametrize("missing", ["id", "source", "type", "specversion"])
    def test_a_missing_attribute_is_named(self, missing: str) -> None:
        headers = [(name, value) for name, value in BASE if name != b"ce-" + missing.encode()]
        with pytest.raises(BadEvent, match=f"`{missing}`"):
            from_http(headers, b"")

    @pytest.mark.parametrize(
        ("header", "named"),
        [((b"ce-time", b"yesterday"), "time"), ((b"ce-time", b"2026-01-01"), "time"), ((b"ce-a-b", b"1"), "a-b"), ((b"ce-x", b"%FF"), "x")],
    )
    def test_a_bad_attribute_is_named(self, header: tuple[bytes, bytes], named: str) -> None:
        with pytest.raises(BadEvent, match=f"`{named}`"):
            received(header)

    @pytest.mark.parametrize("time", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789+02:00", "2026-01-01t00:00:00z"])
    def test_every_form_of_time_is_taken(self, time: str) -> None:
        assert received((b"ce-time", time.encode())).time == time


class TestStructured:
    def test_json_goes_there_and_back(self) -> None:
        item = {
            "specversion": "1.0",
            "id": "1",
            "source": "/s",
            "type": "t",
            "ext": "e",
            "datacontenttype": "application/json",
            "data": {"a": 1},
        }
        assert to_json(from_json(item)) == item

    def test_binary_data_goes_there_and_back(self) -> None:
        item = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "datacontenttype": "image/x", "data_base64": "iVA="}
        assert from_json(item).data == b"\x89P"
        assert to_json(from_json(item)) == item

    @pytest.mark.parametrize("item", [[], "x", {"specversion": "1.0"}, {"specversion": 1, "id": "1", "source": "/", "type": "t"}])
    def test_what_is_no_event_is_refused(self, item: Any) -> None:
        with pytest.raises(BadEvent):
            from_json(item)

    def test_attributes_that_are_not_scalars_are_refused_by_name(self) -> None:
        with pytest.raises(BadEvent, match="`ext`"):
            from_json({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "ext": {"a": 1}})

    def test_a_batch_is_a_list_of_events(self) -> None:
        one = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
        headers = [(b"content-type", b"application/cloudevents-batch+json")]
        events = batch_from_http(headers, json.dumps([one, one]).encode())
        assert events is not None
        assert len(events) == 2
        with pytest.raises(BadEvent):
            batch_from_http(headers, b"{}")


class TestMade:
    def test_a_new_event_has_everything_that_it_needs(self) -> None:
        event = kfn.Event("t", "/s", {"a": 1}, subject="x", ext=5)
        assert event.id
        assert event.time
        assert (event.datacontenttype, event.body, event.extensions) == ("application/json", b'{"a":1}', {"ext": "5"})

    def test_a_reply_to_the_same_event_has_the_same_id_and_to_another_not(self) -> None:
        one, again = received(), received()
        other = kfn.Event("t", "/s", id="2")
        assert one.reply("r").id == again.reply("r").id
        assert len({one.reply("r").id, one.reply("q").id, other.reply("r").id}) == 3

    def test_a_reply_stays_in_its_trace(self) -> None:
        assert received((b"ce-traceparent", b"00-a-b-01")).reply("r").extensions == {"traceparent": "00-a-b-01"}

    def test_a_bad_attribute_name_is_refused(self) -> None:
        with pytest.raises(BadEvent, match="`Bad_Name`"):
            kfn.Event("t", "/s", Bad_Name="x")
