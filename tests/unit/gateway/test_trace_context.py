"""Trace context: what is passed on, what is begun anew, and what of it the gateway records."""

import pytest

from gateway import heads
from kfn.observe import trace

ID = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"
GIVEN = b"00-%b-%b-01" % (ID, SPAN)
ENTROPY = int("ab" * 24, 16)
ON = trace.sampler("")


def _head(*headers: tuple[bytes, bytes], sampler: trace.Sampler | None = None) -> tuple[heads.RequestHead, dict[str, str]]:
    head = heads.request(b"GET", b"/", "1.1", [(b"Host", b"a.b"), *headers], b"10.0.0.9", ENTROPY, 100, sampler)
    lines = head.wire.decode("latin-1").split("\r\n")[1:-2]
    assert len(lines) == len({line.partition(":")[0].lower() for line in lines}), "a field comes twice"
    return head, dict(line.lower().split(": ", 1) for line in lines)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(GIVEN.replace(b"a", b"A"), id="upper-case"),
        pytest.param(b"00-%b-%b-01" % (b"0" * 32, SPAN), id="trace-id-of-zeros"),
        pytest.param(b"00-%b-%b-01" % (ID, b"0" * 16), id="span-id-of-zeros"),
        pytest.param(b"ff" + GIVEN[2:], id="version-ff"),
        pytest.param(GIVEN + b"-more", id="more-than-version-00-has"),
        pytest.param(b"01" + GIVEN[2:] + b"more", id="more-without-a-dash"),
        pytest.param(GIVEN[:-1], id="too-short"),
        pytest.param(b"0af7651916cd43dd8448eb211c80319c", id="not-a-traceparent"),
        pytest.param(b"", id="empty"),
    ],
)
def test_an_invalid_traceparent_is_replaced_and_its_tracestate_dropped(given: bytes) -> None:
    _, sent = _head((b"traceparent", given), (b"tracestate", b"a=1"))
    assert trace.valid(sent["traceparent"].encode())
    assert ID.decode() not in sent["traceparent"]
    assert "tracestate" not in sent


def test_two_traceparents_are_none() -> None:
    _, sent = _head((b"traceparent", GIVEN), (b"traceparent", GIVEN))
    assert sent["traceparent"] != GIVEN.decode()


def test_tracestate_without_traceparent_is_dropped() -> None:
    _, sent = _head((b"tracestate", b"a=1"))
    assert "tracestate" not in sent


def test_a_later_version_is_passed_on_as_it_is() -> None:
    later = b"cc" + GIVEN[2:] + b"-what-the-future-will-be-like"
    _, sent = _head((b"traceparent", later))
    assert sent["traceparent"] == later.decode()


def test_tracestate_in_several_fields_becomes_one_in_order_and_baggage_is_passed_on() -> None:
    _, sent = _head((b"traceparent", GIVEN), (b"tracestate", b"a=1"), (b"tracestate", b"b=2"), (b"baggage", b"user=ada"))
    assert (sent["traceparent"], sent["tracestate"], sent["baggage"]) == (GIVEN.decode(), "a=1,b=2", "user=ada")


class TestRecording:
    def test_without_a_sampler_nothing_is_recorded(self) -> None:
        head, _ = _head((b"traceparent", GIVEN))
        assert head.parent is None
        assert head.trace == GIVEN

    def test_the_instance_gets_our_span_as_its_parent(self) -> None:
        head, sent = _head((b"traceparent", GIVEN), (b"tracestate", b"a=1"), sampler=ON)
        assert head.parent == GIVEN
        assert sent["traceparent"] == f"00-{ID.decode()}-{'ab' * 8}-01"
        assert sent["tracestate"] == "a=1"
        assert head.trace.decode() == sent["traceparent"]

    def test_a_trace_that_begins_here_has_no_parent(self) -> None:
        head, sent = _head(sampler=ON)
        assert head.parent == b""
        assert sent["traceparent"] == f"00-{'ab' * 16}-{'ab' * 8}-01"

    def test_what_the_caller_does_not_record_is_passed_on_unchanged(self) -> None:
        unsampled = GIVEN[:-2] + b"00"
        head, sent = _head((b"traceparent", unsampled), sampler=ON)
        assert head.parent is None
        assert sent["traceparent"] == unsampled.decode()

    def test_a_trace_that_begins_here_and_is_not_recorded_says_so(self) -> None:
        head, sent = _head(sampler=trace.sampler("parentbased_always_off"))
        assert head.parent is None
        assert sent["traceparent"].endswith("-00")

    def test_the_random_flag_is_kept_and_unknown_flags_are_not(self) -> None:
        _, sent = _head((b"traceparent", GIVEN[:-2] + b"ff"), sampler=ON)
        assert sent["traceparent"].endswith("-03")

    @pytest.mark.parametrize(
        ("name", "argument", "flags", "recorded"),
        [
            ("", "", b"01", True),
            ("", "", b"00", False),
            ("always_on", "", b"00", True),
            ("always_off", "", b"01", False),
            ("parentbased_always_off", "", b"01", True),
            ("parentbased_traceidratio", "0", b"01", True),
            ("traceidratio", "0", b"01", False),
            ("traceidratio", "0.5", b"00", False),  # the last 64 bits of the id begin with 8: just over a half
            ("traceidratio", "0.6", b"00", True),
            ("TraceIdRatio", "", b"00", True),
        ],
    )
    def test_samplers_decide_as_opentelemetrys(self, name: str, argument: str, flags: bytes, recorded: bool) -> None:
        head, _ = _head((b"traceparent", GIVEN[:-2] + flags), sampler=trace.sampler(name, argument))
        assert (head.parent is not None) is recorded

    @pytest.mark.parametrize(
        ("name", "argument", "says"),
        [
            ("jaeger_remote", "", "OTEL_TRACES_SAMPLER=jaeger_remote"),
            ("traceidratio", "2", "OTEL_TRACES_SAMPLER_ARG=2"),
            ("traceidratio", "x", "OTEL_TRACES_SAMPLER_ARG=x"),
        ],
    )
    def test_a_sampler_that_is_not_known_is_named(self, name: str, argument: str, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            trace.sampler(name, argument)
