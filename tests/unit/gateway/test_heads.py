"""What an instance gets of a client's head, and a client of an instance's."""

import pytest

from gateway import heads
from gateway.errors import BadRequest, HeadTooLarge, NotImplementedHere, UnsupportedVersion

HOST = (b"Host", b"hello.default.example.com")
GIVEN = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _request(
    *headers: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/", version: str = "1.1", peer: bytes = b"10.0.0.9"
) -> heads.RequestHead:
    return heads.request(method, target, version, [HOST, *headers], peer, 0xABC, 100)


def _sent(head: heads.RequestHead) -> dict[str, str]:
    first, *lines = head.wire.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields = [line.split(": ", 1) for line in lines]
    names = [name.lower() for name, _ in fields]
    assert len(names) == len(set(names)), "a field comes twice"
    return {"": first, **{name.lower(): value for name, value in fields}}


class TestRequest:
    def test_what_is_the_clients_own_is_passed_on_as_it_is(self) -> None:
        sent = _sent(_request((b"X-Custom", b"a"), (b"Cookie", b"b=c"), (b"Accept", b"text/html"), target=b"/p?q=1"))
        assert (sent[""], sent["host"], sent["x-custom"], sent["cookie"]) == (
            "GET /p?q=1 HTTP/1.1",
            "hello.default.example.com",
            "a",
            "b=c",
        )

    def test_forwarding_is_told(self) -> None:
        sent = _sent(_request())
        assert sent["x-forwarded-for"] == "10.0.0.9"
        assert sent["x-forwarded-proto"] == "http"
        assert sent["x-forwarded-host"] == "hello.default.example.com"
        assert sent["forwarded"] == "for=10.0.0.9;host=hello.default.example.com;proto=http"

    def test_forwarding_is_appended_to_what_proxies_before_us_told(self) -> None:
        sent = _sent(
            _request((b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2"), (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"public"))
        )
        assert sent["x-forwarded-for"] == "1.1.1.1, 2.2.2.2, 10.0.0.9"
        assert (sent["x-forwarded-proto"], sent["x-forwarded-host"]) == ("https", "public")
        assert sent["forwarded"].startswith("for=1.1.1.1, for=2.2.2.2, for=10.0.0.9;")

    def test_an_ipv6_client_and_a_port_are_quoted(self) -> None:
        head = heads.request(b"GET", b"/", "1.1", [(b"Host", b"a.b:80")], b"::1", 1, 10)
        assert _sent(head)["forwarded"] == 'for="[::1]";host="a.b:80";proto=http'

    def test_trace_and_request_id_are_begun_or_passed_on(self) -> None:
        begun = _sent(_request())
        assert begun["traceparent"] == f"00-{0xABC:048x}"[:35] + f"-{0xABC:016x}-01"
        assert begun["x-request-id"] == begun["traceparent"][3:35]
        passed = _sent(_request((b"Traceparent", GIVEN), (b"X-Request-ID", b"mine")))
        assert (passed["traceparent"], passed["x-request-id"]) == (GIVEN.decode(), "mine")

    def test_hop_by_hop_fields_and_knatives_own_stay_here(self) -> None:
        sent = _sent(
            _request(
                (b"X-Keep", b"k"),
                (b"X-Secret", b"s"),
                (b"Connection", b"close, X-Secret"),
                (b"Keep-Alive", b"5"),
                (b"TE", b"trailers"),
                (b"Proxy-Connection", b"x"),
                (b"K-Proxy-Request", b"activator"),
                (b"K-Network-Probe", b"probe"),
                (b"Upgrade", b"x"),
            )
        )
        assert sent.keys().isdisjoint(
            {"x-secret", "connection", "keep-alive", "te", "proxy-connection", "k-proxy-request", "k-network-probe", "upgrade"}
        )
        assert sent["x-keep"] == "k"

    def test_connection_cannot_be_used_to_remove_host_or_framing(self) -> None:
        sent = _sent(_request((b"Connection", b"Host, Content-Length"), (b"Content-Length", b"3"), method=b"POST"))
        assert (sent["host"], sent["content-length"]) == ("hello.default.example.com", "3")

    def test_an_absolute_target_counts_instead_of_host(self) -> None:
        head = _request(target=b"http://Other.example:81?x=1")
        assert (head.host, _sent(head)[""], _sent(head)["host"]) == (b"Other.example:81", "GET /?x=1 HTTP/1.1", "Other.example:81")

    def test_an_upgrade_is_passed_on_only_without_a_body(self) -> None:
        asked = ((b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"websocket"))
        assert _sent(_request(*asked))["connection"] == "Upgrade"
        with_body = _request(*asked, (b"Content-Length", b"1"), method=b"POST")
        assert with_body.upgrade == b""
        assert "upgrade" not in _sent(with_body)

    @pytest.mark.parametrize(
        ("version", "connection", "kept"), [("1.1", b"", True), ("1.1", b"Close", False), ("1.0", b"", False), ("1.0", b"Keep-Alive", True)]
    )
    def test_keep_alive_follows_version_and_connection(self, version: str, connection: bytes, kept: bool) -> None:
        assert _request((b"Connection", connection), version=version).keep_alive is kept

    @pytest.mark.parametrize(
        "headers",
        [
            [(b"Content-Length", b"1"), (b"Content-Length", b"1")],
            [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
            [(b"Transfer-Encoding", b"chunked, gzip")],
            [(b"Content-Length", b"1" * 19)],
            [(b"Host", b"second")],
            [(b"Content-Length", b"-1")],
        ],
    )
    def test_what_could_be_read_in_two_ways_is_refused(self, headers: list[tuple[bytes, bytes]]) -> None:
        with pytest.raises(BadRequest):
            _request(*headers, method=b"POST")

    def test_names_with_underscores_cannot_vouch_for_what_the_gateway_tells(self) -> None:
        assert _sent(_request((b"X_Forwarded_For", b"1.1.1.1"), (b"Content_Length", b"3"), (b"X_Own", b"a"))).keys() & {
            "x_forwarded_for", "content_length", "x_own",
        } == {"x_own"}  # fmt: skip

    def test_other_refusals(self) -> None:
        with pytest.raises(NotImplementedHere):
            _request((b"Transfer-Encoding", b"gzip, chunked"), method=b"POST")
        with pytest.raises(BadRequest, match="no Host"):
            heads.request(b"GET", b"/", "1.1", [], b"", 1, 10)
        with pytest.raises(NotImplementedHere):
            _request(method=b"CONNECT", target=b"a:1")
        with pytest.raises(UnsupportedVersion):
            _request(version="2.0")
        with pytest.raises(HeadTooLarge):
            heads.request(b"GET", b"/", "1.1", [HOST, HOST, HOST], b"", 1, 2)


class TestResponse:
    @staticmethod
    def _answer(
        *headers: tuple[bytes, bytes], status: int = 200, method: bytes = b"GET", modern: bool = True, keep_alive: bool = True
    ) -> tuple[bytes, heads.ResponseHead]:
        head = heads.response(status, b"OK", headers, method=method, modern=modern, keep_alive=keep_alive)
        return b"".join(head.wire), head

    def test_a_sized_body_stays_sized(self) -> None:
        wire, head = self._answer((b"Content-Length", b"5"), (b"X-A", b"b"))
        assert wire == b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n"
        assert (head.length, head.ends_by_length) == (5, True)

    def test_length_beside_chunked_is_dropped(self) -> None:
        wire, head = self._answer((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"))
        assert wire == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        assert head.length == heads.CHUNKED

    def test_an_old_client_gets_no_chunks(self) -> None:
        wire, head = self._answer((b"Transfer-Encoding", b"chunked"), modern=False)
        assert wire == b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
        assert (head.length, head.ends_by_length) == (heads.UNTIL_CLOSE, True)

    def test_a_body_without_a_length_ends_with_the_connection(self) -> None:
        _, head = self._answer()
        assert (head.length, head.ends_by_length) == (heads.CHUNKED, False)

    def test_head_keeps_the_length_and_has_no_body(self) -> None:
        wire, head = self._answer((b"Content-Length", b"5"), method=b"HEAD")
        assert b"Content-Length: 5\r\n" in wire
        assert head.length == 0

    def test_fields_of_the_hop_and_start_times_stay_here(self) -> None:
        wire, head = self._answer(
            (b"X-A", b"b"),
            (b"Connection", b"keep-alive, X-A"),
            (b"Keep-Alive", b"5"),
            (b"Kfn-Start", b"ready=1"),
            (b"Content-Length", b"0"),
        )
        assert wire == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
        assert head.start == b"ready=1"


def test_trailers_cannot_change_what_the_head_said() -> None:
    assert heads.trailers([(b"X-Sum", b"1"), (b"Host", b"evil"), (b"Content-Length", b"9"), (b"Authorization", b"x")]) == b"X-Sum: 1\r\n"
