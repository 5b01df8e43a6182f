"""What a handler returned, as a response: pure, except that a stream stays a stream."""

import json
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Any

from kfn.function.errors import BadResponse
from kfn.function.event import Event
from kfn.function.event_http import to_headers
from kfn.function.message import Response

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
BYTES = b"application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response ready for the wire: either a whole body, or a stream of pieces."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    stream: AsyncIterable[Any] | Iterable[Any] | None = None


def answer(result: Any) -> Answer:
    """Turn what a handler returned into an Answer."""
    if isinstance(result, str):
        return Answer(200, ((b"content-type", TEXT),), result.encode())
    if result is None:
        return Answer(204, ())
    if isinstance(result, Event):
        return Answer(200, tuple(to_headers(result)), result.body)
    if isinstance(result, tuple):
        result = _from_tuple(result)
    if not isinstance(result, Response):
        return _with_body(200, (), result)
    headers = tuple((_bytes(name), _bytes(value)) for name, value in result.headers)
    return _with_body(result.status, headers, result.body)


def piece(item: Any) -> bytes:
    """One piece of a stream as bytes: text as it is, anything else as a line of JSON."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytearray | memoryview):
        return bytes(item)
    return _json(item) + b"\n"


def _from_tuple(result: tuple[Any, ...]) -> Response:
    if len(result) not in (2, 3) or not isinstance(result[1], int) or isinstance(result[1], bool):
        raise BadResponse(f"the handler returned a tuple of {len(result)}; it must be (body, status) or (body, status, headers)")
    if isinstance(result[0], Response | Event):
        raise BadResponse("the handler returned a Response inside a tuple; give it the status and headers itself")
    return Response(*result)


def _with_body(status: int, headers: tuple[tuple[bytes, bytes], ...], body: Any) -> Answer:
    if body is None:
        return Answer(204 if status == 200 and not headers else status, headers)
    if isinstance(body, str):
        return Answer(status, _typed(headers, TEXT), body.encode())
    if isinstance(body, bytes | bytearray | memoryview):
        return Answer(status, _typed(headers, BYTES), bytes(body))
    if isinstance(body, dict | list | int | float):
        return Answer(status, _typed(headers, JSON), _json(body))
    if isinstance(body, Iterable | AsyncIterable):
        return Answer(status, _typed(headers, TEXT), stream=body)
    return Answer(status, _typed(headers, JSON), _json(body))


def _typed(headers: tuple[tuple[bytes, bytes], ...], content_type: bytes) -> tuple[tuple[bytes, bytes], ...]:
    if any(name.lower() == b"content-type" for name, _ in headers):
        return headers
    return ((b"content-type", content_type), *headers)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("latin-1", "replace")


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise BadResponse(f"the handler returned something that is not JSON: {error}") from None


def _plain(value: Any) -> Any:
    """Dataclasses, and what offers a list or a dict of itself (numpy arrays and numbers, pydantic models)."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    for offer in ("model_dump", "tolist", "isoformat"):
        if hasattr(value, offer):
            return getattr(value, offer)()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
