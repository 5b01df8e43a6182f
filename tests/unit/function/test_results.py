"""What a handler returns, as a response."""

from dataclasses import dataclass
from typing import Any

import pytest

import kfn
from kfn.function.errors import BadResponse
from kfn.function.results import answer, piece


@dataclass
class Point:
    x: int


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


class TestAnswer:
    @pytest.mark.parametrize(
        ("result", "status", "content_type", "body"),
        [
            ("ü", 200, b"text/plain; charset=utf-8", "ü".encode()),
            (b"x", 200, b"application/octet-stream", b"x"),
            ({"a": "ü"}, 200, b"application/json", '{"a":"ü"}'.encode()),
            ([1], 200, b"application/json", b"[1]"),
            (1.5, 200, b"application/json", b"1.5"),
            (True, 200, b"application/json", b"true"),
            (Point(3), 200, b"application/json", b'{"x":3}'),
            ({"v": Array()}, 200, b"application/json", b'{"v":[1,2]}'),
            (None, 204, None, b""),
            (("x", 201), 201, b"text/plain; charset=utf-8", b"x"),
            ((None, 404), 404, None, b""),
            (("<p>", 200, {"Content-Type": "text/html"}), 200, b"text/html", b"<p>"),
            (kfn.Response({"a": 1}, 418), 418, b"application/json", b'{"a":1}'),
            (kfn.Response("x", content_type="a/b"), 200, b"a/b", b"x"),
            (kfn.Event("t", "/s", "text"), 200, b"text/plain; charset=utf-8", b"text"),
        ],
    )
    def test_the_type_decides(self, result: Any, status: int, content_type: bytes | None, body: bytes) -> None:
        made = answer(result)
        assert (made.status, made.body) == (status, body)
        assert {n.lower(): v for n, v in made.headers}.get(b"content-type") == content_type

    def test_an_iterator_is_a_stream(self) -> None:
        made = answer(iter(["a"]))
        assert made.stream is not None

    @pytest.mark.parametrize("result", [("x",), ("x", "y"), ("x", 200, {}, 1), ("x", True), object(), {"a": object()}, {"a": {1}}])
    def test_what_cannot_be_sent_is_refused(self, result: Any) -> None:
        with pytest.raises(BadResponse):
            answer(result)

    @pytest.mark.parametrize(("item", "data"), [("ü", "ü".encode()), (b"x", b"x"), ({"n": 1}, b'{"n":1}\n')])
    def test_a_piece_of_a_stream_is_text_bytes_or_a_line_of_json(self, item: Any, data: bytes) -> None:
        assert piece(item) == data
