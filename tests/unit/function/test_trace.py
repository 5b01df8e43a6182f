"""traceparent, read or begun."""

import pytest

from kfn.function.trace import begin, parse

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_callers_trace_is_continued() -> None:
    trace = begin({b"traceparent": GOOD.encode(), b"x-request-id": b"r"})
    assert (trace.trace_id, trace.parent_id, trace.request_id) == (GOOD[3:35], GOOD[36:52], "r")
    assert trace.traceparent.startswith(GOOD[:36])
    assert trace.span_id != trace.parent_id


def test_a_later_version_with_more_fields_is_read() -> None:
    assert parse("01" + GOOD[2:] + "-extra") is not None


@pytest.mark.parametrize(
    "text",
    ["", "x", GOOD[:-1], GOOD + "-x", GOOD.upper(), "ff" + GOOD[2:], f"00-{'0' * 32}-b7ad6b7169203331-01", f"{GOOD[:36]}{'0' * 16}-01"],
)
def test_a_malformed_trace_is_begun_anew(text: str) -> None:
    trace = begin({b"traceparent": text.encode()})
    assert parse(trace.traceparent) is not None
    assert trace.parent_id == ""
