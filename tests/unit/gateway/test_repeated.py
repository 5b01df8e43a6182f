"""Heads that come again on a connection are not read again: everything must be as if they were.

The measure is a second gateway whose connections have seen nothing: what follows on a connection that knows a head must come out the same.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from gateway.http1 import repeated
from kfn.observe import trace
from kfn.observe.otel import Tracing
from tests.fakes.routed import HOST
from tests.fakes.wired import Wired

IDS = re.compile(rb"(traceparent: 00-)([0-9a-f]{32})-[0-9a-f]{16}(-01\r\n)|(X-Request-Id: )[0-9a-f]{32}\r\n")
GET = f"GET /path HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n".encode()
POST = f"POST /path HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\n".encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"


@asynccontextmanager
async def wired(**settings: Any) -> AsyncIterator[Wired]:
    async with anyio.create_task_group() as tasks:
        loop = asyncio.get_running_loop()
        yield Wired(tasks, lambda: 1000 + loop.time(), **settings)  # no machine's clock stands at 0
        tasks.cancel_scope.cancel()


@dataclass
class Came:
    """What each side got, and what was left of the connections."""

    instance: bytes
    client: bytes
    kept: bool
    closed: str
    active: int


def put(pair: Wired, request: list[bytes], response: list[bytes]) -> Came:
    pair.server.took.clear()
    pair.client.took.clear()
    for data in request:
        pair.near.data_received(data)
    for data in response:
        pair.far.data_received(data)
    got, answered = (IDS.sub(rb"\1*\3\4*\r\n", b"".join(side.took)) for side in (pair.server, pair.client))
    return Came(got, answered, pair.far in pair.instance.idle, pair.client.closed, pair.instance.active)


async def both(request: list[bytes], response: list[bytes], *, known: bytes = GET, answer: bytes = OK + b"hello") -> tuple[Came, Came]:
    """What comes of it on connections that know heads, and on fresh ones."""
    async with wired() as knowing, wired() as fresh:
        for _ in range(5):
            put(knowing, [known], [answer])
        assert knowing.near._reader._known is not None and knowing.far._known is not None
        return put(knowing, request, response), put(fresh, request, response)


REQUESTS = {
    "the-same": [GET],
    "another-path": [GET.replace(b"/path", b"/htap")],
    "another-field-of-the-same-length": [GET.replace(b"*/*", b"a/b")],
    "another-host": [GET.replace(b"hello.", b"holla.")],
    "a-longer-path": [GET.replace(b"/path", b"/path/of/some%20length?and=a&query=too")],
    "the-shortest-path": [GET.replace(b"/path", b"/")],
    "a-path-of-another-host": [GET.replace(b"/path", b"//elsewhere/path")],
    "a-path-with-a-fragment": [GET.replace(b"/path", b"/p#th")],
    "a-path-with-a-space": [GET.replace(b"/path", b"/p th")],
    "a-path-with-a-line": [GET.replace(b"/path", b"/ HTTP/1.1\r\nX: /path")],
    "a-path-with-a-control-character": [GET.replace(b"/path", b"/p\x01th")],
    "a-path-with-a-byte-over-127": [GET.replace(b"/path", b"/p\xffth")],
    "a-path-with-quotes": [GET.replace(b"/path", b'/"p"th')],
    "a-path-over-the-limit-for-known-ones": [GET.replace(b"/path", b"/" + b"x" * 2000)],
    "a-path-over-all-limits": [GET.replace(b"/path", b"/" + b"x" * 70000)],
    "a-whole-url": [GET.replace(b"/path", b"http://%b/path" % HOST.encode())],
    "no-path": [GET.replace(b"/path", b"")],
    "a-star": [GET.replace(b"/path", b"*")],
    "another-method-of-the-same-length": [GET.replace(b"GET", b"PUT")],
    "another-method": [GET.replace(b"GET", b"DELETE")],
    "in-two-reads": [GET[:20], GET[20:]],
    "byte-by-byte": [GET[i : i + 1] for i in range(len(GET))],
    "an-empty-line-before-it": [b"\r\n", GET],
    "an-empty-line-in-the-same-read": [b"\r\n" + GET],
    "the-last-of-its-connection": [GET.replace(b"Accept: */*", b"Connection: close")],
    "of-http-1.0": [GET.replace(b"HTTP/1.1", b"HTTP/1.0")],
    "with-a-trace": [GET.replace(b"Accept: */*", b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
    "with-an-id": [GET.replace(b"Accept: */*", b"X-Request-Id: mine")],
    "for-head": [GET.replace(b"GET", b"HEAD")],
    "in-the-middle-of-another-head": [b"GET /other HTTP/1.1\r\nX: ", GET],
    "in-the-middle-of-a-body": [POST.replace(b" 5", b" %d" % len(GET)), GET],
    "in-the-middle-of-a-chunk": [POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"%x\r\n" % len(GET), GET],
    "behind-the-last-of-its-connection": [GET.replace(b"Accept: */*", b"Connection: close"), GET],
    "not-http": [GET.replace(b": */*", b" */* ")],
    "with-a-bare-line-feed": [GET.replace(b"*/*\r\n", b"*/* \n")],
    "with-two-hosts": [GET.replace(b"Accept: */*", b"Host: x.y.zz")],
}
BODIES = {
    "whole": [POST + b"other"],
    "head-first": [POST, b"other"],
    "in-two-reads": [POST + b"oth", b"er"],
    "with-one-behind-it": [POST + b"other" + GET],
    "shorter-with-the-next-begun": [POST.replace(b" 5", b" 3") + b"abc" + GET[:2]],
}


class TestARequestOnAConnectionThatKnowsOne:
    @pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
    async def test_comes_through_as_on_a_fresh_one(self, request_: list[bytes]) -> None:
        knowing, fresh = await both(request_, [])
        assert knowing == fresh

    @pytest.mark.parametrize("path", [b"/path", b"/", b"/a%20longer/path?with=a&query", b"/it's/(plain)/~too:@;,+*!$"])
    async def test_is_not_read_again(self, path: bytes) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            came = put(pair, [GET.replace(b"/path", path)], [OK + b"hello"])
            assert pair.near._reader._misses == 0 and came.instance.startswith(b"GET %b HTTP/1.1\r\nHost: " % path)

    async def test_is_answered_as_on_a_fresh_one_when_two_come_in_one_read(self) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            came = put(pair, [GET + GET], [OK + b"first", OK + b"again"])
            assert came.client.count(b"HTTP/1.1 200 OK") == 2 and came.client.endswith(b"again")
            assert came.instance.count(b"GET /path") == 2

    async def test_is_not_one_with_another_because_they_always_come_together(self) -> None:
        async with wired() as pair:
            for _ in range(8):
                came = put(pair, [GET + GET], [OK + b"first", OK + b"again"])
                assert came.instance.count(b"GET /path") == came.client.count(b"HTTP/1.1 200 OK") == 2

    async def test_waits_for_its_turn_when_the_one_before_is_not_answered_yet(self) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            assert put(pair, [GET, GET, GET], []).instance.count(b"GET /path") == 1
            assert put(pair, [], [OK + b"1st..", OK + b"2nd..", OK + b"3rd.."]).client.endswith(b"3rd..")

    async def test_has_ids_of_its_own(self) -> None:
        async with wired() as pair:
            seen = []
            for _ in range(100):
                pair.near.data_received(GET)
                head = b"".join(pair.server.took).decode()
                pair.server.took.clear()
                pair.far.data_received(OK + b"hello")
                seen.append(re.findall(r"traceparent: 00-(\w{32})-(\w{16})-01\r\nX-Request-Id: (\w{32})\r\n\r\n$", head)[0])
            assert all(trace == request for trace, _, request in seen)
            assert len({trace for trace, _, _ in seen}) == len({span for _, span, _ in seen}) == 100

    async def test_is_sampled_for_itself(self) -> None:
        async with wired(tracing=Tracing(trace.sampler("traceidratio", "0.5"))) as pair:
            recorded = []
            for _ in range(200):
                pair.near.data_received(GET)
                assert pair.near.current is not None
                head = pair.near.current.head
                assert (head.parent is not None) == head.trace.endswith(b"-01") and head.trace in head.wire
                recorded.append(head.parent)
                pair.far.data_received(OK + b"hello")
            assert pair.near._reader._known is not None and 50 < recorded.count(b"") < 150

    async def test_keeps_the_ids_that_the_client_gives(self) -> None:
        mine = GET.replace(b"Accept: */*", b"X-Request-Id: mine")
        async with wired() as pair:
            for _ in range(8):
                assert b"X-Request-Id: mine\r\n" in put(pair, [mine], [OK + b"hello"]).instance

    @pytest.mark.parametrize("reads", BODIES.values(), ids=BODIES)
    async def test_has_the_body_that_came_with_it(self, reads: list[bytes]) -> None:
        knowing, fresh = await both(reads, [], known=POST + b"hello")
        assert knowing == fresh and b"\r\n\r\n" in fresh.instance

    async def test_is_not_kept_when_its_head_is_long(self) -> None:
        long = GET.replace(b"*/*", b"x" * repeated.LONGEST)
        async with wired() as pair:
            for _ in range(8):
                assert put(pair, [long], [OK + b"hello"]).client.endswith(b"hello")
            assert pair.near._reader._known is None

    async def test_goes_by_the_table_of_its_own_time(self) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            (route,) = pair.chain._routes.values()
            pair.chain.route_changed(route, None)
            assert put(pair, [GET], []).client.startswith(b"HTTP/1.1 404 ")

    async def test_that_dawdles_is_told_from_one_that_is_whole(self) -> None:
        async with wired() as pair:
            put(pair, [GET[:20]], [])
            assert pair.near.head_since
            put(pair, [GET[20:]], [OK + b"hello"])
            assert not pair.near.head_since


RESPONSES = {
    "the-same": [OK + b"hello"],
    "another-body": [OK + b"other"],
    "a-longer-body": [OK.replace(b" 5", b" 11") + b"hello-hello"],
    "a-large-body": [OK.replace(b" 5", b" 100000") + b"x" * 100000],
    "an-empty-body": [OK.replace(b" 5", b" 0")],
    "less-than-it-says": [OK.replace(b" 5", b" 6") + b"other"],
    "more-than-it-says": [OK.replace(b" 5", b" 4") + b"other"],
    "a-length-with-zeros": [OK.replace(b" 5", b" 0005") + b"other"],
    "a-length-that-is-none": [OK.replace(b" 5", b" five") + b"other"],
    "a-length-with-a-sign": [OK.replace(b" 5", b" +5") + b"other"],
    "a-length-over-all-measure": [OK.replace(b" 5", b" 99999999999999999999") + b"other"],
    "a-field-behind-its-length": [OK.replace(b" 5\r\n", b" 11\r\nX: 1\r\n") + b"other"],
    "two-lengths": [OK.replace(b" 5", b" 5\r\nContent-Length: 5") + b"other"],
    "in-two-reads": [OK, b"other"],
    "its-head-in-two-reads": [OK[:30], OK[30:] + b"other"],
    "its-body-in-two-reads": [OK + b"oth", b"er"],
    "with-bytes-behind-it": [OK + b"other" + b"more"],
    "with-bytes-behind-it-in-another-read": [OK + b"other", b"more"],
    "twice-in-one-read": [OK + b"other" + OK + b"hello"],
    "behind-early-hints": [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"other"],
    "behind-early-hints-in-another-read": [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", OK + b"other"],
    "in-the-middle-of-another-body": [OK.replace(b" 5", b" %d" % len(OK + b"hello")), OK + b"hello"],
    "in-the-middle-of-another-head": [b"HTTP/1.1 200 OK\r\nX: ", OK + b"hello"],
    "another-status": [OK.replace(b"200 OK", b"404 OK") + b"other"],
    "without-a-body": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "in-chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nother\r\n0\r\n\r\n"],
    "the-last-of-its-connection": [OK.replace(b"Content-Type: text/plain", b"Connection: close") + b"other"],
    "that-tells-of-its-start": [OK.replace(b"Content-Type: text/plain", b"Kfn-Start: main=1") + b"other"],
    "not-http": [OK.replace(b": text", b" :text") + b"other"],
}
ASKED = {
    "plainly": GET,
    "with-head": GET.replace(b"GET", b"HEAD"),
    "in-http-1.0": GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "in-http-1.0-on-a-connection-to-be-kept": GET.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"),
    "for-the-last-time": GET.replace(b"Accept: */*", b"Connection: close"),
    "for-its-timing": GET.replace(b"Accept: */*", b"Kfn-Timing: 1"),
}


class TestAResponseOnAConnectionThatKnowsOne:
    @pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
    async def test_comes_through_as_on_a_fresh_one(self, response: list[bytes]) -> None:
        knowing, fresh = await both([GET], response)
        assert knowing == fresh

    @pytest.mark.parametrize("request_", ASKED.values(), ids=ASKED)
    async def test_comes_through_as_on_a_fresh_one_when_it_was_asked(self, request_: bytes) -> None:
        body = b"" if request_.startswith(b"HEAD") else b"hello"
        knowing, fresh = await both([request_], [OK + body])
        for came in (knowing, fresh):
            came.client = re.sub(rb"dur=[\d.]+", b"dur=*", came.client)
        assert knowing == fresh and fresh.client

    async def test_is_not_taken_for_the_answer_to_head_which_has_no_body(self) -> None:
        """The bytes are those of a known response, but behind this head there must be nothing."""
        knowing, fresh = await both([GET.replace(b"GET", b"HEAD")], [OK + b"hello"])
        assert knowing == fresh and not fresh.kept

    async def test_that_comes_before_the_request_is_complete_ends_the_connection_as_ever(self) -> None:
        knowing, fresh = await both([POST + b"he"], [OK + b"early"])
        assert knowing == fresh and not fresh.kept

    async def test_that_comes_unasked_is_no_answer_to_the_next(self) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            pair.far.data_received(OK + b"wrong")
            assert pair.server.closed == "aborted"

    @pytest.mark.parametrize("size", [0, 5, 4095, 4096, 100_000])
    async def test_is_not_read_again(self, size: int) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            came = put(pair, [GET], [OK.replace(b" 5", b" %d" % size) + b"x" * size])
            assert pair.far._misses == 0 and came.client.endswith(b"Content-Length: %d\r\n\r\n%b" % (size, b"x" * size))

    async def test_ends_the_connection_when_the_gateway_stops(self) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            put(pair, [GET], [])
            pair.chain.stopping = True
            assert b"Connection: close" in put(pair, [], [OK + b"hello"]).client and pair.client.closed

    async def test_for_a_slow_client_leaves_the_connection_readable_for_the_next(self) -> None:
        async with wired() as pair:
            for _ in range(5):
                put(pair, [GET], [OK + b"hello"])
            pair.near.pause_writing()
            put(pair, [GET], [OK + b"hello"])
            assert pair.server.reading and pair.far in pair.instance.idle

    async def test_is_counted_like_any_other(self) -> None:
        async with wired() as pair:
            for _ in range(9):
                put(pair, [GET], [OK + b"hello"])
            meter = pair.line.meter
            assert (meter.codes[200], meter.answered, meter.concurrency, sum(meter.durations)) == (9, 45, 0, 9)


NOT_KEPT = {
    "for-an-upgrade": GET.replace(b"Accept: */*", b"Connection: Upgrade\r\nUpgrade: chat"),
    "for-an-upgrade-that-is-not-passed-on": GET.replace(b"Accept: */*", b"Connection: Upgrade\r\nUpgrade: h2c"),
    "that-expects-100": POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + b"hello",
    "with-a-whole-url": GET.replace(b"/path", b"http://%b/path" % HOST.encode()),
    "behind-an-empty-line": b"\r\n" + GET,
    "of-a-prober": GET.replace(b"Accept: */*", b"K-Network-Probe: probe"),
    "of-http-1.0": GET.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"),
    "in-chunks": POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
}


class TestWhatIsKept:
    @pytest.mark.parametrize("request_", NOT_KEPT.values(), ids=NOT_KEPT)
    async def test_is_no_request(self, request_: bytes) -> None:
        async with wired() as pair:
            for _ in range(8):
                answers = [] if b"Probe" in request_ else [OK + b"hello"]
                assert b"HTTP/1.1 200 OK" in put(pair, [request_], answers).client
            assert pair.near._reader._known is None

    async def test_is_no_request_where_less_than_that_is_too_much(self) -> None:
        async with wired(max_head=2 * repeated.LONGEST - 1) as pair:
            for _ in range(8):
                put(pair, [GET], [OK + b"hello"])
            assert pair.near._reader._known is None

    async def test_is_no_response_that_tells_of_its_start(self) -> None:
        async with wired() as pair:
            for _ in range(8):
                put(pair, [GET], [OK.replace(b"Content-Type: text/plain", b"Kfn-Start: main=1") + b"hello"])
            assert pair.far._known is None

    async def test_the_first_head_of_a_connection_is_not(self) -> None:
        async with wired() as pair:
            put(pair, [GET], [OK + b"hello"])
            assert pair.near._reader._known is None and pair.far._known is None

    def test_of_heads_that_never_come_again_only_one_in_many_is(self) -> None:
        assert sum(repeated.worth_keeping(misses) for misses in range(1, 6401)) == 102
