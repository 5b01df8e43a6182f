"""A request's head, examined."""

import pytest

from kfn.function.errors import BadRequest
from kfn.function.head import examine

HOST = [(b"host", b"f")]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a?b", b"/a?b"),
        (b"*", b"*"),
        (b"http://x/a?b", b"/a?b"),
        (b"http://x", b"/"),
        (b"http://x?b=/", b"/?b=/"),
        (b"http://x:80/", b"/"),
    ],
)
def test_the_target_is_in_origin_form(target: bytes, expected: bytes) -> None:
    assert examine(b"GET", target, "1.1", HOST).target == expected


def test_the_body_is_told() -> None:
    head = examine(b"POST", b"/", "1.1", [*HOST, (b"content-length", b"7"), (b"expect", b"100-Continue")])
    assert (head.length, head.expects_continue) == (7, True)
    assert examine(b"POST", b"/", "1.0", [(b"expect", b"100-continue")]).expects_continue is False


@pytest.mark.parametrize(
    ("method", "version", "headers"),
    [(b"GET", "1.1", []), (b"GET", "1.1", [*HOST, *HOST]), (b"GET", "2.0", HOST), (b"GET", "1.2", HOST), (b"CONNECT", "1.1", HOST)],
)
def test_what_must_not_be_served_is_refused(method: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadRequest):
        examine(method, b"/", version, headers)
