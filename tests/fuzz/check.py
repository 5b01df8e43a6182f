"""What must be true of a run. Where the gateway takes what h11 refuses, the reason is in `TAKEN_THOUGH_H11_REFUSES`, or it is a finding."""

import re

import h11

from tests.fakes.strict import Peer, Seen, answers
from tests.fuzz.world import Run

# Each is harmless because the gateway writes what it understood anew, so that no third parser ever sees the spelling.
TAKEN_THOUGH_H11_REFUSES = {
    "several spaces between the three words of a request line (RFC 9112 section 3 allows to read it so), or RTSP/1.0 and ICE/1.0 in the "
    "place of HTTP/1.0, which httptools takes and which is read as HTTP/1.0": re.compile(
        rb"illegal request line: bytearray\(b['\"][A-Z-]+ +[!-~]+ +(HTTP/1\.[01]|RTSP/1\.0|ICE/1\.0)"
    ),
    "bare line feeds and carriage returns before a request line, where servers should be lenient (RFC 9112 section 2.2)": re.compile(
        rb"no request line received|illegal request line: bytearray\(b['\"](\\r|\\n)+"
    ),
    "more than 20 digits in a chunk's size, all zeros but the last": re.compile(rb"illegal chunk header: bytearray\(b['\"]0{5,}"),
    "a request behind one of HTTP/1.0 with keep-alive, which h11 does not know": re.compile(rb"Got data when expecting EOF"),
}
PASSED_ON_THOUGH_H11_REFUSES = {
    "empty lines before an answer, as old servers send them behind one": re.compile(rb"no response line received"),
}


def of_a_request(data: bytes, run: Run, prefix: int = 0) -> None:
    """Raises AssertionError. `prefix` requests on the instance's connection came before this run."""
    assert not run.refused, f"h11 refuses what the instance was written: {run.refused}"
    methods = [seen.method for seen in run.understood]
    got = answers(run.client, methods, ended=True)
    assert len(got) <= len(run.understood) + 1, "more answers than requests"
    _passed_on(run)
    _differences(data, run.understood)


def _passed_on(run: Run) -> None:
    """The instance saw the requests that were understood, in order, each as it was understood; some it did not see."""
    understood = iter(run.understood)
    for seen in run.instance:
        for mine in understood:
            if (mine.method, mine.target) == (seen.method, seen.target) and _a_part(seen, mine):
                break
        else:
            raise AssertionError(f"the instance saw {seen}, which nobody asked for: {run.understood}")


def _a_part(seen: Seen, mine: Seen) -> bool:
    """What the instance takes for the whole must be the whole."""
    return mine.whole and mine.body == seen.body if seen.whole else mine.body.startswith(seen.body)


def _differences(data: bytes, understood: list[Seen]) -> None:
    """h11 reads the client's very bytes."""
    peer = Peer()
    peer.feed(data)
    for mine, theirs in zip(understood, peer.seen, strict=False):
        assert mine.method == theirs.method, (mine, theirs)
        assert _same_target(mine.target, theirs.target), (mine, theirs)
        if mine.whole and theirs.whole:
            assert mine.body == theirs.body, (mine, theirs)
        elif theirs.whole:
            assert theirs.body.startswith(mine.body), (mine, theirs)  # we have refused what is behind
        elif mine.whole:
            assert peer.refused, ("h11 waits for more", mine, theirs)
            _explained(peer.refused)
    if len(understood) > len(peer.seen) and peer.refused:
        _explained(peer.refused)


def _same_target(mine: bytes, theirs: bytes) -> bool:
    if theirs[:1] in (b"/", b"*"):
        return mine == theirs
    rest = theirs.partition(b"://")[2]
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    return mine == (rest[cut:] if rest[cut : cut + 1] == b"/" else b"/" + rest[cut:])


def _explained(refused: str) -> None:
    assert any(why.match(refused.encode()) for why in TAKEN_THOUGH_H11_REFUSES.values()), f"taken though h11 refuses it: {refused}"


def of_an_answer(data: bytes, method: bytes, run: Run) -> None:
    """Raises AssertionError. `data` is all that a hostile instance said to one request."""
    got = answers(run.client, [method], ended=True)
    assert len(got) <= 1, f"{len(got)} answers to one request"
    theirs, rest, refused = _as_h11_reads(data.lstrip(b"\r\n"), method)
    if theirs is None and any(why.match(refused.encode()) for why in PASSED_ON_THOUGH_H11_REFUSES.values()):
        return
    if got and got[0].whole and got[0].status not in (500, 502):
        assert theirs is not None, f"passed on though h11 refuses it: {refused}"
        assert got[0].status == theirs[0], "another status"
        assert got[0].body == theirs[1] or not theirs[2], f"another body: {got[0].body!r} {theirs[1]!r}"
        assert got[0].body.startswith(theirs[1]), f"another body: {got[0].body!r} {theirs[1]!r}"
    if run.kept:
        assert theirs is not None, f"kept though h11 refuses it: {refused}"
        assert theirs[2], "kept though h11 waits for more"
        assert not rest.strip(b"\r\n"), f"kept though there is more: {rest!r}"


def _as_h11_reads(data: bytes, method: bytes) -> tuple[tuple[int, bytes, bool] | None, bytes, str]:
    """Status, body and whether it is whole; what is behind; and why not."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 22)
    http.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    http.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        http.receive_data(data)
        while True:
            event = http.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return (status, body, True), bytes(http.trailing_data[0]), ""
            elif event in (h11.NEED_DATA, h11.PAUSED):
                return ((status, body, False) if status else None), b"", "" if status else "it is not complete"
    except h11.RemoteProtocolError as error:
        return ((status, body, False) if status else None), b"", str(error)
