"""What a plain handler is given and may return: Request and Response. Part of the author's SDK (`kfn.Request`, `kfn.Response`)."""

import json
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any

from kfn.function.errors import BadRequest
from kfn.function.event import Event
from kfn.function.event_http import from_http
from kfn.function.trace import Trace

Body = str | bytes | bytearray | memoryview | dict[str, Any] | list[Any] | Iterable[Any] | AsyncIterable[Any] | None
HeaderValues = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers(Mapping[str, str]):
    """A request's headers by name, whatever its case; of several with one name the values joined by a comma."""

    __slots__ = ("_values", "pairs")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
        self._values: dict[str, str] = {}
        for name, value in self.pairs:
            name = name.lower()
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"


class Request:
    """An HTTP request with its whole body."""

    __slots__ = ("_headers", "_pairs", "body", "method", "path", "query_string", "trace")

    def __init__(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        trace: Trace | None = None,
    ) -> None:
        self.method = method
        path, _, self.query_string = target.partition("?")
        if "%" in path:
            from urllib.parse import unquote

            path = unquote(path)
        self.path = path
        self.body = body
        self.trace = trace
        self._pairs = headers
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """The headers, by name in any case."""
        if self._headers is None:
            self._headers = Headers(self._pairs)
        return self._headers

    @property
    def query(self) -> dict[str, str]:
        """The query's values by name; of several with one name the last."""
        return dict(self._query_pairs())

    def query_list(self, name: str) -> list[str]:
        """Every value of one name in the query."""
        return [value for key, value in self._query_pairs() if key == name]

    def _query_pairs(self) -> list[tuple[str, str]]:
        if not self.query_string:
            return []
        from urllib.parse import parse_qsl

        return parse_qsl(self.query_string, keep_blank_values=True)

    @property
    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"The body is not UTF-8 text: {error}.") from None

    def json(self) -> Any:
        """The body as JSON; a body that is not JSON answers 400 by itself."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise BadRequest(f"The body is not JSON: {error}.") from None

    @property
    def event(self) -> Event | None:
        """The CloudEvent that this request carries, in binary or structured mode; None if it carries none."""
        return from_http(self._pairs, self.body)

    @property
    def trace_id(self) -> str:
        return self.trace.trace_id if self.trace else ""

    @property
    def request_id(self) -> str:
        return self.trace.request_id if self.trace else ""

    @property
    def traceparent(self) -> str:
        """To send along with calls that the handler makes."""
        return self.trace.traceparent if self.trace else ""

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} {len(self.body)} bytes>"


class Response:
    """What to answer. The content type follows the body unless it is given."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, body: Body = None, status: int = 200, headers: HeaderValues = (), content_type: str = "") -> None:
        self.body = body
        self.status = status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        if content_type:
            self.headers.append(("content-type", content_type))

    def __repr__(self) -> str:
        return f"<Response {self.status}>"
