"""The CloudEvents NATS binding: binary headers with every attribute, structured mode by content type, names in any case."""

import json

import pytest

from kfn.cloudevents import Event, InvalidEvent, nats

EVENT = Event(
    {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "datacontenttype": "text/plain", "subject": 'a "ü" %', "ext": "x"}, b"hi"
)


def test_the_datacontenttype_is_an_attribute_header_unlike_in_http() -> None:
    assert nats.headers(EVENT)["ce-datacontenttype"] == "text/plain"


def test_values_are_percent_encoded_with_upper_case_hex() -> None:
    assert nats.headers(EVENT)["ce-subject"] == "a%20%22%C3%BC%22%20%25"


def test_an_event_survives() -> None:
    assert nats.parse(nats.headers(EVENT), b"hi") == EVENT


def test_names_are_read_in_any_case_and_foreign_headers_are_left_out() -> None:
    headers = {"CE-Id": "1", "Ce-Source": "/s", "ce-type": "t", "ce-specversion": "1.0", "Nats-Msg-Id": "x", "traceparent": "y"}
    assert nats.parse(headers, b"").attributes == {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def test_structured_mode_is_told_by_the_content_type_in_any_case() -> None:
    body = json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": [1]}).encode()
    assert nats.parse({"content-type": "Application/CloudEvents+JSON"}, body).data == b"[1]"


def test_a_message_that_is_no_event_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="specversion"):
        nats.parse(None, b"hello")
